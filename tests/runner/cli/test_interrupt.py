"""Ctrl-C and SIGTERM end a running job within two seconds and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.runner.clips import write_clip

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_running_job_ends_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=200, size=(320, 240))
    out = tmp_path / "out"
    out.mkdir()
    words = ["run", clip, out / "o.mkv", "--vf", "scale=1920:-2,scale=320:-2,scale=1920:-2", "--preset", "veryslow"]
    with subprocess.Popen(
        [sys.executable, "-m", "runner", *map(str, words)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stderr is not None
        assert any(line.startswith("processing") for line in job.stderr)  # the first line of that phase has come
        assert [entry.name.startswith(".o.mkv.") for entry in out.iterdir()] == [True]
        job.send_signal(number)
        printed, told = job.communicate(timeout=60)
    assert job.returncode == 130
    assert told.splitlines()[-1] == "runner: interrupted"
    assert "Traceback" not in told
    assert printed == ""
    assert list(out.iterdir()) == []


def run_stubborn_job(tmp_path: Path, signals: int) -> tuple[int, str]:
    """Signals a job that never looks at its stop flag; returns exit code and standard error."""
    program = textwrap.dedent(
        """
        import pathlib, sys, threading
        from runner.cli.interrupt import run_interruptibly
        part = pathlib.Path(sys.argv[1])
        def work(stop):
            part.write_bytes(b"half")
            print("running", flush=True)
            threading.Event().wait()
        run_interruptibly(work, discard=part.unlink)
        """
    )
    part = tmp_path / "part"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(part)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "running\n"
        for _ in range(signals):
            os.kill(job.pid, signal.SIGINT)
        _, told = job.communicate(timeout=60)
    assert not part.exists()
    return job.returncode, told


@pytest.mark.parametrize("signals", [1, 2])
def test_a_job_that_does_not_listen_is_ended(tmp_path: Path, signals: int) -> None:
    assert run_stubborn_job(tmp_path, signals) == (130, "runner: interrupted\n")


def test_what_a_job_raises_is_raised() -> None:
    program = textwrap.dedent(
        """
        from runner.cli.interrupt import run_interruptibly
        def work(stop):
            raise LookupError("told")
        try:
            run_interruptibly(work, discard=print)
        except LookupError as error:
            print(error)
        print(run_interruptibly(lambda stop: stop.is_set(), discard=print))
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "told\nFalse\n"
