"""`colorspace`: convert matrix, range, transfer and primaries, and retag accordingly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from kernels.color import Matrix, Primaries, Range, Transfer
from kernels.conversion import conversion
from kernels.errors import FormatError
from kernels.operation import Kind, Operation, Tolerance
from kernels.options import Params, option
from kernels.pixel_format import Family, pixel_format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.color import Color
    from kernels.conversion import Affine
    from kernels.frame import VideoFormat
    from kernels.transfer import Curve

_Tag = TypeVar("_Tag", Matrix, Transfer, Primaries)

_SPACES: Final = {
    "bt709": Matrix.BT709,
    "fcc": Matrix.FCC,
    "bt470bg": Matrix.BT470BG,
    "smpte170m": Matrix.SMPTE170M,
    "smpte240m": Matrix.SMPTE240M,
    "ycgco": Matrix.YCGCO,
    "gbr": Matrix.GBR,
    "bt2020nc": Matrix.BT2020_NCL,
    "bt2020ncl": Matrix.BT2020_NCL,
}
_TRANSFERS: Final = {
    "bt709": Transfer.BT709,
    "bt470m": Transfer.GAMMA22,
    "gamma22": Transfer.GAMMA22,
    "bt470bg": Transfer.GAMMA28,
    "gamma28": Transfer.GAMMA28,
    "smpte170m": Transfer.SMPTE170M,
    "smpte240m": Transfer.SMPTE240M,
    "linear": Transfer.LINEAR,
    "srgb": Transfer.SRGB,
    "iec61966-2-1": Transfer.SRGB,
    "xvycc": Transfer.IEC61966_2_4,
    "iec61966-2-4": Transfer.IEC61966_2_4,
    "bt2020-10": Transfer.BT2020_10,
    "bt2020-12": Transfer.BT2020_12,
}
_PRIMARIES: Final = {
    "bt709": Primaries.BT709,
    "bt470m": Primaries.BT470M,
    "bt470bg": Primaries.BT470BG,
    "smpte170m": Primaries.SMPTE170M,
    "smpte240m": Primaries.SMPTE240M,
    "film": Primaries.FILM,
    "smpte431": Primaries.SMPTE431,
    "smpte432": Primaries.SMPTE432,
    "bt2020": Primaries.BT2020,
    "jedec-p22": Primaries.EBU3213,
    "ebu3213": Primaries.EBU3213,
}
_RANGES: Final = {"tv": Range.LIMITED, "mpeg": Range.LIMITED, "pc": Range.FULL, "jpeg": Range.FULL}
# What `all` stands for: matrix, transfer, primaries of each system.
_SYSTEMS: Final = {
    "bt470m": (Matrix.SMPTE170M, Transfer.GAMMA22, Primaries.BT470M),
    "bt470bg": (Matrix.BT470BG, Transfer.GAMMA28, Primaries.BT470BG),
    "bt601-6-525": (Matrix.SMPTE170M, Transfer.SMPTE170M, Primaries.SMPTE170M),
    "bt601-6-625": (Matrix.BT470BG, Transfer.SMPTE170M, Primaries.BT470BG),
    "bt709": (Matrix.BT709, Transfer.BT709, Primaries.BT709),
    "smpte170m": (Matrix.SMPTE170M, Transfer.SMPTE170M, Primaries.SMPTE170M),
    "smpte240m": (Matrix.SMPTE240M, Transfer.SMPTE240M, Primaries.SMPTE240M),
    "bt2020": (Matrix.BT2020_NCL, Transfer.BT2020_10, Primaries.BT2020),
}
_NO_SYSTEM: Final = (Matrix.UNSPECIFIED, Transfer.UNSPECIFIED, Primaries.UNSPECIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorSpace(Params):
    """FFmpeg's options. What is not given stays as the input has it."""

    all: str = option(
        "", "matrix, transfer and primaries of a whole system", choices={**{n: n for n in _SYSTEMS}, "": ""}
    )
    space: Matrix = option(Matrix.UNSPECIFIED, "output matrix", choices=_SPACES | {"": Matrix.UNSPECIFIED})
    range: Range = option(Range.UNSPECIFIED, "output range", choices=_RANGES | {"": Range.UNSPECIFIED})
    primaries: Primaries = option(
        Primaries.UNSPECIFIED, "output primaries", choices=_PRIMARIES | {"": Primaries.UNSPECIFIED}
    )
    trc: Transfer = option(
        Transfer.UNSPECIFIED, "output transfer characteristics", choices=_TRANSFERS | {"": Transfer.UNSPECIFIED}
    )
    format: str = option("", "output pixel format", verify=lambda name: name and pixel_format(name))
    fast: bool = option(False, "convert the matrix alone, leaving light as it is")
    dither: bool = option(
        True, "ordered dither where the output has fewer bits", choices={"none": False, "ordered": True, "fsb": True}
    )
    iall: str = option("", "what the input really is, whatever its tags", choices={**{n: n for n in _SYSTEMS}, "": ""})
    ispace: Matrix = option(Matrix.UNSPECIFIED, "input matrix", choices=_SPACES | {"": Matrix.UNSPECIFIED})
    irange: Range = option(Range.UNSPECIFIED, "input range", choices=_RANGES | {"": Range.UNSPECIFIED})
    iprimaries: Primaries = option(
        Primaries.UNSPECIFIED, "input primaries", choices=_PRIMARIES | {"": Primaries.UNSPECIFIED}
    )
    itrc: Transfer = option(
        Transfer.UNSPECIFIED, "input transfer characteristics", choices=_TRANSFERS | {"": Transfer.UNSPECIFIED}
    )


