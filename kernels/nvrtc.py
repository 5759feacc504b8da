"""NVIDIA's run-time compiler without a GPU or a driver: CUDA source to machine code, ahead of time.

NVRTC comes from PyPI (`nvidia-cuda-nvrtc-cu12` for CUDA 12, `nvidia-cuda-nvrtc` for CUDA 13), with the extras
`cuda12` and `cuda13`. A process that has a GPU compiles through CuPy instead.
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kernels.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

ARCHITECTURES: Final = (75, 80, 86, 89, 90, 100, 120)
"""Turing, A100, RTX 30, RTX 40, H100 and H200, B200, RTX 50."""


@cache
def library() -> ctypes.CDLL | None:
    """The newest NVRTC that is installed, or None."""
    spec = importlib.util.find_spec("nvidia")
    folders = [Path(path) for path in spec.submodule_search_locations or ()] if spec else []
    found = [path for folder in folders for path in folder.glob("*/lib/libnvrtc.so.*")]
    return ctypes.CDLL(str(max(found, key=lambda path: int(path.suffix[1:])))) if found else None


def version() -> str:
    """Such as '13.5'. Raises `UnavailableError` without NVRTC."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(_nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"


def compile_cubin(source: str, options: Sequence[str], architecture: int) -> tuple[bytes, str]:
    """Machine code of `source` for `architecture` (90 is sm_90), and what the compiler says of it.

    Raises `UnavailableError` with the compiler's words where it refuses, or where there is no NVRTC.
    """
    nvrtc = _nvrtc()
    program = ctypes.c_void_p()
    flags = (*options, f"-arch=sm_{architecture}")
    array = (ctypes.c_char_p * len(flags))(*(flag.encode() for flag in flags))
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None))
    try:
        failed = nvrtc.nvrtcCompileProgram(program, len(flags), array)
        log = _bytes(program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
        if failed:
            raise UnavailableError(f"a kernel does not compile for sm_{architecture}: {log}")
        return _bytes(program, "CUBIN"), log
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _bytes(program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(getattr(_nvrtc(), f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    held = ctypes.create_string_buffer(size.value)
    _check(getattr(_nvrtc(), f"nvrtcGet{what}")(program, held))
    return held.raw


def _nvrtc() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise UnavailableError("no NVRTC to compile kernels with: pip install 'framehaul[cuda12]'")
    return found


def _check(result: int) -> None:
    if result:
        raise UnavailableError(f"NVRTC failed with error {result}")
