"""The functions of `storage` itself, on paths and on buckets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import storage
from storage.errors import CredentialsError, MissingError, OutputExistsError, StorageError, UnsupportedError, UriError

if TYPE_CHECKING:
    from tests.storage.server import Server


@pytest.fixture(params=["local", "b2", "s3"])
def base(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A location that ends with a slash."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if request.param == "local":
        (tmp_path / "files").mkdir()
        return f"{tmp_path}/files/"
    server: Server = request.getfixturevalue("server")
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", server.credentials.key_id)
    monkeypatch.setenv("B2_APPLICATION_KEY", server.credentials.key)
    monkeypatch.setenv("B2_REGION", server.credentials.region)
    bucket = server.new_bucket(versioned=True)
    if request.param == "b2":
        monkeypatch.setenv("B2_ENDPOINT", server.url)
        return f"b2://{bucket}/files/"
    return f"s3://{bucket}/files/"


def at(base: str, name: str, request: pytest.FixtureRequest) -> str:
    if base.startswith("s3:"):
        server: Server = request.getfixturevalue("server")
        return f"{base}{name}?endpoint={server.url}&region=us-west-004"
    return base + name


def test_a_file_lives(base: str, request: pytest.FixtureRequest) -> None:
    clip = at(base, "my clip+.mp4", request)
    assert not storage.exists(clip)
    with storage.open(clip, "wb") as file:
        file.write(b"0123456789")
        file.seek(2)
        file.write(b"xx")
    assert storage.exists(clip)
    assert storage.stat(clip).size_bytes == 10
    with storage.open(clip) as file:
        assert file.read(4) == b"01xx"
        file.seek(-1, os.SEEK_END)
        assert file.read() == b"9"
    with pytest.raises(OutputExistsError, match="add -y"), storage.open(clip, "wb"):
        pass
    with storage.output(clip, overwrite=True) as file:
        file.write(b"new")
    assert storage.stat(clip).size_bytes == 3
    storage.delete(clip)
    assert not storage.exists(clip)
    with pytest.raises(MissingError), storage.open(clip):
        pass


def test_a_failed_or_discarded_output_leaves_nothing(base: str, request: pytest.FixtureRequest) -> None:
    clip = at(base, "clip.mp4", request)

    def fail() -> None:
        with storage.open(clip, "wb") as file:
            file.write(b"half")
            raise RuntimeError("the job failed")

    with pytest.raises(RuntimeError, match="job"):
        fail()
    output = storage.output(clip)
    with output as file:
        file.write(b"half")
        output.discard()
    assert not storage.exists(clip)


def test_lists_by_prefix_and_pattern(base: str, request: pytest.FixtureRequest) -> None:
    for name in ("a.mp4", "b.mkv", "deep/c.mp4", "deep/er/d.mp4"):
        with storage.open(at(base, name, request) if not base.startswith("/") else _made(base, name), "wb") as file:
            file.write(b"x")
    start = at(base, "", request)
    root = "" if base.startswith("/") else "files/"

    def names(pattern: str | None) -> list[str]:
        return [info.key.removeprefix(root) for info in storage.list(start, pattern=pattern)]

    assert names(None) == ["a.mp4", "b.mkv", "deep/c.mp4", "deep/er/d.mp4"]
    assert names("*.mp4") == ["a.mp4"]
    assert names("**.mp4") == ["a.mp4", "deep/c.mp4", "deep/er/d.mp4"]
    assert names("**/[c-d].mp4") == ["deep/c.mp4", "deep/er/d.mp4"]
    assert names("?.mkv") == ["b.mkv"]
    assert names("*/*.mp4") == ["deep/c.mp4"]
    assert names("none") == []


def _made(base: str, name: str) -> str:
    path = Path(base) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return str(path)


def test_a_presigned_url_can_be_opened_and_copied(server: Server, tmp_path: Path, bucket: str) -> None:
    url = f"s3://{bucket}/in?endpoint={server.url}&region=us-west-004"
    (tmp_path / "in").write_bytes(b"picture")
    storage.upload(tmp_path / "in", url, credentials=server.credentials)
    signed = storage.presign(url, expires_s=60, credentials=server.credentials)
    assert storage.stat(signed).size_bytes == 7
    with storage.open(signed) as file:
        assert file.read() == b"picture"
    storage.download(signed, tmp_path / "out", resume=False)
    assert (tmp_path / "out").read_bytes() == b"picture"
    with pytest.raises(UnsupportedError, match="only be read"):
        storage.upload(tmp_path / "in", signed)


def test_what_cannot_be_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CredentialsError, match="B2_APPLICATION_KEY_ID"):
        storage.stat("b2://bucket/key")
    with pytest.raises(UriError, match="ftp"):
        storage.stat("ftp://host/key")
    for folder in ("b2://bucket", "b2://bucket/folder/"):
        with pytest.raises(UriError, match="give the output a name"):
            storage.output(folder)
    with pytest.raises(MissingError, match="it is a folder"):
        storage.stat(tmp_path)
    with pytest.raises(UnsupportedError):
        storage.presign(tmp_path / "clip")
    with pytest.raises(StorageError):
        storage.open(tmp_path / "nothing")
    with pytest.raises(ValueError, match="allowed are"):
        storage.open(tmp_path / "nothing", "r+b")


def test_importing_storage_is_light() -> None:
    program = "import sys, storage, storage.errors, storage.uri; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    heavy = {"boto3", "botocore", "requests", "pydantic", "av", "numpy", "urllib3", "ssl"}
    assert heavy.isdisjoint(done.stdout.split())
