"""Segments one after the other, as if one encoder had made them: every frame gets its time from the source's index.

Decode times follow from the presentation times alone. With R the most places by which any packet comes later in
decode order than its frame in time, packet k is decoded at the time of frame k - R, and the first R packets one
frame's length apart before that. These times rise strictly because frames' times do, across the seams too, and no
packet is decoded after its frame is due, because each segment is closed: its packets fill its own places.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

from kernels.errors import InputError
from kernels.io.carrier import SegmentReader
from kernels.io.parameter_sets import extradata_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from fractions import Fraction

    from av import Packet

    from kernels.io.frame_index import FrameIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One encoded segment: frames `first <= n < last` of the source."""

    first: int
    last: int
    open: Callable[[], AbstractContextManager[BinaryIO]]
    """Gives a file to be read forward, once."""
    reorder_frames: int
    """As `SegmentFacts` has it."""
    name: str


def check_pieces(pieces: Sequence[Piece], index: FrameIndex) -> None:
    """Raises `InputError` unless the pieces follow each other without gap, inside the index."""
    for before, after in pairwise(pieces):
        if before.last != after.first:
            raise InputError(f"{after.name} begins at frame {after.first}, but {before.name} ends at {before.last}")
    if not pieces or not 0 <= pieces[0].first < pieces[-1].last <= len(index):
        raise InputError(f"segments and index do not fit: the index has {len(index)} frames")


def joined(
    pieces: Sequence[Piece], index: FrameIndex, *, codec: str, extradata: bytes, lead: int | None = None
) -> Iterator[Packet]:
    """The packets of all pieces in decode order, with times in ticks of `index`.

    `codec` and `extradata` are those of the output's stream, which every piece must share. `lead` is the most places
    that packets are reordered by, for whoever knows it before all pieces are there. Raises `InputError` for
    a piece that lacks a frame, has one too many, or that another encoder made.
    """
    check_pieces(pieces, index)
    if lead is None:
        lead = max(piece.reorder_frames for piece in pieces)
    wanted = extradata_digest(codec, extradata)
    for piece in pieces:
        with piece.open() as file, SegmentReader(file, piece.name) as segment:
            if segment.codec != codec or extradata_digest(codec, segment.extradata) != wanted:
                raise InputError(f"{piece.name} was made by another encoder: its parameters differ; encode it again")
            yield from _Retimed(piece, index, lead, start=pieces[0].first).packets(segment)


class _Retimed:
    """The packets of one piece with the index's times."""

    def __init__(self, piece: Piece, index: FrameIndex, lead: int, *, start: int) -> None:
        self._piece = piece
        self._index = index
        self._lead = lead
        self._start = start
        self._left = set(range(piece.first, piece.last))

    def packets(self, segment: SegmentReader) -> Iterator[Packet]:
        piece, index = self._piece, self._index
        ratio = segment.time_base / index.time_base
        origin: int | None = None
        for place, packet in enumerate(segment.packets(), start=piece.first):
            if packet.pts is None or (place == piece.first and not packet.is_keyframe):
                raise InputError(f"{piece.name}: packet {place} has no time, or the first one is no keyframe")
            if origin is None:
                origin = packet.pts  # the first packet is a keyframe that nothing is shown before
            number = self._number(index.pts[piece.first] + (packet.pts - origin) * ratio)
            if place - number > self._lead:
                raise InputError(f"{piece.name}: frame {number} comes later than its record says; encode it again")
            packet.pts, packet.dts = index.pts[number], self._dts(place)
            packet.duration = index.duration_of(number)
            packet.time_base = index.time_base
            yield packet
        if self._left:
            raise InputError(f"{piece.name} lacks {len(self._left)} of {piece.last - piece.first} frames")

    def _number(self, pts: Fraction) -> int:
        """The frame that is nearest to `pts`; each can be named once."""
        times, piece = self._index.pts, self._piece
        after = bisect_left(times, pts, piece.first, piece.last)
        near = [n for n in (after - 1, after) if piece.first <= n < piece.last]
        number = min(near, key=lambda n: abs(times[n] - pts))
        if number not in self._left:
            raise InputError(f"{piece.name}: two packets are shown at the time of frame {number}; encode it again")
        self._left.discard(number)
        return number

    def _dts(self, place: int) -> int:
        shown = place - self._lead
        if shown >= self._start:
            return self._index.pts[shown]
        return self._index.pts[self._start] - (self._start - shown) * max(1, self._index.duration_of(self._start))
