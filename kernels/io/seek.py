"""Finding the place to start decoding from, so that frames are exact."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import av

from kernels.io.source import reading

if TYPE_CHECKING:
    from fractions import Fraction

    from kernels.io.source import Source


def seek_before(source: Source, start_s: Fraction) -> int:
    """Go to the last keyframe shown at or before `start_s`; returns how many frames come before that time.

    Packets are read up to there and not decoded. Leading pictures of an open group are shown before their
    keyframe, so the keyframe is chosen by its presentation time and found by its decode time.
    """
    container, video = source.container, source.video
    keyframe: int | None = None
    first: int | None = None
    before = 0
    with suppress(av.FFmpegError):  # damage is counted when it is decoded
        for packet in container.demux(video):
            if not packet.size or packet.pts is None:
                continue
            when = packet.pts if packet.dts is None else packet.dts
            first = when if first is None else first
            shown_s = packet.pts * source.time_base - source.start_s
            if shown_s <= start_s and packet.is_keyframe:
                keyframe = when
            before += shown_s < start_s and not packet.is_discard
            if when * source.time_base - source.start_s > start_s:
                break
    target = first if keyframe is None else keyframe
    if target is None:
        return 0
    with reading(source.name, "cannot be rewound, so leave the start out"):
        container.seek(target, stream=video, backward=True)
    return before
