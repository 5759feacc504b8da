"""What a comparison found, and its JSON form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from kernels.compare.psnr import decibels

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScore:
    """How one pair of frames compares. Tuples have one entry per plane, in plane order."""

    n: int
    """Number of the pair, from 0."""
    time_s: float
    """Presentation time of the first video's frame."""
    mse: tuple[float, ...]
    """Mean squared error in squared codes."""
    mse_avg: float
    """The same over all planes, weighted by their area."""
    psnr: tuple[float, ...]
    """Decibels; `inf` for equal planes."""
    psnr_avg: float
    ssim: tuple[float, ...]
    """-1 to 1; `nan` for a plane under 8x8."""
    ssim_all: float
    """Mean of `ssim` over the planes, weighted by their area; a plane without a value takes no part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """PSNR and SSIM of two videos, over the frames both have."""

    components: tuple[str, ...]
    """Names of the planes: ('y', 'u', 'v'), ('g', 'b', 'r') or ('y',)."""
    width: int
    height: int
    pixel_format: str
    peak: int
    """Largest code, the peak signal of PSNR."""
    frames_a: int
    frames_b: int
    scores: tuple[FrameScore, ...]
    max_time_difference_s: float
    """Largest difference of time between paired frames, each measured from its video's first frame."""
    warnings: tuple[str, ...] = ()
    """What may make the numbers mean less than they seem to; one sentence each."""

    @property
    def frames(self) -> int:
        """Pairs compared."""
        return len(self.scores)

    @property
    def psnr(self) -> dict[str, float]:
        """Decibels per plane and `average`, from the mean of the frames' MSE."""
        planes = {
            name: decibels(_mean(score.mse[i] for score in self.scores), self.peak)
            for i, name in enumerate(self.components)
        }
        return {**planes, "average": decibels(_mean(score.mse_avg for score in self.scores), self.peak)}

    @property
    def ssim(self) -> dict[str, float]:
        """Mean of the frames' SSIM per plane and over `all` planes."""
        planes = {name: _mean(score.ssim[i] for score in self.scores) for i, name in enumerate(self.components)}
        return {**planes, "all": _mean(score.ssim_all for score in self.scores)}

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`: 6 decimals, 'inf' for equal pictures, None where nothing is measured."""
        return {
            "frames": self.frames,
            "frames_a": self.frames_a,
            "frames_b": self.frames_b,
            "width": self.width,
            "height": self.height,
            "pixel_format": self.pixel_format,
            "max_time_difference_s": _plain(self.max_time_difference_s),
            "psnr": {name: _plain(value) for name, value in self.psnr.items()},
            "ssim": {name: _plain(value) for name, value in self.ssim.items()},
            "warnings": list(self.warnings),
            "per_frame": [self._frame_json(score) for score in self.scores],
        }

    def _frame_json(self, score: FrameScore) -> dict[str, Any]:
        values: dict[str, Any] = {"n": score.n, "time_s": _plain(score.time_s)}
        values["psnr_avg"] = _plain(score.psnr_avg)
        values |= {f"psnr_{name}": _plain(score.psnr[i]) for i, name in enumerate(self.components)}
        values["ssim_all"] = _plain(score.ssim_all)
        values |= {f"ssim_{name}": _plain(score.ssim[i]) for i, name in enumerate(self.components)}
        return values


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return fmean(listed) if listed else math.nan


def _plain(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return round(value, 6) if math.isfinite(value) else "inf"
