"""Asking for help loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

HEAVY: Final = ("numpy", "numba", "cupy", "av", "boto3", "pydantic", "requests", "rich", "kernels", "storage")


# Typer itself loads pydantic once it has a command with values to check.
OF_TYPER: Final = {"pydantic"}


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ([], set()),
        (["--help"], set()),
        (["--version"], set()),
        (["run", "--help"], OF_TYPER),
        (["plan", "-h"], OF_TYPER),
        (["cp", "--help"], OF_TYPER),
        (["gc", "--help"], OF_TYPER),
        (["submit", "--help"], OF_TYPER),
        (["ps", "--help"], OF_TYPER),
        (["attach", "--help"], OF_TYPER),
        (["reap", "--help"], OF_TYPER),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_loads_nothing_heavy(words: list[str], allowed: set[str]) -> None:
    program = (
        "import json, sys\n"
        "from runner.cli import main\n"
        f"code = main({words!r})\n"
        f"print(json.dumps([code, sorted(set({HEAVY!r}) & set(sys.modules))]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert set(loaded) <= allowed
    assert done.stdout.startswith(("Usage: runner", "framehaul"))
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["ops"], ["ops", "--json"], ["--help"]], ids=" ".join)
def test_standard_output_that_is_full(words: list[str]) -> None:
    full = Path("/dev/full")
    if not full.exists():
        full = Path("/dev/null")  # systems without it: then printing works
    with full.open("w", encoding="utf-8") as out:
        done = subprocess.run(
            [sys.executable, "-m", "runner", *words],
            stdout=out, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    if full.name == "full":
        assert done.returncode == 4
        assert done.stderr.startswith("runner: cannot write standard output")
        assert done.stderr.count("\n") == 1
    else:
        assert (done.returncode, done.stderr) == (0, "")
