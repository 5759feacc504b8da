"""Where the samples of a resampled plane come from, and with which weights (float64, exact phases).

A target sample `i` of an axis lies at source coordinate `start + step * i`, both exact fractions, so that a
rational ratio repeats after `step.denominator` target samples. Filters are widened by the ratio when
shrinking (antialiasing), weights sum to 1, and beyond its ends the source is mirrored about the outer
sample edges: index -1 - j is j, index n + j is n - 1 - j.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.color import ChromaLocation
from kernels.resample.filters import NEGLIGIBLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.frame import VideoFormat
    from kernels.resample.filters import Filter

_HALF: Final = Fraction(1, 2)

# Position of a chroma sample within the luma samples it covers, as (x, y) fractions of the way from the
# first (0) to the last (1): H.273 figure 10 (chroma sample location types 0 to 5).
_CHROMA_PLACE: Final = {
    ChromaLocation.LEFT: (Fraction(0), _HALF),
    ChromaLocation.CENTER: (_HALF, _HALF),
    ChromaLocation.TOPLEFT: (Fraction(0), Fraction(0)),
    ChromaLocation.TOP: (_HALF, Fraction(0)),
    ChromaLocation.BOTTOMLEFT: (Fraction(0), Fraction(1)),
    ChromaLocation.BOTTOM: (_HALF, Fraction(1)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis of one plane: how target samples lie on source samples."""

    source_size: int
    target_size: int
    step: Fraction
    """Source samples from one target sample to the next."""
    start: Fraction
    """Source coordinate of target sample 0; source sample j has coordinate j."""

    @property
    def is_identity(self) -> bool:
        """Whether every target sample is a source sample."""
        return self.source_size == self.target_size and self.step == 1 and self.start == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taps:
    """Weights of an axis for one period; target sample `i` is phase `i % period`.

    Tap `k` of target sample `i` reads source index `first[i % period] + (i // period) * advance + k`, which
    may lie outside the source: see `mirrored`.
    """

    first: NDArray[np.int64]
    """Shape (period,)."""
    weights: NDArray[np.float64]
    """Shape (period, taps); rows sum to 1."""
    advance: int
    """Source samples per period."""

    @property
    def period(self) -> int:
        """Target samples until the weights repeat."""
        return len(self.first)

    def starts(self, size: int) -> NDArray[np.int64]:
        """First source index of each of `size` target samples."""
        i = np.arange(size, dtype=np.int64)
        return self.first[i % self.period] + i // self.period * self.advance


def plane_axes(source: VideoFormat, target: VideoFormat, plane: int) -> tuple[Axis, Axis]:
    """(vertical, horizontal) axes that take `plane` of `source` to that of `target`.

    Chroma keeps its place on the luma grid, which differs with subsampling and chroma location on
    either side.
    """
    axes = []
    for vertical in (True, False):
        ends = []
        for video in (source, target):
            luma = video.height if vertical else video.width
            log2, place = _chroma_grid(video, plane, vertical=vertical)
            ends.append((luma, 1 << log2, place * ((1 << log2) - 1)))
        axes.append(_axis(*ends))
    return axes[0], axes[1]


def _chroma_grid(video: VideoFormat, plane: int, *, vertical: bool) -> tuple[int, Fraction]:
    pixel_format = video.pixel_format
    if plane == 0:
        return 0, Fraction(0)
    place = _CHROMA_PLACE[video.resolved_color.chroma_location]
    if vertical:
        return pixel_format.log2_chroma_h, place[1]
    return pixel_format.log2_chroma_w, place[0]


def _axis(source: tuple[int, int, Fraction], target: tuple[int, int, Fraction]) -> Axis:
    """From (luma samples, luma samples per sample, luma coordinate of sample 0) of either side."""
    (luma_in, pitch_in, place_in), (luma_out, pitch_out, place_out) = source, target
    ratio = Fraction(luma_in, luma_out)
    return Axis(
        source_size=-(-luma_in // pitch_in),
        target_size=-(-luma_out // pitch_out),
        step=ratio * pitch_out / pitch_in,
        start=((place_out + _HALF) * ratio - _HALF - place_in) / pitch_in,
    )


def make_taps(axis: Axis, kernel: Filter) -> Taps:
    """Weights of `kernel` on `axis`; an axis that does not change is left alone by every kernel."""
    period = min(axis.step.denominator, axis.target_size)
    centres = [axis.start + axis.step * i for i in range(period)]
    if kernel.support == 0 or axis.is_identity:
        first = np.array([_floor(c + _HALF) for c in centres], dtype=np.int64)
        weights = np.ones((period, 1))
    elif kernel.covers:
        first, weights = _coverage(centres, axis.step)
    else:
        first, weights = _evaluate(centres, max(Fraction(1), axis.step), kernel)
    weights /= weights.sum(axis=1, keepdims=True)
    return _trimmed(first, weights, axis.step.numerator)


def mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """`index` brought into 0..size-1 by reflection about the outer sample edges, repeatedly if needed."""
    folded = index % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


def _evaluate(
    centres: list[Fraction], widening: Fraction, kernel: Filter
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    reach = Fraction(kernel.support) * widening
    first = np.array([_floor(c - reach) + 1 for c in centres], dtype=np.int64)
    taps = max(1, -_floor(-2 * reach))
    offset = np.array([float(f - c) for f, c in zip(first.tolist(), centres, strict=True)])
    distance = (offset[:, None] + np.arange(taps)) / float(widening)
    inside = np.abs(distance) < kernel.support
    return first, np.where(inside, kernel.weight(distance), 0.0)


def _coverage(centres: list[Fraction], step: Fraction) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    low = [c - step / 2 for c in centres]
    first = np.array([_floor(a + _HALF) for a in low], dtype=np.int64)
    taps = -_floor(-step) + 1
    begin = np.array([float(a - f) for a, f in zip(low, first.tolist(), strict=True)])[:, None]
    left = np.arange(taps) - 0.5
    overlap = np.minimum(begin + float(step), left + 1) - np.maximum(begin, left)
    return first, np.maximum(overlap, 0.0)


def _trimmed(first: NDArray[np.int64], weights: NDArray[np.float64], advance: int) -> Taps:
    used = np.flatnonzero((np.abs(weights) > NEGLIGIBLE).any(axis=0))
    begin, end = int(used[0]), int(used[-1]) + 1
    return Taps(first=first + begin, weights=np.ascontiguousarray(weights[:, begin:end]), advance=advance)


def _floor(value: Fraction) -> int:
    return value.numerator // value.denominator