def _with_tags(color: Color, system: str, space: Matrix, trc: Transfer, primaries: Primaries, range_: Range) -> Color:
    """`color` with what is given put in, single properties before a system's."""
    whole = _SYSTEMS.get(system, _NO_SYSTEM)
    return replace(
        color,
        matrix=_given(space) or _given(whole[0]) or color.matrix,
        transfer=_given(trc) or _given(whole[1]) or color.transfer,
        primaries=_given(primaries) or _given(whole[2]) or color.primaries,
        range=range_ if range_ is not Range.UNSPECIFIED else color.range,
    )


def _given(tag: _Tag) -> _Tag | None:
    return None if tag.name == "UNSPECIFIED" else tag


def _assume(params: ColorSpace, source: VideoFormat) -> VideoFormat:
    color = _with_tags(source.color, params.iall, params.ispace, params.itrc, params.iprimaries, params.irange)
    return replace(source, color=color)


def _output(params: ColorSpace, source: VideoFormat) -> VideoFormat:
    color = _with_tags(source.resolved_color, params.all, params.space, params.trc, params.primaries, params.range)
    target = replace(source, pixel_format=pixel_format(params.format)) if params.format else source
    is_gbr = target.pixel_format.family is Family.GBR
    if is_gbr and color.matrix is not Matrix.GBR:
        color = replace(color, matrix=Matrix.GBR, range=Range.FULL)
    was_gbr = source.pixel_format.family is Family.GBR
    if was_gbr and not is_gbr and params.range is Range.UNSPECIFIED:
        color = replace(color, range=Range.LIMITED)
    if not is_gbr and color.matrix is Matrix.GBR:
        held = target.pixel_format
        raise FormatError(
            f"colorspace: {held} cannot hold the gbr matrix; give space=bt709 or put format=gbrp after it"
        )
    return replace(target, color=color)


def _cpu(params: ColorSpace, source: VideoFormat, target: VideoFormat) -> Sequence[Affine | Curve]:
    return conversion(source, target, keep_light=params.fast)


COLORSPACE = Operation(
    name="colorspace",
    kind=Kind.COLOUR,
    params=ColorSpace,
    summary="convert colour matrix, range, transfer and primaries",
    source="ITU-T H.273 section 8; SMPTE RP 177 for primaries; Bradford adaptation (Lam 1985)",
    tolerance=Tolerance(max_codes=1, reason="float32 products and interpolated curves round differently at a half"),
    samples=(
        "colorspace=bt709:iall=smpte170m",
        "colorspace=space=bt2020nc:fast=1",
        "colorspace=range=pc",
        "colorspace=all=bt2020:format=yuv420p10",
    ),
    cpu=_cpu,
    output=_output,
    assume=_assume,
    is_conversion=True,
)
