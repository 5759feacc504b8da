"""Copies in every direction, and what is left of them when they fail or are killed."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Final

import pytest

import storage
from storage.errors import ChangedError, JournalError, MissingError, OutputExistsError, SameFileError, StorageError
from storage.folder import FolderStore
from storage.journal import Journal
from storage.parts import PART_BYTES
from storage.place import Place, Source
from storage.reader import ObjectReader
from storage.resuming import Resuming
from storage.store import MIN_PART_BYTES
from storage.transfer import BLOCK_BYTES, copy_object
from storage.writer import ObjectWriter

if TYPE_CHECKING:
    from pathlib import Path

    from storage.b2 import B2Store
    from tests.storage.server import Server

MIB: Final = 1 << 20
SIZE: Final = 4 * PART_BYTES + 12_345
"""Five parts, nine blocks."""


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom(SIZE)


@pytest.fixture
def big(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "big clip.mp4"
    path.write_bytes(data)
    return path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where transfers are recorded."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/framehaul/transfers"


@pytest.fixture
def url(server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The bucket's location; its key is in the environment."""
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", server.credentials.key_id)
    monkeypatch.setenv("B2_APPLICATION_KEY", server.credentials.key)
    monkeypatch.setenv("B2_REGION", server.credentials.region)
    monkeypatch.setenv("B2_ENDPOINT", server.url)
    return f"b2://{bucket}"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def source(path: Path) -> Source:
    store = FolderStore(path.parent)
    return Source(store, store.head(path.name))


@pytest.mark.parametrize("resume", [True, False])
def test_up_and_down_and_across(
    url: str, big: Path, tmp_path: Path, state: Path, remote: B2Store, *, resume: bool
) -> None:
    seen: list[tuple[int, int]] = []
    info = storage.upload(big, f"{url}/in/", resume=resume, on_progress=lambda *counts: seen.append(counts))
    assert (info.key, info.size_bytes) == ("in/big clip.mp4", SIZE)
    assert seen[-1] == (SIZE, SIZE)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert storage.stat(f"{url}/in/big clip.mp4").content_type == "video/mp4"
    storage.copy(f"{url}/in/big clip.mp4", f"{url}/out.mp4", resume=resume)
    seen.clear()
    storage.download(f"{url}/out.mp4", tmp_path / "back.mp4", resume=resume, on_progress=lambda *c: seen.append(c))
    assert seen[-1] == (SIZE, SIZE)
    assert digest(tmp_path / "back.mp4") == digest(big)
    storage.copy(tmp_path / "back.mp4", tmp_path / "copy.mp4", resume=resume)
    assert digest(tmp_path / "copy.mp4") == digest(big)
    assert names(state) == []
    assert list(remote.list_uploads()) == []


class Unwanted(Exception):  # noqa: N818  (what happened, and no error)
    pass


@pytest.mark.parametrize("down", [False, True])
def test_a_copy_that_nobody_wants_any_more_ends_and_can_go_on(
    url: str, big: Path, tmp_path: Path, server: Server, *, down: bool
) -> None:
    """While every piece but one hangs."""
    there, operation = f"{url}/in.mp4", "GetObject" if down else "UploadPart"
    if down:
        storage.upload(big, there)
    source, target = (there, tmp_path / "back.mp4") if down else (big, there)
    done: list[int] = []

    def check() -> None:
        if done:
            raise Unwanted

    server.break_next({"op": operation, "skip": 1, "times": 99, "delay": 60})
    with pytest.raises(Unwanted):
        storage.copy(source, target, on_progress=lambda size, _: done.append(size), check=check)
    assert not storage.exists(target)
    server.reset()
    assert storage.copy(source, target, check=lambda: None).size_bytes == SIZE
    sent = server.counts()[operation]
    assert sent < (9 if down else 5)
    storage.download(there, tmp_path / "again.mp4")
    assert digest(tmp_path / "again.mp4") == digest(big)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, PART_BYTES, PART_BYTES + 1])
