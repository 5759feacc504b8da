"""`just sanitize` as far as it goes without a GPU: what is chosen, what is run, what is said."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.kernels.sanitize import ROOT, TOOLS, chosen, run_tools

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [f"file::operation[{i}]" for i in range(50)] + [f"file::chain[{i}]" for i in range(20)] + ["file::stream"]


def test_the_choice_is_seeded_and_has_each_function() -> None:
    some = chosen(NAMES, 12)
    assert some == chosen(NAMES, 12)
    assert len(set(some)) == 12
    assert {name.partition("[")[0] for name in some} == {"file::operation", "file::chain", "file::stream"}
    assert chosen(NAMES, 0) == chosen(NAMES, len(NAMES) + 1) == NAMES


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (86, 1)])
def test_every_tool_runs_and_any_report_is_a_failure(
    status: int, expected: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "compute-sanitizer"
    program.write_text(
        f'#!/bin/sh\necho "ran $*" REQUIRE_GPU=$REQUIRE_GPU\ncase "$2" in racecheck) exit {status};; esac\n'
    )
    program.chmod(0o755)
    assert run_tools(str(program), ["a::b[c d]"]) == expected
    lines = capfd.readouterr().out.splitlines()
    ran = [line for line in lines if line.startswith("ran ")]
    assert [line.split()[2] for line in ran] == list(TOOLS)
    assert all(line.endswith("a::b[c d] REQUIRE_GPU=1") for line in ran)
    copies = ["--check-api-memory-access no" in line for line in ran]
    assert copies == [tool == "initcheck" for tool in TOOLS], "padding is copied; what kernels read is checked"
    ends = [f"{tool}: {'failed with 86' if status and tool == 'racecheck' else 'clean'}" for tool in TOOLS]
    assert lines[-4:] == ends


def test_without_a_gpu_it_fails_and_says_so() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.kernels.sanitize"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        timeout=120,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("sanitize: needs a GPU: ")
    assert len(ended.stderr.splitlines()) == 1
