"""Holds a decoder to its packets: one picture for each, in the order of their times, and what to do when it is not."""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from kernels.errors import InputError

if TYPE_CHECKING:
    from av import Packet

MAX_KEPT_BYTES: Final = 512 << 20
"""Packets kept since the last keyframe that was shown: minutes of video, for files that have few keyframes."""


class DiffersError(Exception):
    """The pictures are not those of the packets. Stays inside the decoder."""


@dataclass(frozen=True, slots=True)
class _Expected:
    duration: int
    """Ticks."""
    is_wanted: bool
    """Whether missing it would lose a frame."""


class Ledger:
    """What went into a decoder and has not come out yet.

    Keeps the packets from the last keyframe on whose picture was shown: decoding again from there gives every
    picture that was not shown yet, also those of an open group, which are shown before their keyframe.
    """

    def __init__(self) -> None:
        self._expected: dict[int, _Expected] = {}
        self._times: list[int] = []
        self._kept: deque[Packet] = deque()
        self._kept_bytes = 0
        self._first_kept = self._restart = 0
        self._keyframes: deque[tuple[int, int]] = deque()

    def fed(self, packet: Packet, *, is_wanted: bool) -> None:
        """`packet` goes into the decoder. Raises `DiffersError` for one that cannot be matched with a picture."""
        number = self._first_kept + len(self._kept)
        self._kept.append(packet)
        self._kept_bytes += packet.size
        while self._kept_bytes > MAX_KEPT_BYTES:
            self._drop_before(self._first_kept + 1)
        if packet.pts is None:
            raise DiffersError("a packet has no time")
        if packet.is_keyframe:
            self._keyframes.append((packet.pts, number))
        if packet.is_discard:
            return
        if packet.pts in self._expected:
            raise DiffersError("two packets have the same time")
        self._expected[packet.pts] = _Expected(packet.duration or 0, is_wanted)
        heapq.heappush(self._times, packet.pts)

    def ignore_before(self, pts: int) -> None:
        """Pictures of times before `pts` may be missing."""
        for time in self._times:
            if time < pts:
                self._expected[time] = replace(self._expected[time], is_wanted=False)

    def shown(self, pts: int) -> int:
        """A picture of time `pts` came out; returns its duration in ticks. Raises `DiffersError` when it should not."""
        expected = self._expected.get(pts)
        if expected is None:
            raise DiffersError("it shows a picture that no packet asks for")
        self._check_before(pts)
        heapq.heappop(self._times)
        del self._expected[pts]
        while self._keyframes and self._keyframes[0][0] <= pts:
            self._restart = self._keyframes.popleft()[1]
        self._drop_before(self._restart)
        return expected.duration

    def ended(self) -> None:
        """Nothing more comes out. Raises `DiffersError` when something should."""
        self._check_before(None)

    @property
    def packets(self) -> tuple[Packet, ...]:
        """What to decode again. Raises `InputError` when that was too much to keep."""
        if self._first_kept > self._restart:
            raise InputError("its keyframes are too far apart to decode again from the last one; use --backend cpu")
        return tuple(self._kept)

    def _check_before(self, pts: int | None) -> None:
        while self._times and (pts is None or self._times[0] < pts):
            earlier = heapq.heappop(self._times)
            if self._expected.pop(earlier).is_wanted:
                raise DiffersError("it shows no picture for a packet")

    def _drop_before(self, number: int) -> None:
        while self._first_kept < number:
            dropped = self._kept.popleft()
            self._kept_bytes -= dropped.size
            self._first_kept += 1
