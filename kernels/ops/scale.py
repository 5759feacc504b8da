"""`scale`: change the size of the picture with an antialiased, correctly sited separable filter."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from kernels.color import Matrix, Range
from kernels.errors import FormatError, nearest
from kernels.expression import picture_names
from kernels.frame import MAX_SIDE
from kernels.operation import Kind, Operation, Tolerance
from kernels.options import Params, option
from kernels.pixel_format import Family
from kernels.resample import cpu as resample
from kernels.resample import cuda as device
from kernels.resample import filters
from kernels.resample.weights import plane_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernels.expression import Expression
    from kernels.frame import VideoFormat
    from kernels.launch import PlaneLaunch
    from kernels.operation import PlaneFormat, RowsKernel
    from kernels.resample.filters import Filter

# FFmpeg's value of param0 and param1 when they are not given.
_NOT_GIVEN: Final = 123456.0

# Filters by flag. `spline` is spline36 here (swscale's own spline is another, unpublished curve) and
# `fast_bilinear` is plain bilinear.
_FILTERS: Final[Mapping[str, Callable[..., Filter]]] = {
    "bicubic": filters.bicubic,
    "lanczos": filters.lanczos,
    "bilinear": filters.bilinear,
    "fast_bilinear": filters.bilinear,
    "spline": filters.spline36,
    "spline36": filters.spline36,
    "spline16": filters.spline16,
    "mitchell": lambda: filters.bicubic(1 / 3, 1 / 3),
    "catmull_rom": lambda: filters.bicubic(0.0, 0.5),
    "area": filters.area,
    "neighbor": filters.neighbor,
}
# swscale's switches for care that is always taken here.
_ALWAYS_DONE: Final = ("accurate_rnd", "full_chroma_int", "full_chroma_inp", "bitexact", "print_info")

# FFmpeg's names of frame sizes.
_SIZES: Final[Mapping[str, tuple[int, int]]] = {
    "ntsc": (720, 480), "pal": (720, 576), "qntsc": (352, 240), "qpal": (352, 288), "film": (352, 240),
    "sqcif": (128, 96), "qcif": (176, 144), "cif": (352, 288), "4cif": (704, 576), "16cif": (1408, 1152),
    "qqvga": (160, 120), "qvga": (320, 240), "vga": (640, 480), "svga": (800, 600), "xga": (1024, 768),
    "uxga": (1600, 1200), "qxga": (2048, 1536), "sxga": (1280, 1024), "wvga": (852, 480), "wxga": (1366, 768),
    "wuxga": (1920, 1200), "qhd": (960, 540), "nhd": (640, 360), "hd480": (852, 480), "hd720": (1280, 720),
    "hd1080": (1920, 1080), "2k": (2048, 1080), "2kdci": (2048, 1080), "2kflat": (1998, 1080),
    "2kscope": (2048, 858), "4k": (4096, 2160), "4kdci": (4096, 2160), "4kflat": (3996, 2160),
    "4kscope": (4096, 1716), "uhd2160": (3840, 2160), "uhd4320": (7680, 4320),
}  # fmt: skip

_MATRICES: Final = {
    "auto": Matrix.UNSPECIFIED, "bt709": Matrix.BT709, "fcc": Matrix.FCC, "bt601": Matrix.SMPTE170M,
    "bt470": Matrix.BT470BG, "smpte170m": Matrix.SMPTE170M, "smpte240m": Matrix.SMPTE240M, "bt2020": Matrix.BT2020_NCL,
}  # fmt: skip
_RANGES: Final = {
    "auto": Range.UNSPECIFIED, "unknown": Range.UNSPECIFIED, "full": Range.FULL, "jpeg": Range.FULL, "pc": Range.FULL,
    "limited": Range.LIMITED, "mpeg": Range.LIMITED, "tv": Range.LIMITED,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(Params):
    """Options of `scale`, in FFmpeg's order."""

    w: Expression = option(
        "iw", "width; 0 keeps the input's, -n keeps the aspect in multiples of n", aliases=("width",)
    )
    h: Expression = option(
        "ih", "height; 0 keeps the input's, -n keeps the aspect in multiples of n", aliases=("height",)
    )
    flags: str = option(
        "bicubic",
        f"filter: {', '.join(_FILTERS)}; swscale's accuracy flags may be added with +",
        aliases=("sws_flags",),
    )
    interl: int = option(0, "interlaced scaling: only 0, off", low=-1, high=1)
    size: str = option("", "width and height as 1280x720 or a name such as hd1080", aliases=("s",))
    in_color_matrix: Matrix = option(Matrix.UNSPECIFIED, "what the input's matrix really is", choices=_MATRICES)
    out_color_matrix: Matrix = option(Matrix.UNSPECIFIED, "matrix to convert to", choices=_MATRICES)
    in_range: Range = option(Range.UNSPECIFIED, "what the input's range really is", choices=_RANGES)
    out_range: Range = option(Range.UNSPECIFIED, "range to convert to", choices=_RANGES)
    param0: float = option(_NOT_GIVEN, "bicubic: B (default 0); lanczos: lobes, 1 to 10 (default 3)")
    param1: float = option(_NOT_GIVEN, "bicubic: C (default 0.6)")
    force_original_aspect_ratio: int = option(
        0,
        "shrink or grow one side to keep the aspect",
        low=0,
        high=2,
        choices={"disable": 0, "decrease": 1, "increase": 2},
    )
    force_divisible_by: int = option(1, "make both sides multiples of this when the aspect is forced", low=1, high=256)
    eval: str = option(
        "init", "both mean the same: no name depends on time", choices={"init": "init", "frame": "frame"}
    )

    def validate(self) -> None:
        if self.interl != 0:
            raise FormatError(f"interl={self.interl}: frames are scaled whole; deinterlace first and leave interl at 0")
        if self.size:
            _read_size(self.size)
            if (self.w.text, self.h.text) != ("iw", "ih"):
                raise FormatError("size and w, h were both given; give one of them")
        self.filter()

    def filter(self) -> Filter:
        """The filter that `flags`, `param0` and `param1` ask for; raises `FormatError`."""
        words = [word for word in self.flags.split("+") if word]
        for word in words:
            if word not in _FILTERS and word not in _ALWAYS_DONE:
                raise FormatError(f"flags={self.flags}: unknown flag {word!r}{nearest(word, _FILTERS)}")
        names = [word for word in words if word in _FILTERS] or ["bicubic"]
        if len(names) > 1:
            raise FormatError(f"flags={self.flags}: {' and '.join(names)} are both filters; give one")
        return _FILTERS[names[0]](*self._filter_arguments(names[0]))

    def _filter_arguments(self, name: str) -> tuple[float, ...]:
        given = {0: self.param0, 1: self.param1}
        first, second = (None if value == _NOT_GIVEN else value for value in given.values())
        if name == "lanczos":
            lobes = 3.0 if first is None else first
            if not 1 <= lobes <= 10:
                raise FormatError(f"param0={lobes:g}: lanczos takes 1 to 10 lobes")
            return (lobes,)
        if name == "bicubic":
            b, c = 0.0 if first is None else first, 0.6 if second is None else second
            if not (-10 <= b <= 10 and -10 <= c <= 10):
                raise FormatError(f"param0={b:g}, param1={c:g}: bicubic takes B and C from -10 to 10")
            return b, c
        return ()


