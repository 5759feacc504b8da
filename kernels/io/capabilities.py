"""What a GPU's decoder and encoder can do, and why a given stream is none for them. Pure: nothing is asked here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernels.pixel_format import Family

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernels.frame import VideoFormat
    from kernels.io.encode import EncodeSettings
    from kernels.pixel_format import PixelFormat

HARDWARE_DECODED: Final = ("h264", "hevc", "vp9", "av1")
"""Codecs given to NVDEC, by libav's name. MPEG-2 and older, small and mostly interlaced, stay with the CPU."""
HARDWARE_ENCODED: Final = ("h264", "hevc", "av1")
MACROBLOCK: Final = 16

SURFACE_FORMATS: Final[Mapping[str, str]] = {
    "yuv420p": "NV12",
    "yuv420p10": "P010",
    "yuv444p": "YUV444",
    "yuv444p10": "YUV444_10BIT",
}
"""Pixel formats that NVENC is given -> the name PyNvVideoCodec has for its surface."""
_ENCODED_FORMATS: Final[Mapping[str, tuple[str, ...]]] = {
    "h264": ("yuv420p", "yuv420p10", "yuv444p"),
    "hevc": ("yuv420p", "yuv420p10", "yuv444p", "yuv444p10"),
    "av1": ("yuv420p", "yuv420p10"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderCaps:
    """What NVDEC says about one codec at one depth and chroma subsampling. Sizes in pixels."""

    is_supported: bool
    engines: int = 0
    """Decoders that work at the same time."""
    min_size: tuple[int, int] = (0, 0)
    """Width, height."""
    max_size: tuple[int, int] = (0, 0)
    max_macroblocks: int = 0
    """Most blocks of 16x16 in a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderCaps:
    """What NVENC says about one codec. Sizes in pixels, width and height."""

    engines: int
    max_b_frames: int
    """Most B-frames between two others; 0 where it has none (HEVC on Volta)."""
    has_10_bit: bool
    has_444: bool
    min_size: tuple[int, int]
    max_size: tuple[int, int]


def chroma_of(pixel_format: PixelFormat) -> str | None:
    """'420', '422' or '444' of a format that a GPU decodes or encodes; None for all others."""
    if pixel_format.family is not Family.YUV:
        return None
    return {(1, 1): "420", (1, 0): "422", (0, 0): "444"}.get((pixel_format.log2_chroma_w, pixel_format.log2_chroma_h))


def refuse_stream(codec: str, format_: VideoFormat) -> str:
    """Why NVDEC is not even asked for this stream; empty when it is."""
    if codec not in HARDWARE_DECODED:
        return f"NVDEC is used for {', '.join(HARDWARE_DECODED)}, not for {codec}"
    if chroma_of(format_.pixel_format) is None:
        return f"NVDEC gives no {format_.pixel_format} frames"
    if format_.height % 2:
        return f"PyNvVideoCodec cuts the last chroma row of an odd height ({format_.height})"
    return ""


def refuse_decode(codec: str, format_: VideoFormat, caps: DecoderCaps) -> str:
    """Why this device's NVDEC cannot decode the stream; empty when it can."""
    pixel = format_.pixel_format
    if not caps.is_supported:
        return f"this GPU cannot decode {pixel.depth}-bit {_colons(pixel)} {codec}"
    size = (format_.width, format_.height)
    blocks = -(-size[0] // MACROBLOCK) * -(-size[1] // MACROBLOCK)
    if not _fits(size, caps.min_size, caps.max_size) or blocks > caps.max_macroblocks:
        return f"this GPU decodes {codec} {_range(caps.min_size, caps.max_size)}, not {size[0]}x{size[1]}"
    return ""


def refuse_settings(settings: EncodeSettings, format_: VideoFormat) -> str:
    """Why NVENC is not even asked for this output; empty when it is."""
    codec, pixel = settings.codec, format_.pixel_format
    if codec not in HARDWARE_ENCODED:
        return f"NVENC encodes {', '.join(HARDWARE_ENCODED)}, not {codec}"
    if settings.options:
        return f"options for {settings.encoder.name} were given, which NVENC does not know"
    if pixel.name not in _ENCODED_FORMATS[codec]:
        return f"NVENC encodes no {pixel.name} as {codec}"
    if format_.width % 2 or format_.height % 2:
        return f"NVENC takes even sides only, not {format_.width}x{format_.height}"
    return ""


def refuse_encode(settings: EncodeSettings, format_: VideoFormat, caps: EncoderCaps) -> str:
    """Why this device's NVENC cannot encode the output; empty when it can."""
    codec, pixel = settings.codec, format_.pixel_format
    if (pixel.depth > 8 and not caps.has_10_bit) or (chroma_of(pixel) == "444" and not caps.has_444):
        return f"this GPU cannot encode {pixel.depth}-bit {_colons(pixel)} {codec}"
    size = (format_.width, format_.height)
    if not _fits(size, caps.min_size, caps.max_size):
        return f"this GPU encodes {codec} {_range(caps.min_size, caps.max_size)}, not {size[0]}x{size[1]}"
    return ""


def _colons(pixel_format: PixelFormat) -> str:
    return ":".join(chroma_of(pixel_format) or "gray")


def _fits(size: tuple[int, int], low: tuple[int, int], high: tuple[int, int]) -> bool:
    return all(a <= s <= b for a, s, b in zip(low, size, high, strict=True))


def _range(low: tuple[int, int], high: tuple[int, int]) -> str:
    return f"from {low[0]}x{low[1]} to {high[0]}x{high[1]}"
