"""What the work of stubs would move, what the planner puts aside for it, and what a host bills in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.costs import IMAGE_GB, Share, estimate, output_frame_bytes
from runner.speeds import Speed
from tests.runner.jobs import workload_of

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

    from runner.provider import Offer

FRAMES: Final = 1000
"""That a segment of a stub stands for."""
IMAGE_BYTES: Final = round(IMAGE_GB * 1e9)
SOURCE_GB: Final = 0.2
"""Of the source, read for a segment."""
WORK: Final = workload_of()
SPEED: Final = Speed(frame_s=0.01, lead_frame_s=0.005, limit="processor", measured=True)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Of a run of `segments`; `size` says how much more or less than is likely its output takes."""

    segments: int
    size: float

    def most_usd(self, offer: Offer, done: int) -> Decimal:
        """What the planner of real jobs puts aside for what is left."""
        left = self.segments - done
        share = Share(
            frames=left * FRAMES, lead_frames=0, segments=left, source_bytes=left * SOURCE_GB * 1e9, copied_bytes=0,
            whole_frames=self.segments * FRAMES,
        )  # fmt: skip
        return estimate(offer, SPEED, WORK, share).traffic_high

    def moved(self, ledger: Path, label: str) -> tuple[int, int]:
        """Bytes that the stub with that label has got and sent, by its own book: `(down, up)`."""
        noted = [path.name.partition(".")[0].partition("-")[0] for path in ledger.glob(f"*.{label}.*")]
        segment_gb = FRAMES * output_frame_bytes(WORK) * self.size / 1e9
        whole_gb = segment_gb * self.segments
        # A segment is read back before it counts, and all of them once more when they are joined.
        sizes_gb = {"begun": (SOURCE_GB, 0.0), "done": (segment_gb, segment_gb), "output": (whole_gb, whole_gb)}
        found = [sizes_gb[what] for what in noted if what in sizes_gb]
        return round(sum(down for down, _ in found) * 1e9), round(sum(up for _, up in found) * 1e9)
