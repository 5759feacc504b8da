"""Encoder settings: one validated record, and the table that turns it into each encoder's own options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kernels.errors import EncodeSettingsError, FormatError, nearest
from kernels.io.hdr import content_light, decimal_text, integer_text, mastering_display
from kernels.pixel_format import PIXEL_FORMATS, Family, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernels.frame import VideoFormat

_X_PRESETS: Final = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What one encoder takes. Quality defaults keep what the filters restored; `--crf` trades it for size."""

    name: str
    """libav's name of it."""
    crf: float | None
    """Default constant quality; None when it has no such setting."""
    crf_range: tuple[float, float] | None
    preset: str | None
    presets: tuple[str, ...]
    preset_option: str
    """The encoder's own option for the preset."""
    params_option: str | None
    """The option that takes `key=value:…` of the library itself."""
    quiet: str | None
    """What keeps it from writing to the terminal: a library parameter or, in capitals, an environment variable."""
    pixel_formats: tuple[str, ...]
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Options it always gets."""
    even_sides: bool = True
    """Whether subsampled sides have to be even."""
    min_size: tuple[int, int] = (1, 1)
    """Smallest (width, height) it encodes without harm."""


def _names(subsamplings: str, depths: str) -> tuple[str, ...]:
    suffixes = ["" if depth == "8" else depth for depth in depths.split()]
    return tuple(f"yuv{s}p{d}" for s in subsamplings.split() for d in suffixes)


_FFV1_DEPTHS: Final = "8 9 10 12 14 16"

ENCODERS: Final[dict[str, Encoder]] = {
    "h264": Encoder(
        name="libx264",
        crf=18,
        crf_range=(0, 51),
        preset="medium",
        presets=_X_PRESETS,
        preset_option="preset",
        params_option="x264-params",
        quiet=None,
        pixel_formats=(*_names("420 422 444", "8 10"), "gray", "gray10"),
    ),
    "hevc": Encoder(
        name="libx265",
        crf=20,
        crf_range=(0, 51),
        preset="medium",
        presets=_X_PRESETS,
        preset_option="preset",
        params_option="x265-params",
        quiet="log-level=none",
        pixel_formats=(
            *_names("420 422 444", "8 10 12"),
            *("gbrp", "gbrp10", "gbrp12", "gray", "gray10", "gray12"),
        ),
        # x265 4.2 writes past its buffers, and then crashes, at 48 columns or less and at 8 lines or less.
        min_size=(64, 16),
    ),
    "av1": Encoder(
        name="libsvtav1",
        crf=25,
        crf_range=(1, 63),
        preset="8",
        presets=tuple(map(str, range(14))),
        preset_option="preset",
        params_option="svtav1-params",
        quiet="SVT_LOG=1",
        pixel_formats=("yuv420p", "yuv420p10"),
    ),
    "vp9": Encoder(
        name="libvpx-vp9",
        crf=25,
        crf_range=(0, 63),
        preset="4",
        presets=tuple(map(str, range(9))),
        preset_option="cpu-used",
        params_option=None,
        quiet=None,
        pixel_formats=(*_names("420 422 440 444", "8"), "gbrp"),
        fixed={"row-mt": "1", "deadline": "good", "tile-columns": "2"},
        even_sides=False,
    ),
    "ffv1": Encoder(
        name="ffv1",
        crf=None,
        crf_range=None,
        preset=None,
        presets=(),
        preset_option="",
        params_option=None,
        quiet=None,
        pixel_formats=(
            *_names("420 422 444", _FFV1_DEPTHS),
            *_names("440", "8 10 12"),
            *("yuv411p", "yuv410p", "gray", "gray9", "gray10", "gray12", "gray14", "gray16"),
            *("gbrp9", "gbrp10", "gbrp12", "gbrp14", "gbrp16"),
        ),
        fixed={"level": "3", "slices": "16", "slicecrc": "1", "g": "1"},
        even_sides=False,
    ),
}
"""By the codec's name, as `--codec` takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSettings:
    """How the output is encoded. Raises `EncodeSettingsError` for what the encoder does not have."""

    codec: str = "h264"
    """h264, hevc, av1, vp9 or ffv1."""
    crf: float | None = None
    """Constant quality, lower is better; None takes the codec's default."""
    preset: str | None = None
    """Speed against size, in the encoder's own words; None takes the codec's default."""
    pixel_format: PixelFormat | None = None
    """What the encoder gets; None takes the one nearest to what the chain gives."""
    options: Mapping[str, str] = field(default_factory=dict)
    """More options of the encoder, by libav's names."""
    threads: int | None = None
    """Threads of the encoder; None lets it choose."""

    def __post_init__(self) -> None:
        if self.codec not in ENCODERS:
            raise EncodeSettingsError(f"unknown codec {self.codec!r}{nearest(self.codec, ENCODERS)}")
        encoder = self.encoder
        if self.crf is not None:
            if encoder.crf_range is None:
                raise EncodeSettingsError(f"{self.codec} is lossless and takes no crf; leave it out")
            low, high = encoder.crf_range
            if not low <= self.crf <= high:
                raise EncodeSettingsError(f"crf {self.crf:g}: {self.codec} takes {low:g} (best) to {high:g}")
        if self.preset is not None and self.preset not in encoder.presets:
            if not encoder.presets:
                raise EncodeSettingsError(f"{self.codec} has no presets; leave it out")
            raise EncodeSettingsError(
                f"unknown {self.codec} preset {self.preset!r}; allowed: {', '.join(encoder.presets)}"
            )
        if self.pixel_format is not None and self.pixel_format.name not in encoder.pixel_formats:
            raise EncodeSettingsError(
                f"{self.codec} cannot encode {self.pixel_format.name}; allowed: {', '.join(encoder.pixel_formats)}"
            )

    @property
    def encoder(self) -> Encoder:
        return ENCODERS[self.codec]


