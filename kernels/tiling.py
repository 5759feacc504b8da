"""Grids of plane kernels: how a plane is cut into the tiles that blocks of threads compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.launch import Kernel, PlaneLaunch

if TYPE_CHECKING:
    from kernels.launch import Argument
    from kernels.operation import PlaneFormat

TILE: Final = (64, 32)
"""Columns and rows of the target that a block computes."""
ROWS: Final = 2
"""Rows that one of its threads computes, four neighbouring samples of each."""
_COPY_BLOCK: Final = (32, 8)
_COPY_BYTES: Final = 16
"""What a thread moves: the longest load and store there is."""


def tiled(
    source: str, plane_out: PlaneFormat, arguments: tuple[Argument, ...], defines: dict[str, int] | None = None
) -> PlaneLaunch:
    """The launch of the kernel in file `source`, named as the file is, over tiles of `TILE`.

    `arguments` follow the width and height of the target.
    """
    macros = {"TILE_W": TILE[0], "TILE_H": TILE[1], "ROWS": ROWS, **(defines or {})}
    size = (np.int32(plane_out.width), np.int32(plane_out.height))
    return PlaneLaunch(
        kernel=Kernel(source=source, entry=source.removesuffix(".cu"), defines=tuple(sorted(macros.items()))),
        grid=(-(-plane_out.width // TILE[0]), -(-plane_out.height // TILE[1])),
        block=(TILE[0] // 4, TILE[1] // ROWS),
        arguments=(*size, *arguments),
    )


def gain_and_peak(plane_in: PlaneFormat, plane_out: PlaneFormat) -> tuple[np.float32, np.int32]:
    """What a kernel stores samples with: the factor between both sides' bits, and the largest stored sample."""
    return np.float32(2.0 ** (plane_out.bits - plane_in.bits)), np.int32(plane_out.peak)


def copy(
    plane_in: PlaneFormat,
    plane_out: PlaneFormat,
    *,
    left: int = 0,
    top: int = 0,
    flip_x: bool = False,
    flip_y: bool = False,
    border: int = 0,
) -> PlaneLaunch:
    """The launch that puts the source, flipped or not, at (`left`, `top`) of the target; elsewhere is `border`."""
    count = _COPY_BYTES if plane_out.bits <= 8 else _COPY_BYTES // 2
    defines = {"COUNT": count, "FLIP_X": int(flip_x), "FLIP_Y": int(flip_y)}
    numbers = (plane_out.width, plane_out.height, plane_in.width, plane_in.height, left, top, border)
    return PlaneLaunch(
        kernel=Kernel(source="copy.cu", entry="copy", defines=tuple(sorted(defines.items())), exact=True),
        grid=(-(-plane_out.width // (_COPY_BLOCK[0] * count)), -(-plane_out.height // _COPY_BLOCK[1])),
        block=_COPY_BLOCK,
        arguments=tuple(map(np.int32, numbers)),
    )
