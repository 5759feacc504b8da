"""Finding the place to start decoding from, so that frames are exact."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av

from kernels.io.source import reading

if TYPE_CHECKING:
    from fractions import Fraction

    from kernels.io.frame_index import FrameIndex
    from kernels.io.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where decoding begins, as an index of all frames knows it."""

    dts: int | None
    """Decode time of a keyframe, in ticks of the video stream; None for the beginning of the file."""
    before: int
    """Frames of the source before the first one that is wanted."""


def entries(index: FrameIndex, number: int) -> tuple[Entry, ...]:
    """Where decoding may begin for frame `number` to come out, the nearest place first."""
    beginning = Entry(dts=None, before=number)
    keyframe = index.keyframe_before(number)
    if keyframe not in index.keyframes or keyframe == 0:
        return (beginning,)
    return Entry(dts=index.keyframe_dts[index.keyframes.index(keyframe)], before=number), beginning


def seek_to(source: Source, entry: Entry) -> None:
    """Go to the keyframe of `entry`. Raises `InputError` where the input cannot be rewound."""
    if entry.dts is not None:
        with reading(source.name, "cannot be rewound, so it cannot be cut into segments"):
            source.container.seek(entry.dts, stream=source.video, backward=True)


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
