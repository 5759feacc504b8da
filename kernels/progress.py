"""How far a job is, and what it did."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a job stands."""

    phase: str
    """'opening', 'compiling kernels', 'processing', 'finishing'."""
    frames_in: int = 0
    frames_out: int = 0
    frames_total: int | None = None
    """Frames expected; None when the input does not tell."""
    elapsed_s: float = 0.0
    """Since the first frame was asked for."""
    fps: float = 0.0
    eta_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """What one thread of the job did."""

    name: str
    frames: int
    busy_s: float
    wait_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a finished job did."""

    frames_in: int
    frames_out: int
    damaged_packets: int
    elapsed_s: float
    fps: float
    backend: str
    """Where filters ran: 'cpu' or 'cuda'."""
    stages: tuple[StageTime, ...]
    warnings: tuple[str, ...] = ()
    decoder: str = "software"
    """'software' or 'NVDEC'."""
    encoder: str = "software"
    """'software' or 'NVENC'."""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages], "warnings": list(self.warnings)}


class Reporter:
    """Turns counts into `Progress` for the caller, on the caller's own thread."""

    def __init__(self, callback: Callable[[Progress], None] | None) -> None:
        self._callback = callback
        self._started = time.perf_counter()

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._started

    def start_clock(self) -> None:
        self._started = time.perf_counter()

    def __call__(self, phase: str, frames_in: int = 0, frames_out: int = 0, total: int | None = None) -> None:
        if self._callback is None:
            return
        elapsed_s = self.elapsed_s
        fps = frames_out / elapsed_s if elapsed_s > 0 else 0.0
        eta_s = (total - frames_out) / fps if total is not None and fps > 0 and total >= frames_out else None
        self._callback(
            Progress(
                phase=phase,
                frames_in=frames_in,
                frames_out=frames_out,
                frames_total=total,
                elapsed_s=elapsed_s,
                fps=fps,
                eta_s=eta_s,
            )
        )
