"""Jobs on objects that are large enough to be killed in the middle, and what became of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

from storage.reader import ObjectReader

if TYPE_CHECKING:
    from pathlib import Path

    from storage.b2 import B2Store
    from tests.storage.server import Server

MIB: Final = 1 << 20
PARTS: Final = 4
"""Of 16 MiB at most, that `FLIP` makes of the clip `noise`."""
FLIP: Final = ("--vf", "hflip", "--codec", "ffv1")


def content(remote: B2Store, key: str) -> bytes:
    with ObjectReader(remote, key) as file:
        return file.read()


def start(*words: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "runner", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_parts(server: Server, count: int, job: subprocess.Popen[str]) -> None:
    """Until the server was sent `count` parts."""
    pause = threading.Event()
    while server.counts().get("UploadPart", 0) < count:
        assert job.poll() is None, job.communicate()
        pause.wait(0.02)
