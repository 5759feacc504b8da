"""What runs between the threads of a job: frames in bounded number, and the time each thread spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kernels.io.channel import Cancellation, Channel
from kernels.progress import StageTime

if TYPE_CHECKING:
    from kernels.frame import Frame
    from kernels.plan import Plan

QUEUE_BYTES: Final = 16 << 20
"""Frames waiting between two threads take at most this much, or are one: x264 alone holds 800 MB at 2160p."""
QUEUE_FRAMES: Final = 4
"""And at most this many: more only hide which thread is slow."""


class Lines:
    """The two channels of a job and what its threads spent."""

    def __init__(self, first: Frame, plan: Plan, cancellation: Cancellation) -> None:
        def capacity(bytes_per_frame: int) -> int:
            return max(1, min(QUEUE_FRAMES, QUEUE_BYTES // bytes_per_frame))

        self.decoded: Channel[Frame] = Channel(capacity(first.format.bytes_per_frame), cancellation)
        self.filtered: Channel[Frame] = Channel(capacity(plan.target.bytes_per_frame), cancellation)
        self.busy_s = {"decode": 0.0, "filter": 0.0, "encode": 0.0}
        self.filtered_frames = 0

    def times(self, frames_out: int) -> tuple[StageTime, ...]:
        waits = {
            "decode": self.decoded.put_wait_s,
            "filter": self.decoded.get_wait_s + self.filtered.put_wait_s,
            "encode": self.filtered.get_wait_s,
        }
        counts = {"decode": self.filtered_frames, "filter": self.filtered_frames, "encode": frames_out}
        return tuple(
            StageTime(name=name, frames=counts[name], busy_s=round(busy, 4), wait_s=round(waits[name], 4))
            for name, busy in self.busy_s.items()
        )
