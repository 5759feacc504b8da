"""Single frames as pictures for people: RGB arrays, PNG and WebP."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

import av
import numpy as np

from kernels.color import Matrix
from kernels.io.picture import layout_of, planes_of, to_av

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from numpy.typing import NDArray

    from kernels.frame import Frame

# libswscale's names for matrices, by H.273 code point; it knows no others.
_KNOWN: Final = {
    Matrix.GBR,
    Matrix.BT709,
    Matrix.FCC,
    Matrix.BT470BG,
    Matrix.SMPTE170M,
    Matrix.SMPTE240M,
    Matrix.BT2020_NCL,
}
_ENCODERS: Final[dict[str, tuple[str, str, dict[str, str]]]] = {
    "png": ("png", "rgb24", {"compression_level": "9", "pred": "mixed"}),
    "webp": ("libwebp", "bgra", {"quality": "90", "compression_level": "2"}),
}

WEBP_MAX_SIDE: Final = 16383
"""Pixels; larger pictures have to be PNG."""


def to_rgb(frame: Frame) -> NDArray[np.uint8]:
    """`frame` as (height, width, 3) 8-bit R'G'B' of full range, within 2 codes of its colour tags' equation.

    Only matrix and range are converted: transfer and primaries stay what they are.
    """
    color = frame.format.resolved_color
    picture = to_av(frame.planes, frame.format)
    picture.colorspace = int(color.matrix if color.matrix in _KNOWN else Matrix.SMPTE170M)
    picture.color_range = int(color.range)
    return np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)


def enlarged_by_player(frame: Frame, width: int, height: int) -> Frame:
    """`frame` as a video player shows it at another size: libswscale's bilinear filter, nothing else."""
    picture = to_av(frame.planes, frame.format)
    resized = picture.reformat(width=width, height=height, interpolation="BILINEAR")
    layout = layout_of(resized.format.name)
    return frame.replace(planes=planes_of(resized, layout), format=replace(frame.format, width=width, height=height))


def encode_still(rgb: NDArray[np.uint8], kind: str = "png") -> bytes:
    """The file of a (height, width, 3) 8-bit RGB picture: `kind` "png" (exact) or "webp" (small, looks the same)."""
    name, pixel_format, options = _ENCODERS[kind]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    encoder = cast("VideoCodecContext", av.CodecContext.create(name, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, pixel_format
    encoder.time_base = Fraction(1, 25)
    encoder.options = dict(options)
    return b"".join(
        bytes(packet) for part in (frame.reformat(format=pixel_format), None) for packet in encoder.encode(part)
    )
