"""The README is true: its commands and its Python run as printed, and its tables name what there is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.catalogue import CATALOGUE
from runner.demo.clip import DemoSettings, make_demo_clip

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
RUNNER = Path(sys.executable).with_name("runner")
COMMANDS = re.findall(r"^    (runner run .+)$", TEXT, re.MULTILINE)
LOCAL = re.search(r"^    \.venv/bin/runner demo && \.venv/bin/(runner submit .+ --on local .+)$", TEXT, re.MULTILINE)
PYTHON = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(*command: str | Path, cwd: Path, home: Path | None = None) -> str:
    """What the command prints; with `home`, in a home that nobody has used and without any account."""
    kept = {name: os.environ[name] for name in ("PATH", "NUMBA_CACHE_DIR") if name in os.environ}
    environment = None if home is None else kept | {"HOME": str(home)}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with in.mp4, in.mkv and in.mov: one small clip with sound."""
    folder = tmp_path_factory.mktemp("readme")
    clip = make_demo_clip(folder, settings=DemoSettings(width=160, height=96, frames=12))
    clip.degraded.rename(folder / "in.mp4")
    for other in ("in.mkv", "in.mov"):
        run(RUNNER, "run", "in.mp4", other, "--quiet", cwd=folder)
    return folder


def test_there_is_something_to_try() -> None:
    assert len(COMMANDS) >= 4
    assert LOCAL is not None
    assert PYTHON is not None


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run_as_printed(folder: Path, command: str) -> None:
    words = shlex.split(command)
    run(RUNNER, *words[1:], "-y", cwd=folder)
    assert (folder / words[3]).stat().st_size > 0


def test_a_job_without_any_account_runs_as_printed(folder: Path, tmp_path: Path) -> None:
    """With a tiny clip in place of the one that `runner demo` makes."""
    assert LOCAL is not None
    words = shlex.split(LOCAL.group(1))
    clip, out = tmp_path / words[2], tmp_path / words[3]
    clip.parent.mkdir(parents=True)
    shutil.copy(folder / "in.mp4", clip)
    assert "12 frames" in run(RUNNER, *words[1:], cwd=tmp_path, home=tmp_path)
    assert out.stat().st_size > 0
    assert run(RUNNER, "reap", cwd=tmp_path, home=tmp_path)  # the last of the five lines, where there is no account


def test_python_runs_as_printed(folder: Path) -> None:
    assert PYTHON is not None
    run(sys.executable, "-c", PYTHON.group(1), cwd=folder)


def test_every_operation_is_named() -> None:
    table = TEXT.partition("## Operations")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(CATALOGUE)


def test_every_command_is_named() -> None:
    table = TEXT.partition("| command |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(?:runner )?(\w+)", " ".join(rows)))
    shown = run(RUNNER, "--help", cwd=ROOT).partition("Commands:")[2]
    assert named == set(re.findall(r"^  (\w+)", shown, re.MULTILINE))
