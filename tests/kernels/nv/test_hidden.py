"""The tests beside a driver, as on a machine with a GPU: those that need none do not meet it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.kernels.nv.conftest import Machine

ROOT: Final = Path(__file__).parents[3]
PYTEST: Final = ("-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider")
ORDINARY: Final = (
    "tests/kernels/test_choice.py",
    "tests/runner/cli/test_run.py::test_a_video_comes_out_and_json_describes_it",
)


def test_ordinary_tests_do_not_meet_a_driver(machine: Machine) -> None:
    ended = machine.run(*PYTEST, *ORDINARY)
    assert ended.returncode == 0, ended.stdout
    assert " passed" in ended.stdout
    assert not machine.log("decoder")


def test_those_for_a_gpu_fail_where_it_is_required_and_missing() -> None:
    name = "tests/kernels/nv/test_gpu.py::test_nvdec_begins_in_the_middle"
    environment = {**os.environ, "REQUIRE_GPU": "1"}
    ended = subprocess.run(
        [sys.executable, *PYTEST, name], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert ended.returncode == 1
    assert "3 failed" in ended.stdout


def test_the_command_for_a_gpu_runs_what_needs_one_alone() -> None:
    just = Path(sys.executable).with_name("just")
    command = [str(just), "--dry-run", "test-gpu", "-k", "decoder"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stderr.strip()
    assert said.startswith("REQUIRE_GPU=1 ")
    assert said.endswith("pytest -m gpu -k decoder")
