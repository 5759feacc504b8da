"""`transpose`: rows become columns, with a flip before or after: rotation by 90 degrees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.errors import FormatError
from kernels.jit import njit
from kernels.launch import Kernel, PlaneLaunch
from kernels.operation import Kind, Operation, Tolerance
from kernels.options import Params, option

if TYPE_CHECKING:
    from kernels.frame import Plane, VideoFormat
    from kernels.operation import PlaneFormat, RowsKernel

# FFmpeg's numbers: bit 0 flips vertically before (clockwise), bit 1 after the transposition.
_DIRECTIONS: Final = {"cclock_flip": 0, "clock": 1, "cclock": 2, "clock_flip": 3}
_PASSTHROUGH: Final = {"none": 0, "portrait": 2, "landscape": 1}
_BLOCK: Final = 32
"""Side of the square that is transposed at a time: both its rows and its columns stay in the cache."""
_TILE: Final = 64
_TILE_ROWS: Final = 16
"""Side of the square that a block of GPU threads transposes, and how many rows of it they move at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose(Params):
    """FFmpeg's options."""

    dir: int = option(
        0,
        "direction: clockwise or counter-clockwise, with or without a vertical flip",
        low=0,
        high=3,
        choices=_DIRECTIONS,
    )
    passthrough: int = option(0, "leave a picture of this orientation alone", low=0, high=2, choices=_PASSTHROUGH)


@njit(cache=True, nogil=True)
def transpose_rows(source, target, width, height, flip_in, flip_out, first, last):  # type: ignore[no-untyped-def]
    """Rows `first <= y < last` of a `width` x `height` target.

    `flip_in` reverses the source rows, `flip_out` the target rows.
    """
    for y0 in range(first, last, np.int64(_BLOCK)):
        y1 = min(y0 + np.int64(_BLOCK), last)
        for x0 in range(0, width, np.int64(_BLOCK)):
            x1 = min(x0 + np.int64(_BLOCK), width)
            for y in range(y0, y1):
                out = target[y]
                column = height - 1 - y if flip_out else y
                for x in range(x0, x1):
                    out[x] = source[width - 1 - x if flip_in else x, column]


def _passes(params: Transpose, source: VideoFormat) -> bool:
    portrait, landscape = source.height >= source.width, source.width >= source.height
    return (params.passthrough == _PASSTHROUGH["portrait"] and portrait) or (
        params.passthrough == _PASSTHROUGH["landscape"] and landscape
    )


def _output(params: Transpose, source: VideoFormat) -> VideoFormat:
    """Width and height change places, and so do the sides of a pixel and the chroma subsampling."""
    if _passes(params, source):
        return source
    pixel = source.pixel_format
    if pixel.is_subsampled and pixel.log2_chroma_w != pixel.log2_chroma_h:
        swapped = pixel.with_subsampling(pixel.log2_chroma_h, pixel.log2_chroma_w)
        if "(" in swapped.name:
            raise FormatError(f"transpose: {pixel.name} has no transposed form; put format=yuv444p before it")
        pixel = swapped
    return replace(
        source,
        width=source.height,
        height=source.width,
        pixel_format=pixel,
        sample_aspect_ratio=1 / source.sample_aspect_ratio,
    )


def _cpu(
    params: Transpose, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> RowsKernel | None:
    if _passes(params, source):
        return None
    flip_in, flip_out = bool(params.dir & 1), bool(params.dir & 2)

    def kernel(source: Plane, target: Plane, first: int, last: int) -> None:
        transpose_rows(source, target, plane_out.width, plane_out.height, flip_in, flip_out, first, last)

    return kernel


def _cuda(
    params: Transpose, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> PlaneLaunch | None:
    if _passes(params, source):
        return None
    macros = {"FLIP_IN": params.dir & 1, "FLIP_OUT": params.dir >> 1, "ROWS": _TILE_ROWS, "TILE": _TILE}
    return PlaneLaunch(
        kernel=Kernel(source="transpose.cu", entry="transpose", defines=tuple(macros.items()), exact=True),
        grid=(-(-plane_out.width // _TILE), -(-plane_out.height // _TILE)),
        block=(_TILE // 4, _TILE_ROWS),
        arguments=(np.int32(plane_out.width), np.int32(plane_out.height)),
    )


TRANSPOSE = Operation(
    name="transpose",
    kind=Kind.PLANE,
    params=Transpose,
    summary="rotate by 90 degrees, with or without a flip",
    source="definition: out[y, x] = in[x, y], rows reversed before (clock) or after (cclock)",
    tolerance=Tolerance(max_codes=0, reason="samples are moved, never computed"),
    samples=("transpose", "transpose=clock", "transpose=cclock", "transpose=clock_flip"),
    cpu=_cpu,
    cuda=_cuda,
    output=_output,
    value_preserving=True,
    skips_unchanged=True,
)
