"""`pad`: put the picture onto a larger canvas of one colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kernels.color import Color
from kernels.conversion import conversion, fold, triplet_to_codes
from kernels.errors import FormatError, nearest
from kernels.expression import picture_names
from kernels.frame import MAX_SIDE, VideoFormat
from kernels.jit import njit
from kernels.named_colors import NAMED_COLORS
from kernels.operation import Kind, Operation, Tolerance
from kernels.options import Params, option
from kernels.pixel_format import pixel_format
from kernels.tiling import copy

if TYPE_CHECKING:
    from kernels.expression import Expression
    from kernels.frame import Plane
    from kernels.launch import PlaneLaunch
    from kernels.operation import PlaneFormat, RowsKernel


def rgb_of(text: str) -> int:
    """0xRRGGBB of a colour name or number. Raises `FormatError`."""
    name = text.lower()
    if name in NAMED_COLORS:
        return NAMED_COLORS[name]
    digits = name.removeprefix("#").removeprefix("0x")
    if len(digits) == 6 and all(c in "0123456789abcdef" for c in digits):
        return int(digits, 16)
    raise FormatError(f"color={text}: a name, #RRGGBB or 0xRRGGBB{nearest(name, NAMED_COLORS)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Params):
    """FFmpeg's options."""

    width: Expression = option("iw", "width of the canvas; 0 keeps the input's", aliases=("w",))
    height: Expression = option("ih", "height of the canvas; 0 keeps the input's", aliases=("h",))
    x: Expression = option("0", "left edge of the picture; negative centres it")
    y: Expression = option("0", "top edge of the picture; negative centres it")
    color: str = option("black", "colour of the border: a name, #RRGGBB or 0xRRGGBB", verify=rgb_of)
    aspect: Expression = option("0", "widen or heighten the canvas to this display aspect; 0 does not")


@njit(cache=True, nogil=True)
def place_rows(source, target, left, top, width, height, canvas, value, first, last):  # type: ignore[no-untyped-def]
    """Rows `first <= y < last` of a `canvas` pixels wide target: `value`, and the picture at (left, top)."""
    for y in range(first, last):
        out = target[y]
        if y < top or y >= top + height:
            out[:canvas] = value
            continue
        row = source[y - top]
        out[:left] = value
        for x in range(width):
            out[left + x] = row[x]
        out[left + width : canvas] = value


def geometry(params: Pad, source: VideoFormat) -> tuple[int, int, int, int]:
    """(x, y, width, height): where the picture goes on what canvas. Raises `FormatError` if it does not fit."""
    pixel = source.pixel_format
    names = picture_names(source)
    width, height = _canvas(params, source, names)
    aspect = params.aspect.evaluate(names) / float(source.sample_aspect_ratio)
    if aspect > 0 and min(width, height) > 0:
        width, height = (round(height * aspect), height) if width < height * aspect else (width, round(width / aspect))
    if min(width, height) < 0 or max(width, height) > MAX_SIDE:
        raise FormatError(
            f"pad: a canvas of {width:g}x{height:g} is impossible: each side must be 1 to {MAX_SIDE} pixels"
        )
    w, h = _align(width, pixel.log2_chroma_w), _align(height, pixel.log2_chroma_h)
    names |= {"ow": w, "out_w": w, "oh": h, "out_h": h}
    x = params.x.evaluate({**names, "x": 0.0, "y": 0.0})
    y = params.y.evaluate({**names, "x": x, "y": 0.0})
    left = (w - source.width) // 2 if x < 0 or x + source.width > w else int(x)
    top = (h - source.height) // 2 if y < 0 or y + source.height > h else int(y)
    left, top = _align(left, pixel.log2_chroma_w), _align(top, pixel.log2_chroma_h)
    if w < source.width or h < source.height:
        raise FormatError(f"pad: a {w:g}x{h:g} canvas is smaller than the {source.width}x{source.height} picture")
    return left, top, w, h


def _canvas(params: Pad, source: VideoFormat, names: dict[str, float]) -> tuple[float, float]:
    """Width and height, either of which may refer to the other; 0 stands for the picture's own."""
    names |= {"ow": source.width, "out_w": source.width, "oh": source.height, "out_h": source.height}
    width = params.width.evaluate(names) or source.width
    names |= {"ow": width, "out_w": width}
    height = params.height.evaluate(names) or source.height
    names |= {"oh": height, "out_h": height}
    return params.width.evaluate(names) or source.width, height


def _align(value: float, log2: int) -> int:
    return int(value) >> log2 << log2


def border_codes(params: Pad, target: VideoFormat) -> tuple[int, ...]:
    """The border's code in each plane of `target`."""
    rgb = rgb_of(params.color)
    red, green, blue = (rgb >> 16) / 255, (rgb >> 8 & 255) / 255, (rgb & 255) / 255
    picture = VideoFormat(width=1, height=1, pixel_format=pixel_format("gbrp"), color=Color())
    # The same light in and out: a named colour is a triplet of the target's own R'G'B'.
    light = replace(picture.resolved_color, transfer=target.color.transfer, primaries=target.color.primaries)
    parts = fold([*conversion(replace(picture, color=light), target, keep_light=True), triplet_to_codes(target)])
    triplet = np.array([green, blue, red])
    for part in parts:
        triplet = part.matrix @ triplet + part.offset
    peak = (1 << target.pixel_format.depth) - 1
    return tuple(int(np.clip(np.floor(v * peak + 0.5), 0, peak)) for v in triplet)


def _output(params: Pad, source: VideoFormat) -> VideoFormat:
    _, _, width, height = geometry(params, source)
    return replace(source, width=width, height=height)


def _placing(params: Pad, source: VideoFormat, target: VideoFormat, plane_out: PlaneFormat) -> tuple[int, int, int]:
    """(left, top, border) of a plane, in its own samples."""
    left, top, _, _ = geometry(params, source)
    pixel = source.pixel_format
    if plane_out.component:
        left, top = left >> pixel.log2_chroma_w, top >> pixel.log2_chroma_h
    return left, top, border_codes(params, target)[plane_out.component] << plane_out.shift


def _cpu(
    params: Pad, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> RowsKernel:
    left, top, border = _placing(params, source, target, plane_out)
    value = target.pixel_format.dtype.type(border)

    def kernel(source: Plane, target: Plane, first: int, last: int) -> None:
        place_rows(source, target, left, top, plane_in.width, plane_in.height, plane_out.width, value, first, last)

    return kernel


def _cuda(
    params: Pad, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> PlaneLaunch:
    left, top, border = _placing(params, source, target, plane_out)
    return copy(plane_in, plane_out, left=left, top=top, border=border)


PAD = Operation(
    name="pad",
    kind=Kind.PLANE,
    params=Pad,
    summary="put the picture onto a larger canvas of one colour",
    source="definition: a window of a constant plane replaced by the picture",
    tolerance=Tolerance(max_codes=0, reason="samples are moved, never computed"),
    samples=("pad=iw+8:ih+6:4:2", "pad=iw*2:ih*2:-1:-1:color=teal"),
    cpu=_cpu,
    cuda=_cuda,
    output=_output,
    value_preserving=True,
    skips_unchanged=True,
)