def output_format(params: Scale, source: VideoFormat) -> VideoFormat:
    """`source` with the new size, and the pixel shape that keeps the display aspect.

    Raises `FormatError` for a size that cannot be.
    """
    width, height = _adjusted(*_asked_size(params, source), params, source)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise FormatError(
            f"scale of {source.width}x{source.height} gives {width}x{height}: each side must be 1 to {MAX_SIDE} pixels"
        )
    stretch = Fraction(source.width * height, width * source.height)
    sized = replace(source, width=width, height=height, sample_aspect_ratio=source.sample_aspect_ratio * stretch)
    return _tagged(sized, params.out_color_matrix, params.out_range)


def _assume(params: Scale, source: VideoFormat) -> VideoFormat:
    return _tagged(source, params.in_color_matrix, params.in_range)


def _tagged(format_: VideoFormat, matrix: Matrix, range_: Range) -> VideoFormat:
    """`format_` with the tags that are given; R'G'B' has neither to choose."""
    if format_.pixel_format.family is Family.GBR:
        return format_
    color = format_.color
    matrix = color.matrix if matrix is Matrix.UNSPECIFIED else matrix
    range_ = color.range if range_ is Range.UNSPECIFIED else range_
    return replace(format_, color=replace(color, matrix=matrix, range=range_))


