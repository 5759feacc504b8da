"""Packets as a hardware decoder reads them: units behind start codes, with the headers in front of every keyframe."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

START_CODE: Final = b"\0\0\0\1"
_START_CODES: Final = re.compile(rb"\x00?\x00\x00\x01")
_SPS: Final = {"h264": 7, "hevc": 33}
"""nal_unit_type of a sequence parameter set (ITU-T H.264 table 7-1, H.265 table 7-1)."""
_HVCC_HEADER_BYTES: Final = 22
_AVCC_HEADER_BYTES: Final = 5
_AV1C_BYTES: Final = 4
_AV1C_MARKER: Final = 0x81
_OBU_SEQUENCE_HEADER: Final = 1
_OBU_TEMPORAL_DELIMITER: Final = 2


class Bitstream:
    """Turns the packets of one stream into what NVDEC's parser takes.

    `extradata` is the stream's own: avcC, hvcC and av1C are understood, Annex B is passed on.
    """

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._codec = codec
        self._length_bytes = 0
        self._headers = b""
        if codec == "h264" and extradata[:1] == b"\1" and len(extradata) > _AVCC_HEADER_BYTES:
            self._length_bytes = (extradata[4] & 3) + 1
            self._headers = _avcc_headers(extradata)
        elif codec == "hevc" and extradata[:1] == b"\1" and len(extradata) > _HVCC_HEADER_BYTES:
            self._length_bytes = (extradata[21] & 3) + 1
            self._headers = _hvcc_headers(extradata)
        elif codec == "av1" and extradata[:1] == bytes([_AV1C_MARKER]):
            self._headers = extradata[_AV1C_BYTES:]
        elif codec in _SPS:
            self._headers = extradata

    def convert(self, data: bytes, *, is_keyframe: bool) -> bytes:
        """One packet. Decoding may begin at any keyframe, so each is given the headers that it does not carry."""
        if self._length_bytes:
            data = b"".join(START_CODE + unit for unit in _prefixed(data, self._length_bytes))
        if not is_keyframe or sequence_header(self._codec, data):
            return data
        if self._codec == "av1" and data[:2] == bytes([_OBU_TEMPORAL_DELIMITER << 3 | 2, 0]):
            return data[:2] + self._headers + data[2:]
        return self._headers + data


def sequence_header(codec: str, data: bytes) -> bytes:
    """What in a converted packet fixes size and depth: two that differ are of different streams. Empty without."""
    if codec in _SPS:
        return b"".join(unit for unit in units(data) if unit and nal_type(codec, unit[0]) == _SPS[codec])
    if codec == "av1":
        return b"".join(obu for kind, obu in obus(data) if kind == _OBU_SEQUENCE_HEADER)
    return _vp9_header(data) if codec == "vp9" else b""


def nal_type(codec: str, header: int) -> int:
    """nal_unit_type of a unit by its first byte."""
    return header & 0x1F if codec == "h264" else header >> 1 & 0x3F


def units(data: bytes) -> list[bytes]:
    """The units of an Annex B stream, without start codes."""
    return [unit.rstrip(b"\0") for unit in _START_CODES.split(data) if unit]


def unit_starts(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each unit's start code begins and where the unit itself does."""
    for found in _START_CODES.finditer(data):
        yield found.start(), found.end()


def obus(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(obu_type, whole unit) of each OBU that says its size (AV1 specification, 5.3); what follows one that does not
    is left out.
    """
    at = 0
    while at < len(data):
        header = data[at]
        begin, at = at, at + 1 + (header >> 2 & 1)
        if not header & 2:
            return
        size = shift = 0
        while at < len(data):
            byte = data[at]
            size |= (byte & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not byte & 0x80:
                break
        at += size
        yield header >> 3 & 0xF, data[begin:at]


def _prefixed(data: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    while at + length_bytes <= len(data):
        size = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        yield data[at : at + size]
        at += size


def _avcc_headers(extradata: bytes) -> bytes:
    """SPS and PPS of an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3)."""
    found, at = [], _AVCC_HEADER_BYTES
    for mask in (0x1F, 0xFF):
        if at >= len(extradata):
            break
        count, at = extradata[at] & mask, at + 1
        for _ in range(count):
            unit, at = _counted(extradata, at)
            found.append(START_CODE + unit)
    return b"".join(found)


def _hvcc_headers(extradata: bytes) -> bytes:
    """VPS, SPS, PPS and SEI of an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3)."""
    found, at = [], _HVCC_HEADER_BYTES + 1
    for _ in range(extradata[_HVCC_HEADER_BYTES]):
        count, at = int.from_bytes(extradata[at + 1 : at + 3], "big"), at + 3
        for _ in range(count):
            unit, at = _counted(extradata, at)
            found.append(START_CODE + unit)
    return b"".join(found)


def _counted(data: bytes, at: int) -> tuple[bytes, int]:
    """The unit behind a 16-bit length at `at`, and where the next begins."""
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 : end], end


def _vp9_header(data: bytes) -> bytes:
    """Colour bits and size of a VP9 keyframe's uncompressed header (VP9 bitstream specification, 6.2)."""
    is_keyframe = len(data) > 8 and not data[0] & 0x0C and data[1:4] == b"\x49\x83\x42"
    return data[4:8] + bytes([data[8] & 0xF0]) if is_keyframe else b""
