"""How long `runner --help` takes as a user waits for it: a whole process, against one that does nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.conftest import Bench

GOAL_S: Final = 0.150
"""Wanted median of `runner --help`."""


def process(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def test_help(bench: Bench) -> None:
    bare = bench.here(process("-c", "pass"))
    bench.compare("startup_help", process("-m", "runner", "--help"), {"python -c pass": bare}, goal_s=GOAL_S)
