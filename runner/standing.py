"""How a run stands and how it can end: what the loop of a run tells whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from decimal import Decimal

    from runner.provider import Instance


LEAST_FPS: Final = 1e-6


class Choice(Enum):
    """What becomes of a run that somebody interrupts."""

    CANCEL = "cancel"
    DETACH = "detach"
    GO_ON = "go on"


class Outcome(Enum):
    DONE = "done"
    DETACHED = "detached"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a run stands: what a live view shows."""

    run: str
    phase: str
    """`renting`, `booting`, `processing`, ..."""
    instance: Instance | None = None
    price_usd_per_h: Decimal | None = None
    segments_done: int = 0
    segments: int
    frames_done: int = 0
    frames: int
    fps: float = 0
    spent_usd: Decimal
    now_s: float
    message: str = ""
    """Something that happened, to be told once."""

    @property
    def eta_s(self) -> float | None:
        """None too for a speed that no worker has: what it says is not to be believed."""
        return (self.frames - self.frames_done) / self.fps if self.fps > LEAST_FPS else None