def test_every_size(url: str, tmp_path: Path, size: int) -> None:
    path = tmp_path / "clip"
    path.write_bytes(os.urandom(size))
    storage.upload(path, f"{url}/clip")
    storage.download(f"{url}/clip", tmp_path / "back")
    assert digest(tmp_path / "back") == digest(path)


def test_a_target_that_is_there_stays_unless_it_may_go(url: str, tmp_path: Path) -> None:
    (tmp_path / "clip").write_bytes(b"new")
    storage.upload(tmp_path / "clip", f"{url}/clip")
    with pytest.raises(OutputExistsError, match="add -y"):
        storage.upload(tmp_path / "clip", f"{url}/clip")
    with pytest.raises(OutputExistsError, match="add -y"):
        storage.download(f"{url}/clip", tmp_path / "clip")
    with pytest.raises(SameFileError):
        storage.copy(f"{url}/clip", f"{url}/clip", overwrite=True)
    with pytest.raises(SameFileError):
        storage.copy(tmp_path / "clip", tmp_path / "." / "clip", overwrite=True)
    (tmp_path / "clip").write_bytes(b"newer")
    storage.upload(tmp_path / "clip", f"{url}/clip", overwrite=True)
    assert storage.stat(f"{url}/clip").size_bytes == 5


def test_what_is_not_there_cannot_be_copied(url: str, tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        storage.download(f"{url}/nothing", tmp_path / "x")
    with pytest.raises(MissingError):
        storage.upload(tmp_path / "nothing", f"{url}/x")
    assert names(tmp_path) == []


CHILD: Final = """
    import sys, storage
    storage.copy(sys.argv[1], sys.argv[2], on_progress=lambda done, total: print(done, flush=True))
"""


def run_and_kill(source: str | Path, target: str | Path, pieces: int) -> None:
    """Start a copy in another process and kill it once `pieces` pieces are done."""
    command = [sys.executable, "-c", textwrap.dedent(CHILD), str(source), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(pieces):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL


def test_an_upload_goes_on_after_a_kill(server: Server, url: str, big: Path, state: Path, remote: B2Store) -> None:
    remote.put("clip", b"old")
    storage.delete(f"{url}/clip")
    server.break_next({"op": "UploadPart", "skip": 2, "times": 9, "delay": 60})
    run_and_kill(big, f"{url}/clip", 2)
    assert len(list(remote.list_uploads())) == 1
    assert not storage.exists(f"{url}/clip")
    server.reset()
    storage.upload(big, f"{url}/clip")
    assert server.counts()["UploadPart"] == 3
    assert "CreateMultipartUpload" not in server.counts()
    with storage.open(f"{url}/clip") as file:
        assert file.read() == big.read_bytes()
    assert list(remote.list_uploads()) == []
    assert names(state) == []


def test_a_download_goes_on_after_a_kill(server: Server, url: str, big: Path, tmp_path: Path, state: Path) -> None:
    storage.upload(big, f"{url}/clip")
    folder = tmp_path / "down"
    folder.mkdir()
    server.break_next({"op": "GetObject", "skip": 4, "times": 9, "delay": 60})
    run_and_kill(f"{url}/clip", folder / "clip.mp4", 4)
    [part] = names(folder)
    assert part.startswith(".clip.mp4.")
    server.reset()
    storage.download(f"{url}/clip", folder / "clip.mp4")
    assert server.counts()["GetObject"] == 5
    assert names(folder) == ["clip.mp4"]
    assert digest(folder / "clip.mp4") == digest(big)
    assert names(state) == []


@pytest.mark.long
def test_a_copy_between_buckets_goes_on_after_a_kill(server: Server, url: str, big: Path, remote: B2Store) -> None:
    storage.upload(big, f"{url}/clip")
    server.break_next({"op": "UploadPart", "skip": 2, "times": 9, "delay": 60})
    run_and_kill(f"{url}/clip", f"{url}/copy", 2)
    server.reset()
    storage.copy(f"{url}/clip", f"{url}/copy")
    assert server.counts()["UploadPart"] == 3
    with storage.open(f"{url}/copy") as file:
        assert file.read() == big.read_bytes()
    assert list(remote.list_uploads()) == []


def test_another_source_under_the_same_name_starts_again(server: Server, url: str, big: Path, remote: B2Store) -> None:
    server.break_next({"op": "UploadPart", "skip": 2, "times": 9, "delay": 60})
    run_and_kill(big, f"{url}/clip", 2)
    server.reset()
    changed = os.urandom(SIZE)
    big.write_bytes(changed)
    storage.upload(big, f"{url}/clip")
    assert server.counts()["UploadPart"] == 5
    with storage.open(f"{url}/clip") as file:
        assert file.read() == changed
    assert list(remote.list_uploads()) == []


def test_another_object_under_the_same_key_is_downloaded_from_the_start(
    server: Server, url: str, big: Path, tmp_path: Path
) -> None:
    storage.upload(big, f"{url}/clip")
    folder = tmp_path / "down"
    folder.mkdir()
    server.break_next({"op": "GetObject", "skip": 4, "times": 9, "delay": 60})
    run_and_kill(f"{url}/clip", folder / "clip.mp4", 4)
    server.reset()
    changed = os.urandom(SIZE)
    big.write_bytes(changed)
    storage.upload(big, f"{url}/clip", overwrite=True)
    storage.download(f"{url}/clip", folder / "clip.mp4")
    assert names(folder) == ["clip.mp4"]
    assert (folder / "clip.mp4").read_bytes() == changed


@pytest.mark.parametrize("forgotten", [True, False])
def test_a_completion_whose_answer_the_kill_swallowed_is_recognised(
    server: Server, url: str, big: Path, remote: B2Store, tmp_path: Path, *, forgotten: bool
) -> None:
    """Some stores know a completed upload for a while, B2 does not."""
    journal = tmp_path / "journal"
    target = Place(remote, "clip")
    server.break_next({"op": "CompleteMultipartUpload", "times": 1, "status": 403})
    with pytest.raises(StorageError):
        copy_object(source(big), target, journal=journal)
    kept = journal.read_bytes()
    copy_object(source(big), target, journal=journal)
    assert not journal.exists()
    journal.write_bytes(kept)  # as if the process had died between the completion and the end of its record
    server.reset()
    if forgotten:
        server.break_next({"op": "ListParts", "status": 404, "code": "NoSuchUpload"})
    done = copy_object(source(big), target, journal=journal)
    assert done.size_bytes == SIZE
    assert server.counts().keys() <= {"ListParts", "HeadObject", "CompleteMultipartUpload", "fault"}
    assert len([one for one in remote.list_versions() if one.info.key == "clip"]) == 1


@pytest.mark.parametrize("with_journal", [True, False])
def test_a_failed_upload_is_kept_only_to_be_resumed(
    server: Server, remote: B2Store, big: Path, tmp_path: Path, *, with_journal: bool
) -> None:
    server.break_next({"op": "UploadPart", "skip": 1, "times": 99, "status": 403})
    with pytest.raises(StorageError):
        copy_object(source(big), Place(remote, "clip"), journal=tmp_path / "journal" if with_journal else None)
    server.reset()
    assert len(list(remote.list_uploads())) == (1 if with_journal else 0)
    assert list(remote.list()) == []


def test_a_file_that_changes_while_it_is_sent_is_an_error(remote: B2Store, big: Path) -> None:
    found = source(big)
    with big.open("r+b") as file:
        file.write(b"changed")
    with pytest.raises(ChangedError, match="was changed while it was read"):
        copy_object(found, Place(remote, "clip"))
    assert list(remote.list()) == []
    assert list(remote.list_uploads()) == []


def test_two_processes_do_not_make_one_transfer(tmp_path: Path, big: Path, remote: B2Store) -> None:
    with Journal(tmp_path / "journal", {}), pytest.raises(JournalError, match="another process"):
        copy_object(source(big), Place(remote, "clip"), journal=tmp_path / "journal")


def test_a_copy_needs_no_record(url: str, big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "a file"))
    storage.upload(big, f"{url}/clip")
    assert storage.stat(f"{url}/clip").size_bytes == SIZE


def test_a_journal_survives_being_cut(tmp_path: Path) -> None:
    path = tmp_path / "folder/journal"
    with Journal(path, {"what": 1}) as record:
        record.add({"part": 1})
        record.add({"part": 2})
    path.write_bytes(path.read_bytes()[:-3])
    with Journal(path, {"what": 1}) as record:
        assert record.earlier == [{"part": 1}]
        record.add({"part": 3})
    with Journal(path, {"what": 1}) as record:
        assert record.earlier == [{"part": 1}, {"part": 3}]
    with Journal(path, {"what": 2}) as record:
        assert record.earlier == []
        assert record.stale[0] == {"what": 1}
    assert path.stat().st_mode & 0o077 == 0


def write_parts(remote: B2Store, journal: Path, content: bytes, *, fail_at: int | None = None) -> None:
    """Write `content` as a job does that makes the same bytes again when it is run again."""
    with (
        Resuming(remote, "clip", journal=journal, what="job 7") as resuming,
        ObjectWriter(
            remote, "clip", head_bytes=MIN_PART_BYTES, part_bytes=lambda _: MIN_PART_BYTES, resuming=resuming
        ) as file,
    ):
        for start in range(0, len(content), MIB):
            if fail_at is not None and start >= fail_at:
                raise RuntimeError("the job failed")
            file.write(content[start : start + MIB])
        file.seek(10)
        file.write(b"patched at the end")


def test_a_job_that_is_run_again_sends_only_what_is_missing(
    server: Server, remote: B2Store, tmp_path: Path, data: bytes
) -> None:
    content, journal = data[: 30 * MIB], tmp_path / "journal"
    with pytest.raises(RuntimeError, match="job"):
        write_parts(remote, journal, content, fail_at=28 * MIB)
    kept = len([part for upload in remote.list_uploads() for part in remote.list_parts(upload.key, upload.id)])
    assert kept >= 1
    server.reset()
    write_parts(remote, journal, content)
    assert server.counts()["UploadPart"] == 6 - kept
    with ObjectReader(remote, "clip") as file:
        assert file.read() == content[:10] + b"patched at the end" + content[28:]
    assert list(remote.list_uploads()) == []
    assert not journal.exists()


def test_a_job_that_makes_other_bytes_than_before_sends_them(
    server: Server, remote: B2Store, tmp_path: Path, data: bytes
) -> None:
    journal = tmp_path / "journal"
    with pytest.raises(RuntimeError, match="job"):
        write_parts(remote, journal, data[: 30 * MIB], fail_at=28 * MIB)
    other = data[: 12 * MIB] + b"x" + data[12 * MIB : 30 * MIB]
    write_parts(remote, journal, other)
    with ObjectReader(remote, "clip") as file:
        assert file.read() == other[:10] + b"patched at the end" + other[28:]
    assert list(remote.list_uploads()) == []


def test_a_key_that_may_not_list_sends_everything_again(
    server: Server, remote: B2Store, tmp_path: Path, data: bytes
) -> None:
    content, journal = data[: 30 * MIB], tmp_path / "journal"
    with pytest.raises(RuntimeError, match="job"):
        write_parts(remote, journal, content, fail_at=28 * MIB)
    server.reset()
    server.break_next({"op": "ListParts", "status": 403, "code": "AccessDenied", "message": "not entitled"})
    write_parts(remote, journal, content)
    assert server.counts()["UploadPart"] == 6
    with ObjectReader(remote, "clip") as file:
        assert file.read() == content[:10] + b"patched at the end" + content[28:]
    assert list(remote.list_uploads()) == []
    assert not journal.exists()
