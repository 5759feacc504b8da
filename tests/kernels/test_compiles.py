"""Every kernel that jobs launch, compiled to machine code for every architecture that is rented: nothing spills.

An ordinary run compiles each kernel for one architecture in turn, and one kernel of each entry point for all;
`just cubins` compiles all for all, and writes down what they need.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from kernels.cubins import options_of, source_of
from kernels.errors import UnavailableError
from kernels.nvrtc import ARCHITECTURES, compile_cubin, library, version
from kernels.sample_kernels import sample_kernels
from tests.kernels.cuda.usage import REPORT_OPTION, Usage, usages

if TYPE_CHECKING:
    from kernels.launch import Kernel

TABLE: Final = Path(__file__).parent / "cuda" / "registers.json"
"""Most registers a thread of each entry point needs, by architecture: what `just cubins` found."""
SLACK: Final = 8
"""Registers that another version of the compiler may need more: their unit of allocation."""
UNLISTED: Final = 120
"""The same for a kernel that the table does not have yet."""
MOST_STATIC_SHARED_BYTES: Final = 48 << 10
"""What a kernel may declare on every GPU."""


@pytest.fixture(scope="session", autouse=True)
def nvrtc() -> str:
    """NVRTC's version."""
    if library() is None:
        pytest.skip("no NVRTC (pip install nvidia-cuda-nvrtc)")
    return version()


@cache
def kernels() -> dict[str, Kernel]:
    return sample_kernels()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_kernels_compile_without_spilling(architecture: int, request: pytest.FixtureRequest) -> None:
    whole: bool = request.config.getoption("--all-cubins")
    chosen = kernels() if whole else _share(architecture)
    most = {} if whole else {entry: needs[str(architecture)] for entry, needs in json.loads(TABLE.read_text()).items()}
    wrong = []
    for name, kernel in chosen.items():
        usage = _compiled(kernel, architecture)
        fits = usage.stack_bytes == usage.spilled_bytes == 0 and usage.shared_bytes <= MOST_STATIC_SHARED_BYTES
        if whole:
            most[kernel.entry] = max(most.get(kernel.entry, 0), usage.registers)
        if not fits or usage.registers > most.get(kernel.entry, UNLISTED) + SLACK:
            wrong.append(f"{kernel.entry} for sm_{architecture} ({name}): {usage}")
    assert not wrong, "\n".join(wrong)
    if whole:
        _write_down(architecture, most)


def _share(architecture: int) -> dict[str, Kernel]:
    """The kernels that an ordinary run compiles for `architecture`."""
    turn = ARCHITECTURES.index(architecture)
    share = {name: k for i, (name, k) in enumerate(kernels().items()) if i % len(ARCHITECTURES) == turn}
    firsts = {kernel.entry: name for name, kernel in reversed(kernels().items())}
    return share | {name: kernels()[name] for name in firsts.values()}


def _compiled(kernel: Kernel, architecture: int) -> Usage:
    _, log = compile_cubin(source_of(kernel), (*options_of(kernel), REPORT_OPTION), architecture)
    found = usages(log)
    assert set(found) == {kernel.entry}
    return found[kernel.entry]


def _write_down(architecture: int, most: dict[str, int]) -> None:
    table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    for entry, registers in most.items():
        table.setdefault(entry, {})[str(architecture)] = registers
    table = {entry: {str(a): table[entry][str(a)] for a in ARCHITECTURES if str(a) in table[entry]} for entry in most}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")


def test_refusal_is_reported() -> None:
    with pytest.raises(UnavailableError, match="expected a"):
        compile_cubin('extern "C" __global__ void broken() { return }', (), 90)
