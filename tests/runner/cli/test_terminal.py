"""The live progress line, on a real terminal device."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.runner.clips import write_clip

if TYPE_CHECKING:
    from pathlib import Path


def read_all(device: int) -> str:
    """What arrives at a terminal until everyone has closed it."""
    parts = []
    while True:
        try:
            part = os.read(device, 1 << 16)
        except OSError:  # how Linux says that the other side is closed
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()


def test_one_line_that_redraws_itself(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=30)
    words = ["run", clip, tmp_path / "out.mkv", "--codec", "ffv1", "--vf", "hflip"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "runner", *map(str, words)],
        stdout=subprocess.PIPE, stderr=theirs, text=True, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    ) as job:  # fmt: skip
        os.close(theirs)
        shown = read_all(ours)
        printed, _ = job.communicate(timeout=120)
    os.close(ours)
    assert job.returncode == 0, shown
    assert printed.startswith(f"{tmp_path / 'out.mkv'}: 30 frames in ")
    assert "30/30 frames" in shown
    assert "100%" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
