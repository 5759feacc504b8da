"""What compiled kernels need, as the assembler reports it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

REPORT_OPTION: Final = "--ptxas-options=-v"

_REPORT: Final = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one entry point needs on one architecture."""

    stack_bytes: int
    """Of local memory a thread; 0 when everything fits in registers."""
    spilled_bytes: int
    registers: int
    shared_bytes: int


def usages(log: str) -> dict[str, Usage]:
    """Entry point -> what it needs, from the log of a compilation with `REPORT_OPTION`."""
    found = {}
    for name, *numbers in _REPORT.findall(log):
        stack, stores, loads, registers, shared = (int(number or 0) for number in numbers)
        found[name] = Usage(stack_bytes=stack, spilled_bytes=stores + loads, registers=registers, shared_bytes=shared)
    return found
