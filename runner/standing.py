"""How a run stands and how it can end: what the loop of a run tells whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from runner.provider import Instance


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
        return (self.frames - self.frames_done) / self.fps if self.fps > 0 else None
