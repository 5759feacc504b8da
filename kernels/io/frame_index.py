"""The frames of a source, numbered in the order of presentation, as plain values."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from kernels.errors import InputError

if TYPE_CHECKING:
    from fractions import Fraction

    from kernels.io.span import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameIndex:
    """Every frame that decoding the source gives: frame n is shown at `pts[n]`, and nothing else is."""

    time_base: Fraction
    """Seconds per tick."""
    start_s: Fraction
    """Where the input's time begins: what `--start` and a `Span` count from, in seconds of `pts`."""
    pts: tuple[int, ...]
    """Ticks, strictly rising. Never empty."""
    last_duration: int
    """Ticks that the last frame is shown for; 0 when nobody says."""
    keyframes: tuple[int, ...]
    """Numbers of the frames that decoding can begin at, rising; frames shown before one may need the one before."""
    keyframe_dts: tuple[int, ...]
    """Decode time of each keyframe in ticks: what a demuxer seeks by."""

    def __post_init__(self) -> None:
        if not self.pts:
            raise InputError("a frame index without a frame: the source has no video to work on")
        if any(after <= before for before, after in pairwise(self.pts)):
            raise InputError("a frame index whose times do not rise: it does not describe a video")
        if len(self.keyframes) != len(self.keyframe_dts):
            raise InputError("a frame index with keyframes that have no decode time")
        if any(after <= before for before, after in pairwise((-1, *self.keyframes, len(self.pts)))):
            raise InputError("a frame index with keyframes that are none of its frames")

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def duration_s(self) -> Fraction:
        """From the first frame's begin to the last one's end."""
        return (self.pts[-1] + self.duration_of(len(self.pts) - 1) - self.pts[0]) * self.time_base

    def time_s(self, number: int) -> Fraction:
        """When frame `number` is shown, counted as a `Span` counts."""
        return self.pts[number] * self.time_base - self.start_s

    def duration_of(self, number: int) -> int:
        """Ticks until the next frame; for the last one its own duration, else as long as the one before it."""
        if number < len(self.pts) - 1:
            return self.pts[number + 1] - self.pts[number]
        if self.last_duration > 0:
            return self.last_duration
        return self.pts[-1] - self.pts[-2] if len(self.pts) > 1 else 1

    def range_of(self, span: Span) -> tuple[int, int]:
        """`(first, last)`: the frames `first <= n < last` that are shown within `span`."""

        def number_at(time_s: Fraction) -> int:
            return bisect_left(self.pts, (time_s + self.start_s) / self.time_base)

        first = 0 if span.start_s is None else number_at(span.start_s)
        last = len(self.pts) if span.end_s is None else number_at(span.end_s)
        return first, max(first, last)

    def keyframe_before(self, number: int) -> int:
        """The last keyframe shown at or before frame `number`; frame 0 where there is none."""
        at = bisect_right(self.keyframes, number) - 1
        return self.keyframes[at] if at >= 0 else 0

    def lead_in(self, number: int) -> int:
        """How many frames have to be decoded and thrown away before frame `number` comes out."""
        return number - self.keyframe_before(number)
