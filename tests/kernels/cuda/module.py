"""Kernels run on the CPU under the rules of a strict GPU: the face of `cupy.RawModule`, for NumPy arrays.

`Module` compiles an unchanged `.cu` text with g++ (builds are kept by content) and its functions launch as CuPy's
do. Strict means: shared memory and local variables start as poison; blocks, and the threads of a block, run forward,
backward or shuffled, anew after each barrier; every thread must reach every barrier; arguments must have the kernel's
own types; undefined behaviour, and every access outside an array (see `memory.guarded`), ends the launch with an error.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HERE: Final = Path(__file__).parent
CACHE: Final = Path(os.environ.get("CUDA_ON_CPU_CACHE", HERE.parents[2] / ".cuda_on_cpu"))
ORDERS: Final = (0, 1, 2)
"""Forward, backward, shuffled."""
MAX_THREADS: Final = 1024
"""Threads of a block, on every GPU."""

_FLAGS: Final = (
    "-std=c++17", "-O1", "-fPIC", "-shared", "-w", "-fno-semantic-interposition", "-ffp-contract=off",
    "-ftrivial-auto-var-init=pattern", "-fno-strict-aliasing",
    "-fsanitize=undefined,bounds-strict,float-cast-overflow", "-fsanitize-undefined-trap-on-error",
)  # fmt: skip
_SIGNALS: Final = {
    4: "undefined behaviour (an index outside its array, an overflow, a misaligned access)",
    7: "access past the end of a mapping",
    8: "division by zero",
    11: "access outside an array",
}


class LaunchError(RuntimeError):
    """What a GPU would have done silently, or not at all."""


class _Launch(ctypes.Structure):
    """`shim::Launch`."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("order", ctypes.c_uint),
        ("count", ctypes.c_int),
        ("types", ctypes.POINTER(ctypes.c_char_p)),
        ("values", ctypes.POINTER(ctypes.c_void_p)),
        ("line", ctypes.c_int),
        ("signal", ctypes.c_int),
        ("wanted", ctypes.c_char_p),
        ("failed_block", ctypes.c_uint * 3),
        ("failed_thread", ctypes.c_uint * 3),
    )


class Module:
    """A compiled `.cu` text; `options` are `-D` and `-I` as NVRTC takes them."""

    def __init__(self, code: str, options: Sequence[str] = ()) -> None:
        names = entry_points(code)
        lines = [
            f'extern "C" int launch_{n}(shim::Launch *launch) {{ return shim::call({n}, launch); }}' for n in names
        ]
        text = "\n".join(['#include "cuda_on_cpu.h"', '#line 1 "kernel.cu"', code, *lines])
        folders = [Path(o[2:]) for o in options if o.startswith("-I")]
        _runtime()
        self._library = ctypes.CDLL(str(_build(text, (*_FLAGS, f"-I{HERE}", *options), (HERE, *folders))))
        self._names = names

    def get_function(self, name: str) -> Function:
        if name not in self._names:
            raise AttributeError(f"no kernel {name!r}: the source has {', '.join(self._names) or 'none'}")
        return Function(name, getattr(self._library, f"launch_{name}"))


class Function:
    """A kernel: `function(grid, block, args)`, as in CuPy."""

    def __init__(self, name: str, call: Any) -> None:
        self.name = name
        self._call = call

    def __call__(
        self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0, order: int = 0
    ) -> None:
        """Launch it with its threads in `order`, see `ORDERS`.

        Raises `LaunchError` naming the block and thread, or the argument, that is wrong.
        """
        threads = int(np.prod(block))
        if not 0 < threads <= MAX_THREADS or min(grid) < 1:
            raise LaunchError(f"{self.name}: a grid of {tuple(grid)} blocks of {tuple(block)} threads cannot run")
        if shared_mem:
            raise LaunchError(f"{self.name}: shared memory is declared in the kernel, not given at the launch")
        kept = [_argument(value) for value in args]
        types = (ctypes.c_char_p * len(kept))(*(letters.encode() for letters, _ in kept))
        values = (ctypes.c_void_p * len(kept))(*(value.ctypes.data for _, value in kept))
        launch = _Launch(_three(grid), _three(block), order, len(kept), types, values)
        verdict = self._call(ctypes.byref(launch))
        if verdict:
            raise LaunchError(f"{self.name}: {_reason(verdict, launch, [letters for letters, _ in kept])}")


def _reason(verdict: int, launch: _Launch, given: list[str]) -> str:
    """The failure `verdict` (`shim::Verdict`) in words."""
    where = f"in block {tuple(launch.failed_block)}, thread {tuple(launch.failed_thread)}"
    if verdict == 1:
        return f"takes {launch.line} arguments, not {len(given)}"
    if verdict == 2:
        return f"argument {launch.line} must be {launch.wanted.decode()}, not {given[launch.line]}"
    if verdict == 3:
        return f"{_SIGNALS[launch.signal]} {where}"
    if verdict == 4:
        return f"threads wait at different barriers, one of them at line {launch.line}, {where}"
    return f"some threads left while others wait at line {launch.line}, {where}"


def _three(counts: Sequence[int]) -> Any:
    return (ctypes.c_uint * 3)(*counts, *(1,) * (3 - len(counts)))


def _argument(value: Any) -> tuple[str, NDArray[Any]]:
    """The letters of a kernel's parameter, and memory that holds the argument itself.

    A Python int is 8 bytes, as CuPy has it: a kernel that takes an `int` refuses it.
    """
    if isinstance(value, np.ndarray):
        kind = "P" if value.flags.writeable else "C"
        return f"{kind}{value.dtype.str[1:]}", np.array(value.ctypes.data, np.uintp)
    held = np.array(value)
    return held.dtype.str[1:], held


def entry_points(code: str) -> list[str]:
    """Names of the `extern "C" __global__` functions in `code`."""
    names = []
    for part in code.split('extern "C" __global__')[1:]:
        words = re.finditer(r"(\w+)\s*\(", part)
        found = next(word[1] for word in words if word[1] != "__launch_bounds__" and _depth(part[: word.start()]) == 0)
        names.append(found)
    return names


def _depth(text: str) -> int:
    return text.count("(") - text.count(")")


@cache
def _runtime() -> ctypes.CDLL:
    """The library that runs blocks, loaded once for all kernels."""
    flags = ("-std=c++17", "-O2", "-fPIC", "-shared", f"-I{HERE}")
    return ctypes.CDLL(str(_build((HERE / "runtime.cpp").read_text(), flags, (HERE,))), mode=ctypes.RTLD_GLOBAL)


def _build(text: str, flags: Sequence[str], folders: Sequence[Path]) -> Path:
    """The shared library of `text`, from the cache if the same text, flags and headers were built before."""
    facts = [text, *flags, *(digest for folder in folders for digest in _headers(folder))]
    library = CACHE / f"{hashlib.sha256(repr(facts).encode()).hexdigest()[:24]}.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = library.with_suffix(f".{os.getpid()}")
        command = ["g++", *flags, "-x", "c++", "-", "-o", str(partial)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise LaunchError(f"g++ refuses the kernel:\n{done.stderr}")
        partial.replace(library)
    return library


@cache
def _headers(folder: Path) -> tuple[str, ...]:
    """Name and text of every header in `folder`."""
    return tuple(f"{p.name} {p.read_text()}" for p in sorted(folder.iterdir()) if p.suffix in {".h", ".cuh"})
