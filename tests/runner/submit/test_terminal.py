"""Following on a terminal: what is shown, and what Ctrl-C asks."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.runner.clips import write_clip
from tests.runner.submit.commands import Desk, until

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("--vf", "scale=1920:-2,scale=64:-2,scale=1920:-2,scale=64:-2", "--codec", "ffv1", "--segment-s", "0.4")


class Terminal:
    """A command on a terminal of its own, and all that it has shown."""

    def __init__(self, desk: Desk, *words: str | Path) -> None:
        self.master, slave = pty.openpty()
        (desk.home / "home").mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runner", *map(str, words)],
            stdin=slave, stdout=slave, stderr=slave, env={**desk.environment, "TERM": "xterm"}, cwd=desk.home,
        )  # fmt: skip
        os.close(slave)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self.master, 4096):
                self._shown += data
        except OSError:  # the command has ended
            return

    @property
    def shown(self) -> str:
        return self._shown.decode("utf-8", "replace")

    def say(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait(self) -> int:
        code = self.process.wait(timeout=120)
        self._reader.join(timeout=10)
        os.close(self.master)
        return code


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(home=tmp_path)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "long.mkv", frames=400, gop=12)


@pytest.mark.parametrize(("answer", "code", "left"), [("d", 0, 1), ("c", 130, 0)])
def test_ctrl_c_asks(desk: Desk, clip: Path, tmp_path: Path, answer: str, code: int, left: int) -> None:
    terminal = Terminal(desk, "submit", clip, tmp_path / "out.mkv", "--on", "local", *HEAVY)
    until(lambda: desk.committed() >= 1)
    terminal.process.send_signal(signal.SIGINT)
    until(lambda: "[d]etach" in terminal.shown)
    terminal.say(f"{answer}\n")
    assert terminal.wait() == code, terminal.shown
    assert "segments" in terminal.shown
    assert len(desk.provider.instances()) == left
    if left:
        assert "runner attach" in terminal.shown
        desk.json("cancel", desk.run_name())
    assert desk.provider.instances() == []


def test_a_batch_cannot_be_left_to_itself(desk: Desk, clip: Path, tmp_path: Path) -> None:
    """What is done of it is put away by this command."""
    clips, made = tmp_path / "clips", tmp_path / "made"
    clips.mkdir()
    clip.rename(clips / "long.mkv")
    made.mkdir()
    terminal = Terminal(desk, "submit", f"{clips}/", f"{made}/", "--on", "local", *HEAVY)
    until(lambda: desk.committed() >= 1)
    terminal.process.send_signal(signal.SIGINT)
    until(lambda: "[c]ancel" in terminal.shown)
    assert "[d]etach" not in terminal.shown
    terminal.say("c\n")
    assert terminal.wait() == 130, terminal.shown
    assert desk.provider.instances() == []
