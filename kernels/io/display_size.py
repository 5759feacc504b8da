"""The shape of a pixel in Matroska and WebM.

Both keep it as the size to show the picture at, which libav writes from a field of the stream that PyAV cannot set;
VP9, AV1 and FFV1 have no place of their own for it. But libav writes a display size for stereoscopic video: the
stream is announced as such, and the elements that this gives are replaced by ones of the same length in all.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

ANNOUNCED: Final = {"stereo_mode": "left_right"}
"""The stream's tag that makes libav write the elements to replace."""
TRACKS: Final = (
    rb"\x16\x54\xae\x6b"
    rb"([\x80-\xff]|[\x40-\x7f].|[\x20-\x3f]..|[\x10-\x1f]...|[\x08-\x0f].{4}|[\x04-\x07].{5}|[\x02\x03].{6}|\x01.{7})"
    rb"(?=\xbf\x84.{4}\xae|\xae)"
)
"""The list of tracks: its ID, its length, then a checksum or the first track. The index of the head has the ID too."""
STEREO_MODE_ID: Final = b"\x53\xb8"
WIDTH_ID: Final = b"\x54\xb0"
HEIGHT_ID: Final = b"\x54\xba"
VOID_ID: Final = b"\xec"
CRC_ID: Final = b"\xbf\x84"
CRC_BYTES: Final = 6
MAX_SIDE: Final = 0xFFFF
"""Two bytes each: what there is room for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplaySize:
    """Edits the bytes of a Matroska head. `width` and `height` are those of the stored picture."""

    width: int
    height: int
    sample_aspect_ratio: Fraction

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height in pixels of exactly the right ratio and near the stored size; rounded where none fits."""
        aspect = self.sample_aspect_ratio * self.width / self.height
        times = max(1, round(Fraction(self.height, aspect.denominator)))
        wide, high = aspect.numerator * times, aspect.denominator * times
        if wide <= MAX_SIDE and high <= MAX_SIDE:
            return wide, high
        return max(1, min(MAX_SIDE, round(self.width * self.sample_aspect_ratio))), min(MAX_SIDE, self.height)

    def __call__(self, data: bytes) -> bytes:
        """`data` with the display size in place, when the list of tracks is in it as libav wrote it."""
        found = re.search(TRACKS, data, re.DOTALL)
        if found is None:
            return data
        length, body = found.group(1), found.end()
        size = int.from_bytes(length, "big") & ((1 << 7 * len(length)) - 1)
        tracks, rest = data[body : body + size], data[body + size :]
        if len(tracks) < size:
            return data
        tracks = tracks.replace(self._before(), self._after(), 1)
        if tracks.startswith(CRC_ID):
            tracks = CRC_ID + zlib.crc32(tracks[CRC_BYTES:]).to_bytes(4, "little") + tracks[CRC_BYTES:]
        return data[:body] + tracks + rest

    def _before(self) -> bytes:
        sides = _number(WIDTH_ID, self.width // 2) + _number(HEIGHT_ID, self.height)
        return _number(STEREO_MODE_ID, 1) + sides

    def _after(self) -> bytes:
        wide, high = self.shown
        sides = WIDTH_ID + b"\x82" + wide.to_bytes(2, "big") + HEIGHT_ID + b"\x82" + high.to_bytes(2, "big")
        spare = len(self._before()) - len(sides) - 2
        return sides + VOID_ID + bytes([0x80 | spare]) + bytes(spare)


def _number(element: bytes, value: int) -> bytes:
    """An unsigned integer element in the fewest bytes (RFC 8794, 7.2)."""
    length = max(1, (value.bit_length() + 7) // 8)
    return element + bytes([0x80 | length]) + value.to_bytes(length, "big")
