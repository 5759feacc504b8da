"""Between libav's frames and ours, without copying a sample where the layouts agree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from kernels.color import ChromaLocation, Color, Matrix, Primaries, Range, Transfer
from kernels.errors import InputError
from kernels.pixel_format import PIXEL_FORMATS, Family, PixelFormat

if TYPE_CHECKING:
    from enum import IntEnum

    from kernels.frame import Plane, VideoFormat

_WIDER: Final = (8, 9, 10, 12, 14, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How frames of one libav pixel format become planes."""

    pixel_format: PixelFormat
    convert_to: str | None = None
    """libav format to bring the frame to first; None when its planes are ours already."""
    full_range: bool = False
    """`yuvj…`: full range is part of the name."""
    drops_alpha: bool = False


@lru_cache
def layout_of(name: str) -> Layout:
    """The planar format nearest to libav's `name` that keeps every value (alpha excepted).

    Raises `InputError` for formats that are not pictures to work on: hardware surfaces and Bayer mosaics.
    """
    plain = re.sub("^yuvj", "yuv", name)
    opaque = re.sub("^yuva", "yuv", re.sub("^gbrap", "gbrp", plain))
    direct = PIXEL_FORMATS.get(opaque.removesuffix("le"))
    if direct is not None:
        return Layout(pixel_format=direct, full_range=plain != name, drops_alpha=opaque != plain)
    nearest = _nearest_planar(name)
    libav_name = _libav_name(nearest)
    has_alpha = any(part.is_alpha for part in av.VideoFormat(name, 16, 16).components)
    return Layout(pixel_format=nearest, convert_to=libav_name, drops_alpha=has_alpha)


def _nearest_planar(name: str) -> PixelFormat:
    format_ = av.VideoFormat(name, 16, 16)
    parts = [part for part in format_.components if not part.is_alpha]
    if not parts or name.startswith("bayer"):
        raise InputError(f"pixel format {name} cannot be processed; convert it to a planar YUV or RGB format first")
    bits = max(part.bits for part in parts)
    depth = next((d for d in _WIDER if d >= bits), 16)
    if format_.is_rgb or format_.has_palette:
        return PIXEL_FORMATS["gbrp"].with_depth(depth)
    if len(parts) == 1:
        return PIXEL_FORMATS["gray"].with_depth(depth)
    w = (16 // format_.chroma_width(16)).bit_length() - 1
    h = (16 // format_.chroma_height(16)).bit_length() - 1
    nearest = PIXEL_FORMATS["yuv444p"].with_depth(depth).with_subsampling(w, h)
    return nearest if nearest.name in PIXEL_FORMATS else PIXEL_FORMATS["yuv444p"].with_depth(depth)


def _libav_name(pixel_format: PixelFormat) -> str:
    return pixel_format.name if pixel_format.depth == 8 else f"{pixel_format.name}le"


def planes_of(frame: av.VideoFrame, layout: Layout) -> tuple[Plane, ...]:
    """Read-only views of the frame's planes, uint8 or uint16; they keep the frame's memory alive."""
    if layout.convert_to is not None:
        frame = frame.reformat(format=layout.convert_to)
    return tuple(np.from_dlpack(frame.planes[i]) for i in range(layout.pixel_format.plane_count))


def _code(kind: type[IntEnum], value: int) -> Any:
    try:
        return kind(value)
    except ValueError:
        return kind["UNSPECIFIED"]  # reserved code points say nothing


def color_of(tagged: Any, layout: Layout, chroma_location: ChromaLocation) -> Color:
    """The colour tags of a libav frame or codec context."""
    is_gbr = layout.pixel_format.family is Family.GBR
    range_ = _code(Range, int(tagged.color_range))
    return Color(
        matrix=Matrix.GBR if is_gbr else _code(Matrix, int(tagged.colorspace)),
        transfer=_code(Transfer, int(tagged.color_trc)),
        primaries=_code(Primaries, int(tagged.color_primaries)),
        range=Range.FULL if layout.full_range or (is_gbr and range_ is Range.UNSPECIFIED) else range_,
        chroma_location=chroma_location,
    )


def to_av(planes: tuple[Plane, ...], format_: VideoFormat) -> av.VideoFrame:
    """A libav frame of `planes`; it shares their memory when they are writable and libav accepts their shape."""
    name = _libav_name(format_.pixel_format)
    shift_w, shift_h = format_.pixel_format.log2_chroma_w, format_.pixel_format.log2_chroma_h
    even = not (shift_w and format_.width % 2) and not (shift_h and format_.height % 2)
    if even and all(plane.flags.writeable for plane in planes):
        return av.VideoFrame.from_dlpack(planes, format=name)
    frame = av.VideoFrame(format_.width, format_.height, name)
    for source, target in zip(planes, frame.planes, strict=True):
        memory = np.frombuffer(target, source.dtype)  # type: ignore[call-overload]
        memory = memory.reshape(target.height, target.line_size // source.itemsize)
        memory[:, : source.shape[1]] = source
    return frame
