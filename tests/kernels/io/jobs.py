"""Running a whole job in memory, and what is measured on its output."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import av

from kernels.io.encode import EncodeSettings
from kernels.pipeline import Result, process
from tests.kernels.io.clips import (
    of_kind,
    read,
    shown_times,
)

if TYPE_CHECKING:
    from fractions import Fraction

FAST = EncodeSettings(codec="h264", preset="ultrafast")


LOSSLESS = EncodeSettings(codec="ffv1")


UNEVEN = (0, 900, 1800, 4500, 5400, 5490, 9000, 20000, 21001, 21002, 30000, 33333)
"""Ticks of 1/90000 s with no rhythm at all."""


def run(data: bytes, container: str = "mp4", **options: Any) -> tuple[bytes, Result]:
    target = io.BytesIO()
    options.setdefault("encode", FAST)
    result = process(io.BytesIO(data), target, container=container, **options)
    return target.getvalue(), result


def samples(data: bytes) -> list[bytes]:
    """Every decoded frame of the first video stream, as bytes."""
    with av.open(io.BytesIO(data)) as opened:
        return [frame.to_ndarray().tobytes() for frame in opened.decode(video=0)]


def offsets(data: bytes) -> list[Fraction]:
    """How much later than the first picture the first packet of every sound track is."""
    first_picture = min(shown_times(data))
    return [track.pts[0] - first_picture for track in of_kind(data, "audio") if track.pts[0] is not None]


def tick(*files: bytes) -> Fraction:
    return max(stream.tick_s for data in files for stream in read(data) if stream.kind in ("audio", "video"))
