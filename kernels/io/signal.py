"""Writing into an encoded stream what its encoder cannot be told: colours, chroma location, pixel shape, HDR10."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from av import FFmpegError, Packet
from av.bitstream import BitStreamFilterContext

from kernels.color import ChromaLocation, Range
from kernels.errors import OutputError
from kernels.io.annex_b import START_CODE, nal_type, obus, unit_starts
from kernels.io.hdr import CHROMATICITY_STEPS, LUMINANCE_STEPS, content_light, mastering_display

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from kernels.frame import VideoFormat
    from kernels.io.hdr import ContentLight, MasteringDisplay

_SEI_HEADER: Final = {"h264": b"\x06", "hevc": b"\x4e\x01"}
"""NAL unit headers of (prefix) supplemental enhancement information."""
_MASTERING_DISPLAY: Final = 137
"""payloadType, ITU-T H.274 and H.264 annex D."""
_CONTENT_LIGHT: Final = 144
_OBU_SEQUENCE_HEADER: Final = 1
_OBU_METADATA: Final = 5
_AV1_LOCATIONS: Final = {ChromaLocation.LEFT: "vertical", ChromaLocation.TOPLEFT: "colocated"}


class Signal:
    """Adds to the packets of one stream what `format_` and `side_data` say about its pictures."""

    def __init__(self, codec: str, format_: VideoFormat, side_data: Mapping[str, bytes]) -> None:
        self._codec = codec
        self._hdr = _hdr_units(codec, side_data)
        self._filter = BitStreamFilterContext(_description(codec, format_), codec)

    def write(self, data: bytes, *, is_keyframe: bool) -> bytes:
        """A packet with the right tags; HDR10 metadata goes in front of each keyframe's picture.

        Raises `OutputError` for what is no stream of the codec.
        """
        if not is_keyframe and self._codec != "av1":  # AV1's temporal delimiters have to go from every packet
            return data
        tagged = self.tag(data)
        if not is_keyframe or not self._hdr:
            return tagged
        at = _first_picture(self._codec, tagged)
        return tagged[:at] + self._hdr + tagged[at:]

    def tag(self, data: bytes) -> bytes:
        """Headers, alone or before a picture, with the right tags. Raises `OutputError` as `write`."""
        try:
            return b"".join(bytes(packet) for packet in self._filter.filter(Packet(data)))
        except FFmpegError as error:
            message = f"the {self._codec} stream of the GPU's encoder cannot be tagged ({error.strerror})"
            raise OutputError(f"{message}; use --backend cpu") from error


def _description(codec: str, format_: VideoFormat) -> str:
    """libav's bitstream filter that rewrites the sequence headers."""
    color = format_.color
    full = int(color.range is Range.FULL)
    if codec == "av1":
        options: dict[str, object] = {
            "color_primaries": int(color.primaries),
            "transfer_characteristics": int(color.transfer),
            "matrix_coefficients": int(color.matrix),
            "color_range": "pc" if full else "tv",
            "td": "remove",
        }
        if color.chroma_location in _AV1_LOCATIONS and format_.pixel_format.is_subsampled:
            options["chroma_sample_position"] = _AV1_LOCATIONS[color.chroma_location]
    else:
        aspect = format_.sample_aspect_ratio
        options = {
            "colour_primaries": int(color.primaries),
            "transfer_characteristics": int(color.transfer),
            "matrix_coefficients": int(color.matrix),
            "video_full_range_flag": full,
            "sample_aspect_ratio": f"{aspect.numerator}/{aspect.denominator}",
        }
        if color.chroma_location and format_.pixel_format.is_subsampled:
            # chroma_sample_loc_type counts from 0, libav's enumeration, which `ChromaLocation` follows, from 1.
            options["chroma_sample_loc_type"] = int(color.chroma_location) - 1
    return f"{codec}_metadata=" + ":".join(f"{name}={value}" for name, value in options.items())


def _first_picture(codec: str, data: bytes) -> int:
    """Where metadata of the picture belongs: before its first slice, or behind AV1's sequence header."""
    if codec == "av1":
        at = 0
        for kind, obu in obus(data):
            at += len(obu)
            if kind == _OBU_SEQUENCE_HEADER:
                return at
        return 0
    for begin, unit in unit_starts(data):
        kind = nal_type(codec, data[unit])
        if (1 <= kind <= 5) if codec == "h264" else kind < 32:
            return begin
    return 0


def _hdr_units(codec: str, side_data: Mapping[str, bytes]) -> bytes:
    """HDR10 metadata as units of the stream; empty without any."""
    display, light = mastering_display(side_data), content_light(side_data)
    if codec == "av1":
        parts = []
        if light is not None:
            parts.append(_metadata_obu(1, struct.pack(">HH", light.max_cll, light.max_fall)))
        if display is not None:
            parts.append(_metadata_obu(2, _av1_display(display)))
        return b"".join(parts)
    messages = b""
    if display is not None:
        messages += _message(_MASTERING_DISPLAY, _sei_display(display))
    if light is not None:
        messages += _message(_CONTENT_LIGHT, _sei_light(light))
    return START_CODE + _SEI_HEADER[codec] + _escaped(messages + b"\x80") if messages else b""


def _message(kind: int, payload: bytes) -> bytes:
    return bytes([kind, len(payload)]) + payload


def _sei_display(display: MasteringDisplay) -> bytes:
    """mastering_display_colour_volume: green, blue, red, white, then the largest and the smallest luminance."""
    points = (display.green, display.blue, display.red, display.white)
    numbers = [round(value * CHROMATICITY_STEPS) for point in points for value in point]
    luminance = [round(value * LUMINANCE_STEPS) for value in (display.max_luminance, display.min_luminance)]
    return struct.pack(">8H2I", *numbers, *luminance)


def _sei_light(light: ContentLight) -> bytes:
    return struct.pack(">HH", light.max_cll, light.max_fall)


def _av1_display(display: MasteringDisplay) -> bytes:
    """metadata_hdr_mdcv (AV1 specification, 6.7.4): 0.16 fixed point, luminance 24.8 and 18.14."""

    def fixed(value: Fraction, bits: int) -> int:
        return round(value * (1 << bits))

    points = (display.red, display.green, display.blue, display.white)
    numbers = [fixed(value, 16) for point in points for value in point]
    return struct.pack(">8H2I", *numbers, fixed(display.max_luminance, 8), fixed(display.min_luminance, 14))


def _metadata_obu(kind: int, payload: bytes) -> bytes:
    body = bytes([kind]) + payload + b"\x80"
    return bytes([_OBU_METADATA << 3 | 2, len(body)]) + body


def _escaped(payload: bytes) -> bytes:
    """With emulation prevention bytes (ITU-T H.264, 7.4.1): three bytes that look like a start code never follow."""
    out = bytearray()
    zeros = 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)
