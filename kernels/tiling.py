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

# cuda/nlmeans.cu: a lane has two columns, and those at either end only serve their neighbours.
_WARP: Final = 32
_WARPS: Final = 4
_WARP_ROWS: Final = 8
_MOST_PATCH: Final = 7
"""Radius above which column sums do not fit registers: cuda/nlmeans_wide.cu, with square tiles."""
_WIDE_TILE: Final = 32


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


def patches(
    plane_out: PlaneFormat, arguments: tuple[Argument, ...], *, patch: int, window: int, down_shift: int
) -> PlaneLaunch:
    """The launch of non-local means with these radii, on samples whose differences count `down_shift` bits less.

    `arguments` follow the width and height of the target.
    """
    size: tuple[Argument, ...] = (np.int32(plane_out.width), np.int32(plane_out.height))
    if patch > _MOST_PATCH:
        macros = {"DOWN_SHIFT": down_shift, "TILE": _WIDE_TILE}
        name, tile, block = "nlmeans_wide", (_WIDE_TILE, _WIDE_TILE), (_WIDE_TILE // 4, _WIDE_TILE)
        arguments += (np.int32(patch), np.int32(window))
    else:
        macros = {"DOWN_SHIFT": down_shift, "PATCH": patch, "ROWS": _WARP_ROWS, "WARPS": _WARPS, "WINDOW": window}
        name, block = "nlmeans", (_WARP, _WARPS)
        tile = (2 * (_WARP - 2 * ((patch + 1) // 2)), _WARPS * _WARP_ROWS)
    return PlaneLaunch(
        kernel=Kernel(source=f"{name}.cu", entry=name, defines=tuple(macros.items())),
        grid=(-(-plane_out.width // tile[0]), -(-plane_out.height // tile[1])),
        block=block,
        arguments=(*size, *arguments),
    )
