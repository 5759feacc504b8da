"""Compile, for every architecture, the kernels that no job changes: `python -m kernels.make_cubins FOLDER`.

For an image that is made once and started often. Kernels that are generated for a chain are compiled when its job
starts.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kernels import cubins
from kernels.nvrtc import ARCHITECTURES, compile_cubin, version
from kernels.sample_kernels import sample_kernels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernels.launch import Kernel


def fixed_kernels() -> tuple[Kernel, ...]:
    """The kernels of files, in the forms that the operations' samples launch."""
    return tuple(kernel for kernel in dict.fromkeys(sample_kernels().values()) if "\n" not in kernel.source)


def make_cubins(folder: Path, kernels: Iterable[Kernel], architectures: Iterable[int] = ARCHITECTURES) -> int:
    """Fill `folder` (made if need be); how many files were written. What is there already is left alone.

    Raises `UnavailableError` without NVRTC, or for a kernel that does not compile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = 0
    for kernel in kernels:
        for architecture in architectures:
            path = folder / cubins.file_name(kernel, architecture)
            if path.exists():
                continue
            code, _ = compile_cubin(cubins.source_of(kernel), cubins.options_of(kernel), architecture)
            path.write_bytes(code)
            written += 1
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m kernels.make_cubins FOLDER")
    made = make_cubins(Path(sys.argv[1]), fixed_kernels())
    print(f"NVRTC {version()}: {made} cubins in {sys.argv[1]}")  # noqa: T201 - a program of its own
