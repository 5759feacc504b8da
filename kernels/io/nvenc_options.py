"""NVENC's options: one validated record, and the tables that make it from the encoder settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernels.errors import EncodeSettingsError
from kernels.io.capabilities import SURFACE_FORMATS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from kernels.frame import VideoFormat
    from kernels.io.capabilities import EncoderCaps
    from kernels.io.encode import EncodeSettings

B_FRAMES: Final = 3
"""Between two others, as the software encoders have; fewer where the GPU has fewer."""
GOP_FRAMES: Final = 250
"""From one keyframe to the next at most, as in x264 and x265. Every one starts a closed group."""
MAX_QUALITY: Final[Mapping[str, int]] = {"h264": 51, "hevc": 51, "av1": 63}
"""The largest value of NVENC's constant quality; 0 lets it choose, so lossless asks for quantizer 0 instead."""

_X_PRESETS: Final = {
    "ultrafast": 1,
    "superfast": 1,
    "veryfast": 2,
    "faster": 3,
    "fast": 4,
    "medium": 5,
    "slow": 6,
    "slower": 7,
    "veryslow": 7,
    "placebo": 7,
}
_SVT_PRESETS: Final = (7, 7, 7, 7, 6, 6, 5, 5, 5, 4, 3, 2, 1, 1)
PRESETS: Final[Mapping[str, Mapping[str, int]]] = {
    "h264": _X_PRESETS,
    "hevc": _X_PRESETS,
    "av1": {str(given): preset for given, preset in enumerate(_SVT_PRESETS)},
}
"""Preset of the software encoder -> NVENC's from P1 (fast) to P7 (small files)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NvencOptions:
    """What NVENC is told. PyNvVideoCodec ignores what it does not understand, so everything is checked here."""

    codec: str
    """'h264', 'hevc' or 'av1'."""
    surface: str
    """'NV12', 'P010', 'YUV444' or 'YUV444_10BIT'."""
    preset: int
    """1 to 7."""
    quality: int
    """Constant quality, 0 (lossless or nearly) to 51, or 63 for av1."""
    b_frames: int
    """0 to 4 between two others."""
    gop_frames: int = GOP_FRAMES
    """1 or more."""
    rate: Fraction
    """Frames per second: it only steers rate control."""

    def __post_init__(self) -> None:
        if self.codec not in MAX_QUALITY or self.surface not in SURFACE_FORMATS.values():
            raise EncodeSettingsError(f"NVENC encodes no {self.surface} surfaces as {self.codec}")
        ranges = {
            "preset": (1, 7),
            "quality": (0, MAX_QUALITY[self.codec]),
            "b_frames": (0, 4),
            "gop_frames": (1, 1 << 30),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise EncodeSettingsError(f"{name} {getattr(self, name)}: NVENC takes {low} to {high} for {self.codec}")
        if self.rate <= 0:
            raise EncodeSettingsError(f"{self.rate} frames per second: NVENC takes a rate above 0")

    @property
    def reorder_frames(self) -> int:
        """By how many places at most a packet comes before its turn in time.

        One with B-frames that nothing refers to, two where the middle one is referred to, which NVENC decides by
        codec and preset. AV1 hides its order: a packet is what is shown next.
        """
        return 0 if self.codec == "av1" else min(self.b_frames, 2)

    def arguments(self) -> dict[str, str | int]:
        """Keyword arguments of `PyNvVideoCodec.CreateEncoder`, in the spelling that it really understands."""
        rate = self.rate.limit_denominator(65535)
        if self.quality:
            control: dict[str, str | int] = {"rc": "vbr", "cq": self.quality}
        else:
            control = {"rc": "constqp", "constqp": "0,0,0"}
        return {
            "codec": self.codec,
            "preset": f"P{self.preset}",
            "tuning_info": "high_quality",
            "bf": self.b_frames,
            "gop": self.gop_frames,
            "idrperiod": self.gop_frames,
            "fps": f"{rate.numerator}/{rate.denominator}",
            **control,
        }


def nvenc_options(
    settings: EncodeSettings, format_: VideoFormat, caps: EncoderCaps, *, fallback_rate: Fraction
) -> NvencOptions:
    """NVENC's options for `settings`, whose quality and preset keep their meaning as far as they have one there."""
    encoder = settings.encoder
    crf = encoder.crf if settings.crf is None else settings.crf
    preset = settings.preset or encoder.preset or "medium"
    assert crf is not None, "refuse_settings lets no codec without a quality through"
    return NvencOptions(
        codec=settings.codec,
        surface=SURFACE_FORMATS[format_.pixel_format.name],
        preset=PRESETS[settings.codec][preset],
        quality=min(round(crf), MAX_QUALITY[settings.codec]),
        b_frames=min(B_FRAMES, caps.max_b_frames),
        rate=format_.frame_rate or fallback_rate,
    )
