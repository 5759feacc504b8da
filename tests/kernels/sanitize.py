"""The GPU's parity tests under NVIDIA's compute-sanitizer, one tool after another: `just sanitize`.

`python -m tests.kernels.sanitize [COUNT]` takes COUNT of them by a seed, 0 for all. Ends with 1 where a tool reports
anything, a test fails, or there is no GPU or no compute-sanitizer.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kernels.backends import probe

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[2]
TESTS: Final = ("tests/kernels/test_gpu_chains.py", "tests/kernels/test_gpu_parity.py")
TOOLS: Final = ("memcheck", "racecheck", "synccheck", "initcheck")
COUNT: Final = 24
"""Tests that are taken without a number: some minutes in all."""
REPORTED: Final = 86
"""Exit code of a tool that reports something; pytest has no such code."""
PADDING_BYTES: Final = 256
"""Between allocations: what memcheck reads there belongs to no array."""
LAUNCH_TIMEOUT_S: Final = 300
"""For Python to come to its first call of CUDA."""


def main(arguments: Sequence[str]) -> int:
    count = int(arguments[0]) if arguments else COUNT
    reason = probe()
    if reason:
        return _refuse(f"needs a GPU: {reason}")
    program = find_sanitizer()
    if program is None:
        return _refuse(
            "needs compute-sanitizer in PATH: it comes with the CUDA toolkit, or by "
            f"{Path(sys.executable).parent / 'pip'} install nvidia-cuda-sanitizer-api"
        )
    return run_tools(program, chosen(collected(), count))


def find_sanitizer() -> str | None:
    """In PATH, in the toolkit's usual folder, or in the wheel for CUDA 13 (that for CUDA 12 lacks parts)."""
    spec = find_spec("nvidia")
    wheels = [Path(path) / "cu13/compute-sanitizer" for path in spec.submodule_search_locations or ()] if spec else []
    folders = [os.environ.get("PATH", ""), "/usr/local/cuda/bin", *map(str, wheels)]
    return shutil.which("compute-sanitizer", path=os.pathsep.join(folders))


def collected() -> list[str]:
    """The names of all parity tests, as pytest takes them."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "gpu", *TESTS]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return [line for line in listed.stdout.splitlines() if line.startswith(TESTS)]


def chosen(names: Sequence[str], count: int) -> list[str]:
    """`count` of `names` by a seed, all for 0: first one of each test function, as they differ most."""
    if not count or count >= len(names):
        return list(names)
    shuffled = random.Random(1).sample(names, len(names))
    firsts = {name.partition("[")[0]: name for name in shuffled}
    taken = [*firsts.values(), *(name for name in shuffled if name not in firsts.values())][:count]
    return sorted(taken)


def command(program: str, tool: str, names: Sequence[str]) -> list[str]:
    options = ["--tool", tool, "--error-exitcode", str(REPORTED), "--target-processes", "application-only"]
    options += ["--launch-timeout", str(LAUNCH_TIMEOUT_S), "--print-limit", "20"]
    if tool == "memcheck":
        options += ["--padding", str(PADDING_BYTES)]
    if tool == "initcheck":
        options += [
            "--check-api-memory-access",
            "no",
        ]  # frames are downloaded with the ends of rows, which nobody wrote
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "tests.kernels.cuda.unpooled", "--timeout", "0", *names]
    return [program, *options, *tests]


def run_tools(program: str, names: Sequence[str]) -> int:
    """All tools, whatever one of them finds; 1 if one found something, or a test failed."""
    results = {}
    for tool in TOOLS:
        print(f"== {tool}: {len(names)} tests", flush=True)  # noqa: T201 - a program
        environment = {**os.environ, "REQUIRE_GPU": "1"}
        results[tool] = subprocess.run(command(program, tool, names), check=False, cwd=ROOT, env=environment).returncode
    for tool, status in results.items():
        print(f"{tool}: {'clean' if not status else f'failed with {status}'}")  # noqa: T201 - a program
    return int(any(results.values()))


def _refuse(why: str) -> int:
    print(f"sanitize: {why}", file=sys.stderr)  # noqa: T201 - a program
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
