"""NVIDIA's run-time compiler without a GPU or a driver: source to machine code, and what the code needs.

NVRTC comes from PyPI (`nvidia-cuda-nvrtc` for CUDA 13, `nvidia-cuda-nvrtc-cu12` for CUDA 12).
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ARCHITECTURES: Final = (75, 80, 86, 89, 90, 100, 120)
"""Turing, A100, RTX 30, RTX 40, H100 and H200, B200, RTX 50."""

_REPORT: Final = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers(?:[^\n]*?(\d+) bytes smem)?",
    re.DOTALL,
)


class CompileError(RuntimeError):
    """What NVRTC says of a source that it refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one entry point needs on one architecture."""

    stack_bytes: int
    """Of local memory a thread; 0 when everything fits in registers."""
    spilled_bytes: int
    registers: int
    shared_bytes: int


@cache
def library() -> ctypes.CDLL | None:
    """The newest NVRTC that is installed, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(p) for p in spec.submodule_search_locations or ()] if spec else []
    found = [path for folder in folders for path in folder.glob("*/lib/libnvrtc.so.*")]
    return ctypes.CDLL(str(max(found, key=lambda path: int(path.suffix[1:])))) if found else None


def version() -> str:
    """Such as '13.5'."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(_nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"


def compile_source(code: str, options: Sequence[str], architecture: int) -> dict[str, Usage]:
    """Compile `code` to machine code for `architecture` (90 is sm_90); what each entry point of it needs.

    Raises `CompileError` with the compiler's words.
    """
    nvrtc = _nvrtc()
    program = ctypes.c_void_p()
    flags = ("-std=c++17", f"-arch=sm_{architecture}", "--ptxas-options=-v", *options)
    array = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None))
    try:
        failed = nvrtc.nvrtcCompileProgram(program, len(flags), array)
        log = _text(program, "ProgramLog")
        if failed:
            raise CompileError(log)
        size = ctypes.c_size_t()
        _check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        if not size.value:
            raise CompileError(f"no machine code for sm_{architecture}")
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return {name: _usage(numbers) for name, *numbers in _REPORT.findall(log)}


def _usage(numbers: Sequence[str]) -> Usage:
    stack, stores, loads, registers, shared = (int(number or 0) for number in numbers)
    return Usage(stack_bytes=stack, spilled_bytes=stores + loads, registers=registers, shared_bytes=shared)


def _text(program: ctypes.c_void_p, what: str) -> str:
    size = ctypes.c_size_t()
    _check(getattr(_nvrtc(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    _check(getattr(_nvrtc(), f"nvrtcGet{what}")(program, text))
    return text.value.decode()


def _nvrtc() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise CompileError("no NVRTC: pip install nvidia-cuda-nvrtc")
    return found


def _check(result: int) -> None:
    if result:
        raise CompileError(f"NVRTC error {result}")
