"""Ways to run `runner`: in this process where that is enough, else as the real command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from runner.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


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
