"""`crop`: cut a rectangle out of the picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from kernels.errors import FormatError
from kernels.expression import picture_names
from kernels.jit import njit
from kernels.operation import Kind, Operation, Tolerance
from kernels.options import Params, option
from kernels.tiling import copy

if TYPE_CHECKING:
    from kernels.expression import Expression
    from kernels.frame import Plane, VideoFormat
    from kernels.launch import PlaneLaunch
    from kernels.operation import PlaneFormat, RowsKernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop(Params):
    """FFmpeg's options."""

    out_w: Expression = option("iw", "width of what is kept, in pixels", aliases=("w",))
    out_h: Expression = option("ih", "height of what is kept, in pixels", aliases=("h",))
    x: Expression = option("(in_w-out_w)/2", "left edge, in pixels")
    y: Expression = option("(in_h-out_h)/2", "top edge, in pixels")
    keep_aspect: bool = option(False, "keep the display aspect by changing the shape of a pixel")
    exact: bool = option(False, "do not align to the chroma samples")


@njit(cache=True, nogil=True)
def copy_window(source, target, left, top, width, first, last):  # type: ignore[no-untyped-def]
    """Rows `first <= y < last` of `target` from `source` at (`left`, `top`)."""
    for y in range(first, last):
        row, out = source[top + y], target[y]
        for x in range(width):
            out[x] = row[left + x]


def rectangle(params: Crop, source: VideoFormat) -> tuple[int, int, int, int]:
    """(x, y, width, height) in luma pixels. Raises `FormatError` for one that does not fit."""
    pixel = source.pixel_format
    log2 = (0, 0) if params.exact else (pixel.log2_chroma_w, pixel.log2_chroma_h)
    names = picture_names(source)
    # Width and height may each refer to the other, as in FFmpeg.
    names["ow"] = names["out_w"] = _size_or(params.out_w, names, source.width)
    height = params.out_h.evaluate(names)
    names["oh"] = names["out_h"] = height
    width = params.out_w.evaluate(names)
    names["ow"] = names["out_w"] = width
    w, h = _align(width, log2[0]), _align(height, log2[1])
    if not (0 < w <= source.width and 0 < h <= source.height):
        raise FormatError(f"crop: {width:g}x{height:g} does not fit into {source.width}x{source.height}")
    # The place is found from the size as it was asked for, before it was rounded: so FFmpeg does.
    names["x"] = params.x.evaluate({**names, "y": 0.0})
    y = params.y.evaluate(names)
    left = min(max(round(names["x"]), 0), source.width - w)
    top = min(max(round(y), 0), source.height - h)
    return _align(left, log2[0]), _align(top, log2[1]), w, h


def _size_or(expression: Expression, names: dict[str, float], default: float) -> float:
    try:
        return expression.evaluate(names)
    except FormatError:
        return default


def _align(value: float, log2: int) -> int:
    """To the nearest integer, halves to even as FFmpeg has it, then down to a multiple of 2**log2."""
    return round(value) >> log2 << log2


def _output(params: Crop, source: VideoFormat) -> VideoFormat:
    _, _, width, height = rectangle(params, source)
    sar = source.sample_aspect_ratio
    if params.keep_aspect:
        sar = sar * Fraction(source.width * height, source.height * width)
    return replace(source, width=width, height=height, sample_aspect_ratio=sar)


def _corner(params: Crop, source: VideoFormat, plane_in: PlaneFormat) -> tuple[int, int]:
    """(left, top) of what is kept of a plane, in its own samples."""
    x, y, _, _ = rectangle(params, source)
    pixel = source.pixel_format
    return (x >> pixel.log2_chroma_w, y >> pixel.log2_chroma_h) if plane_in.component else (x, y)


def _cpu(
    params: Crop, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> RowsKernel:
    left, top = _corner(params, source, plane_in)

    def kernel(source: Plane, target: Plane, first: int, last: int) -> None:
        copy_window(source, target, left, top, plane_out.width, first, last)

    return kernel


def _cuda(
    params: Crop, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> PlaneLaunch:
    left, top = _corner(params, source, plane_in)
    return copy(plane_in, plane_out, left=-left, top=-top)


CROP = Operation(
    name="crop",
    kind=Kind.PLANE,
    params=Crop,
    summary="cut a rectangle out of the picture",
    source="definition: out[y, x] = in[y0 + y, x0 + x]",
    tolerance=Tolerance(max_codes=0, reason="samples are moved, never computed"),
    samples=("crop=iw/2:ih/2", "crop=iw-6:ih-4:2:2", "crop=w=7:h=5:x=3:y=1:exact=1"),
    cpu=_cpu,
    cuda=_cuda,
    output=_output,
    value_preserving=True,
    skips_unchanged=True,
)
