"""What a decoder is told before the first packet, and whether two encoders told it the same."""

from __future__ import annotations

import hashlib
import re
from typing import Final

_START_CODE: Final = re.compile(rb"\x00\x00\x00?\x01")
_H264_SETS: Final = frozenset({7, 8, 13, 15})
"""nal_unit_type of SPS, PPS, SPS extension and subset SPS (ITU-T H.264, table 7-1)."""
_HEVC_SETS: Final = frozenset({32, 33, 34})
"""nal_unit_type of VPS, SPS and PPS (ITU-T H.265, table 7-1)."""


def extradata_digest(codec: str, extradata: bytes) -> str:
    """SHA-256 of the parameter sets in an encoder's `extradata` (Annex B for h264 and hevc).

    Other units are left out: x265 writes a message into it that names the cores of the machine.
    """
    if codec not in ("h264", "hevc"):
        return hashlib.sha256(extradata).hexdigest()
    units = [unit.rstrip(b"\0") for unit in _START_CODE.split(extradata) if unit]
    kept = [unit for unit in units if _is_parameter_set(codec, unit[0])]
    return hashlib.sha256(b"\0\0\1".join(kept)).hexdigest()


def _is_parameter_set(codec: str, header: int) -> bool:
    return header & 0x1F in _H264_SETS if codec == "h264" else header >> 1 & 0x3F in _HEVC_SETS
