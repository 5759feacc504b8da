"""Ways to run `runner`: in this process where that is enough, else as the real command. None may show a secret."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import av
import numpy as np
import pytest

from runner.cli import main
from tests.runner.cli.remote import FLIP
from tests.storage.server import KEY, REGION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.storage.server import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert KEY not in self.out + self.err


class Runner(Protocol):
    def __call__(self, *words: str | Path) -> Ended: ...


@pytest.fixture
def inside(capsys: pytest.CaptureFixture[str]) -> Runner:
    """Runs a command line in this process."""

    def call(*words: str | Path) -> Ended:
        capsys.readouterr()
        code = main([str(word) for word in words])
        printed = capsys.readouterr()
        return Ended(code=int(code), out=printed.out, err=printed.err)

    return call


@pytest.fixture
def spawn() -> Runner:
    """Runs a command line as a process of its own and waits for it."""

    def call(*words: str | Path) -> Ended:
        command = [sys.executable, "-m", "runner", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
        return Ended(code=done.returncode, out=done.stdout, err=done.stderr)

    return call


@pytest.fixture
def account(server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The location of an empty bucket, with its key in the environment of all commands: `b2://bucket`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "FRAMEHAUL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    given = server.credentials
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", given.key_id)
    monkeypatch.setenv("B2_APPLICATION_KEY", given.key)
    monkeypatch.setenv("B2_REGION", REGION)
    monkeypatch.setenv("B2_ENDPOINT", server.url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return f"b2://{bucket}"


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of noise, which stays as large as it is: 48 MB, four parts."""
    path = tmp_path_factory.mktemp("noise") / "noise.mkv"
    rng = np.random.default_rng(7)
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for _ in range(100):
            samples = rng.integers(0, 256, (720, 640), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(samples, format="yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def flipped(noise: Path) -> Path:
    """What the job makes of it here."""
    path = noise.with_name("flipped.mkv")
    assert main(["run", str(noise), str(path), *FLIP, "-q"]) == 0
    return path