def encoder_pixel_format(settings: EncodeSettings, wanted: PixelFormat) -> PixelFormat:
    """The format to encode: the one that was asked for, else the nearest to `wanted` that loses least.

    A lost colour family weighs most, then lost chroma resolution, then lost bits, then bits never used.
    """
    if settings.pixel_format is not None:
        return settings.pixel_format

    def loss(candidate: PixelFormat) -> tuple[int, ...]:
        if candidate.family is wanted.family:
            family = 0
        elif Family.GRAY is wanted.family:
            family = 1
        else:
            family = 2 if candidate.family is not Family.GRAY else 3
        w, h = candidate.log2_chroma_w, candidate.log2_chroma_h
        lost_chroma = max(0, w - wanted.log2_chroma_w) + max(0, h - wanted.log2_chroma_h)
        spare_chroma = max(0, wanted.log2_chroma_w - w) + max(0, wanted.log2_chroma_h - h)
        if family == 1:  # gray in a colour format: the smallest chroma does
            lost_chroma, spare_chroma = 0, -w - h
        lost_bits = max(0, wanted.depth - candidate.depth)
        return family, lost_chroma, lost_bits, max(0, candidate.depth - wanted.depth), spare_chroma

    formats = (PIXEL_FORMATS[name] for name in settings.encoder.pixel_formats)
    return min(formats, key=loss)


def check_size(settings: EncodeSettings, format_: VideoFormat) -> None:
    """Raises `FormatError` for sides that the encoder does not take: too small, or odd where it needs even ones."""
    min_width, min_height = settings.encoder.min_size
    if format_.width < min_width or format_.height < min_height:
        raise FormatError(
            f"{settings.codec} cannot encode {format_.width}x{format_.height}: its smallest size is "
            f"{min_width}x{min_height}; choose --codec h264 or ffv1"
        )
    pixel = format_.pixel_format
    odd = (pixel.log2_chroma_w and format_.width % 2) or (pixel.log2_chroma_h and format_.height % 2)
    if odd and settings.encoder.even_sides:
        w = format_.width - (format_.width % 2 if pixel.log2_chroma_w else 0)
        h = format_.height - (format_.height % 2 if pixel.log2_chroma_h else 0)
        raise FormatError(
            f"{settings.codec} cannot encode {pixel.name} at the odd size {format_.width}x{format_.height}; "
            f"end the chain with crop={w}:{h} or choose the pixel format yuv444p"
        )


def encoder_options(
    settings: EncodeSettings, format_: VideoFormat, side_data: Mapping[str, bytes]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Libav's options for `settings`, and what of the HDR metadata they cannot carry."""
    encoder = settings.encoder
    options = dict(encoder.fixed)
    crf = encoder.crf if settings.crf is None else settings.crf
    if crf is not None:
        options["crf"] = f"{crf:g}"
    preset = settings.preset or encoder.preset
    if preset is not None:
        options[encoder.preset_option] = preset
    location = format_.color.chroma_location
    if location and format_.pixel_format.is_subsampled:
        options["chroma_sample_location"] = location.name.lower()
    params, lost = _hdr_params(settings.codec, side_data)
    if encoder.quiet is not None and not encoder.quiet.isupper():
        params.append(encoder.quiet)
    given = dict(settings.options)
    if encoder.params_option is not None:
        params += [part for part in [given.pop(encoder.params_option, "")] if part]
        if params:
            options[encoder.params_option] = ":".join(params)
    return {**options, **given}, lost


def _hdr_params(codec: str, side_data: Mapping[str, bytes]) -> tuple[list[str], tuple[str, ...]]:
    display, light = mastering_display(side_data), content_light(side_data)
    params: list[str] = []
    if codec == "hevc":
        if display is not None:
            params += [f"master-display={integer_text(display)}", "hdr10=1", "repeat-headers=1"]
        if light is not None:
            params.append(f"max-cll={light.max_cll},{light.max_fall}")
    elif codec == "h264":
        if display is not None:
            params.append(f"mastering-display={integer_text(display)}")
        if light is not None:
            params.append(f"cll={light.max_cll},{light.max_fall}")
    elif codec == "av1":
        if display is not None:
            params.append(f"mastering-display={decimal_text(display)}")
        if light is not None:
            params.append(f"content-light={light.max_cll},{light.max_fall}")
    elif display is not None or light is not None:
        message = f"{codec} cannot carry HDR10 mastering display and content light; they were dropped (use hevc or av1)"
        return [], (message,)
    return params, ()
