"""What a compiled kernel depends on, and so what its file is called: source, headers, options, architecture.

Cubins made beforehand (NVRTC needs no GPU) lie in the folder that FRAMEHAUL_CUBINS names, and are loaded instead of
compiling. A name that does not match is not found: a stale file is never used.
"""

from __future__ import annotations

import hashlib
import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernels.launch import Kernel

Function = TypeVar("Function")
LOGGER: Final = logging.getLogger(__name__)

CUDA: Final = Path(__file__).parent / "cuda"
INCLUDE: Final = CUDA / "include"
FOLDER_VARIABLE: Final = "FRAMEHAUL_CUBINS"


FLUSH: Final = "--ftz=true"
"""Denormal numbers are 0: what CuPy adds to whatever it compiles, so that its kernels and those made beforehand are the
same. Where a kernel may be off by two units in the last place it says so itself: `__fdividef`, `rsqrtf`, `exp2f`."""
EXACT: Final = "--fmad=false"
REFUSALS: Final = frozenset({200, 209, 218, 222, 300, 301, 500})
"""What the driver (CUresult, cuda.h) says of a file that it cannot use: INVALID_IMAGE, NO_BINARY_FOR_GPU, INVALID_PTX,
UNSUPPORTED_PTX_VERSION, INVALID_SOURCE, FILE_NOT_FOUND, NOT_FOUND (the entry point)."""


def source_of(kernel: Kernel) -> str:
    """The text of `kernel`: its own, or that of the file it names."""
    return kernel.source if "\n" in kernel.source else (CUDA / kernel.source).read_text(encoding="utf-8")


def options_of(kernel: Kernel) -> tuple[str, ...]:
    """What NVRTC is told of `kernel`, beside the architecture."""
    return (f"-I{INCLUDE}", *_language(kernel))


def _language(kernel: Kernel) -> tuple[str, ...]:
    """The options that are the same wherever this project is installed."""
    defines = (f"-D{name}={value}" for name, value in kernel.defines)
    return ("-std=c++17", FLUSH, *((EXACT,) if kernel.exact else ()), *defines)


@cache
def headers_digest() -> str:
    """Of every header's name and text. CuPy's own cache does not look into headers that a source includes."""
    digest = hashlib.sha256()
    for path in sorted(INCLUDE.glob("*.cuh")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def file_name(kernel: Kernel, architecture: int) -> str:
    """Of the cubin of `kernel` for compute capability `architecture` (90 for 9.0)."""
    facts = (source_of(kernel), kernel.entry, _language(kernel), headers_digest())
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:24]
    return f"{kernel.entry}-{digest}.sm_{architecture}.cubin"


def find(kernel: Kernel, architecture: int) -> Path | None:
    """The cubin of `kernel` made beforehand, if there is one."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    path = Path(folder) / file_name(kernel, architecture)
    return path if path.is_file() else None


def load(
    kernel: Kernel,
    architecture: int,
    open_file: Callable[[Path, Kernel], Function],
    compile_now: Callable[[Kernel], Function],
) -> Function:
    """`kernel` from machine code made beforehand, or compiled where there is none that the driver takes.

    A driver's refusal is a `RuntimeError` whose `status` is one of `REFUSALS`; the first of a folder is logged.
    """
    path = find(kernel, architecture)
    if path is not None:
        try:
            return open_file(path, kernel)
        except RuntimeError as error:
            if getattr(error, "status", None) not in REFUSALS:
                raise
            _say_refused(path.parent, path.name, str(error))
    return compile_now(kernel)


_told: set[Path] = set()
"""Folders of which a refusal has been logged."""


def _say_refused(folder: Path, name: str, reason: str) -> None:
    if folder in _told:
        return
    _told.add(folder)
    LOGGER.warning("the driver refuses %s (%s): kernels in %s are compiled instead", name, reason, folder)
