"""`format`: change the pixel format; colours keep their meaning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernels.color import Matrix, Range
from kernels.conversion import conversion
from kernels.operation import Kind, Operation, Tolerance
from kernels.options import Params, option
from kernels.pixel_format import Family, PixelFormat, pixel_format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.conversion import Affine
    from kernels.frame import VideoFormat
    from kernels.transfer import Curve


def _named(name: str) -> tuple[PixelFormat, Range | None]:
    """The format of FFmpeg's `name`, and the range that a yuvj name implies."""
    if name.startswith("yuvj"):
        return pixel_format(name.replace("yuvj", "yuv", 1)), Range.FULL
    return pixel_format(name), None


def _choices(pix_fmts: str) -> list[tuple[PixelFormat, Range | None]]:
    return [_named(name) for name in pix_fmts.split("|") if name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format(Params):
    """FFmpeg's option, and dither."""

    pix_fmts: str = option(
        "", "pixel format names separated by |; the input's is kept when it is among them", verify=_choices
    )
    dither: bool = option(True, "ordered dither where the output has fewer bits than the source", positional=False)


def _output(params: Format, source: VideoFormat) -> VideoFormat:
    named = _choices(params.pix_fmts)
    if not named:
        return source
    kept = [pair for pair in named if pair[0] == source.pixel_format]
    chosen, range_ = (kept or named)[0]
    target = replace(source, pixel_format=chosen)
    families = (source.pixel_format.family, chosen.family)
    color = source.resolved_color
    if families[0] is not Family.GBR and families[1] is Family.GBR:
        color = replace(color, matrix=Matrix.GBR, range=Range.FULL)
    elif families[0] is Family.GBR and families[1] is not Family.GBR:
        untagged = replace(target, color=replace(color, matrix=Matrix.UNSPECIFIED, range=Range.UNSPECIFIED))
        color = untagged.resolved_color
    if range_ is not None:
        color = replace(color, range=range_)
    return replace(target, color=color)


def _cpu(params: Format, source: VideoFormat, target: VideoFormat) -> Sequence[Affine | Curve]:
    return conversion(source, target)


FORMAT = Operation(
    name="format",
    kind=Kind.COLOUR,
    params=Format,
    summary="change pixel format, depth, chroma subsampling or colour family",
    source="ITU-T H.273 section 8.3, equations 20 to 52",
    tolerance=Tolerance(max_codes=1, reason="float32 products round differently at a half"),
    samples=("format=yuv444p", "format=gbrp", "format=yuv420p10", "format=gray", "format=yuv420p"),
    cpu=_cpu,
    output=_output,
    is_conversion=True,
)