def _is_size(text: str) -> bool:
    return text in _SIZES or re.fullmatch(r"[1-9]\d*x\d+", text) is not None


def _read_size(text: str) -> tuple[int, int]:
    if text in _SIZES:
        return _SIZES[text]
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise FormatError(f"size={text}: must be WIDTHxHEIGHT or a name{nearest(text, _SIZES)}")
    return int(match[1]), int(match[2])


def _asked_size(params: Scale, source: VideoFormat) -> tuple[int, int]:
    """(width, height) as the options say, negative where the aspect is to decide."""
    size = params.size
    if not size and params.h.text == "ih" and _is_size(params.w.text):
        size = params.w.text  # FFmpeg's scale=hd1080 and scale=1280x720
    if size:
        width, height = _read_size(size)
        return width or source.width, height or source.height
    hsub, vsub = 1 << source.pixel_format.log2_chroma_w, 1 << source.pixel_format.log2_chroma_h
    names = picture_names(source) | {"ohsub": hsub, "ovsub": vsub}
    needs_height = _mentions(params.w, "oh", "out_h")
    if needs_height and _mentions(params.h, "ow", "out_w"):
        raise FormatError(f"w={params.w} and h={params.h} refer to each other; give one of them in terms of iw, ih")
    if needs_height:
        height = int(params.h.evaluate(names)) or source.height
        width = int(params.w.evaluate(names | {"oh": height, "out_h": height})) or source.width
    else:
        width = int(params.w.evaluate(names)) or source.width
        height = int(params.h.evaluate(names | {"ow": width, "out_w": width})) or source.height
    return width, height


def _mentions(expression: Expression, *names: str) -> bool:
    return re.search(rf"\b({'|'.join(names)})\b", expression.text) is not None


def _adjusted(width: int, height: int, params: Scale, source: VideoFormat) -> tuple[int, int]:
    """Negative sides replaced by what keeps the aspect, then the forced aspect applied."""
    if width < 0 and height < 0:
        width, height = source.width, source.height
    elif width < 0:
        width = _rescaled(height, source.width, source.height, -width)
    elif height < 0:
        height = _rescaled(width, source.height, source.width, -height)
    if not params.force_original_aspect_ratio:
        return width, height
    step = params.force_divisible_by
    fitting = (
        _rescaled(height, source.width, source.height, step),
        _rescaled(width, source.height, source.width, step),
    )
    if params.force_original_aspect_ratio == 1:
        return min(fitting[0], width) // step * step, min(fitting[1], height) // step * step
    return -(-max(fitting[0], width) // step) * step, -(-max(fitting[1], height) // step) * step


def _rescaled(value: int, numerator: int, denominator: int, step: int) -> int:
    """Value * numerator / denominator to the nearest multiple of `step`, halves up."""
    return (2 * value * numerator + denominator * step) // (2 * denominator * step) * step


def _cpu(
    params: Scale, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> RowsKernel | None:
    vertical, horizontal = plane_axes(source, target, plane_in.component)
    return resample.bind(vertical, horizontal, params.filter(), plane_in, plane_out)


def _cuda(
    params: Scale, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> PlaneLaunch | None:
    vertical, horizontal = plane_axes(source, target, plane_in.component)
    return device.bind(vertical, horizontal, params.filter(), plane_in, plane_out)


SCALE: Final = Operation(
    name="scale",
    kind=Kind.PLANE,
    params=Scale,
    summary="change the size: antialiased separable filters, chroma kept in its place",
    source="Mitchell and Netravali 1988 (bicubic); Duchon 1979 (lanczos); H.273 figure 10 (chroma siting)",
    tolerance=Tolerance(
        max_codes=1, reason="float32 sums against float64: a value on a rounding boundary may fall either way"
    ),
    samples=(
        "scale=w=iw*2:h=ih*2:flags=lanczos",
        "scale=w=iw*2:h=ih*2:flags=lanczos:param0=4",
        "scale=w=iw*3/2:h=ih*3/2:flags=spline36",
        "scale=w=iw*2/3:h=ih*2/3:flags=bicubic",
        "scale=w=iw/2:h=ih/2:flags=area",
        "scale=w=iw+13:h=ih-7:flags=bilinear",
        "scale=w=iw*2:h=0:flags=neighbor",
    ),
    cpu=_cpu,
    cuda=_cuda,
    output=output_format,
    assume=_assume,
    skips_unchanged=True,
)
