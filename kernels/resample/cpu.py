"""Resampling of one plane on the CPU: vertical into one float32 row, horizontal from it, one rounding.

The vertical pass sums source rows into a row buffer that stays in the first-level cache, so every target row
is independent of the others and row ranges run on any number of threads. The horizontal pass of a rational
ratio P/Q deals that row out to Q rows (every Q-th sample) and sums shifted pieces of them for each of the P
phases, so that all its loads are contiguous; a ratio with a long period gathers instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.resample import loops
from kernels.resample.weights import Axis, Taps, make_taps, mirrored

if TYPE_CHECKING:
    from kernels.frame import Plane
    from kernels.operation import PlaneFormat, RowsKernel
    from kernels.resample.filters import Filter

_JIT: dict[str, Any] = {"nogil": True, "cache": True}

# Target samples a phase must have for the polyphase form to pay: below it the per-phase calls cost more
# than gathering.
_MIN_PHASE_SAMPLES: Final = 24


def bind(vertical: Axis, horizontal: Axis, kernel: Filter, plane_in: PlaneFormat, plane_out: PlaneFormat) -> RowsKernel | None:
    """The kernel that resamples a plane; None when the plane passes untouched."""
    if vertical.is_identity and horizontal.is_identity:
        if plane_in.bits == plane_out.bits and plane_in.peak <= plane_out.peak:
            return None
        return ChangeBits(plane_in.width, plane_out.bits - plane_in.bits, plane_out.peak)
    return Resampler.build(vertical, horizontal, kernel, plane_in, plane_out)


@dataclass(frozen=True, slots=True)
class ChangeBits:
    """target = source * 2**up, rounded (halves up) and clipped to `peak`."""

    width: int
    up: int
    peak: int

    def __call__(self, source: Plane, target: Plane, first: int, last: int) -> None:
        args = (np.int32(max(self.up, 0)), np.int32(max(-self.up, 0)), np.int32(self.peak))
        _change_bits(source, target, self.width, first, last, *args)


@njit(**_JIT)
def _change_bits(source, target, width, first, last, up, down, peak):
    half = (np.int32(1) << down) >> np.int32(1)
    for y in range(first, last):
        a, b = source[y, :width], target[y, :width]
        for x in range(width):
            b[x] = min(((np.int32(a[x]) << up) + half) >> down, peak)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampler:
    """A bound plane resampler with its tables."""

    width_in: int
    width_out: int
    peak: np.float32
    rows: NDArray[np.int32]
    """Source rows of every target row, (target rows, taps)."""
    row_weights: NDArray[np.float32]
    """(period, taps), times the change of scale between the depths."""
    pad_left: int
    pad_source: NDArray[np.int32]
    """Source columns mirrored into the padding: those left of the row, then those right of it."""
    split: int
    """Rows that the padded row is dealt out to (Q); 0 gathers, -1 has no horizontal pass."""
    plane_of: NDArray[np.int64]
    """(period, taps): which of those rows a tap reads."""
    shift_of: NDArray[np.int64]
    """(period, taps): and from which sample on; when gathering (1, target width): first sample."""
    weights: NDArray[np.float32]
    """(period, taps); when gathering (taps, target width)."""

    @classmethod
    def build(
        cls, vertical: Axis, horizontal: Axis, kernel: Filter, plane_in: PlaneFormat, plane_out: PlaneFormat
    ) -> Resampler:
        scale = 2.0 ** (plane_out.bits - plane_in.bits)
        taps = _even(make_taps(vertical, kernel))
        starts = taps.starts(vertical.target_size)
        rows = mirrored(starts[:, None] + np.arange(taps.weights.shape[1]), vertical.source_size)
        return cls(
            width_in=horizontal.source_size,
            width_out=horizontal.target_size,
            peak=np.float32(plane_out.peak),
            rows=rows.astype(np.int32),
            row_weights=(taps.weights * scale).astype(np.float32),
            **_horizontal(horizontal, kernel),
        )

    def __call__(self, source: Plane, target: Plane, first: int, last: int) -> None:
        _resample(
            source, target, first, last, self.width_in, self.width_out, self.peak, self.rows, self.row_weights,
            self.pad_left, self.pad_source, self.split, self.plane_of, self.shift_of, self.weights,
        )  # fmt: skip


def _even(taps: Taps) -> Taps:
    """`taps` with a zero weight added where their number is odd, since the loops take pairs."""
    weights = np.pad(taps.weights, ((0, 0), (0, taps.weights.shape[1] % 2)))
    return Taps(first=taps.first, weights=weights, advance=taps.advance)


def _horizontal(axis: Axis, kernel: Filter) -> dict[str, Any]:
    if axis.is_identity:
        none = np.zeros((1, 1), dtype=np.int64)
        empty = np.zeros(0, dtype=np.int32)
        weights = np.ones((1, 1), dtype=np.float32)
        return dict(pad_left=0, pad_source=empty, split=-1, plane_of=none, shift_of=none, weights=weights)
    taps = make_taps(axis, kernel)
    gathers = axis.target_size < _MIN_PHASE_SAMPLES * taps.period
    taps = taps if gathers else _even(taps)
    count = taps.weights.shape[1]
    starts = taps.starts(axis.target_size)
    pad_left = max(0, -int(starts.min()))
    split = 0 if gathers else taps.advance
    end = max(int(starts.max()) + count, axis.source_size)
    end += -(end + pad_left) % max(split, 1)
    outside = np.concatenate([np.arange(-pad_left, 0), np.arange(axis.source_size, end)])
    tables: dict[str, Any] = dict(
        pad_left=pad_left, pad_source=mirrored(outside, axis.source_size).astype(np.int32), split=split
    )
    if gathers:
        phase = np.arange(axis.target_size) % taps.period
        weights = np.ascontiguousarray(taps.weights[phase].T, dtype=np.float32)
        return tables | dict(plane_of=np.zeros((1, 1), np.int64), shift_of=(starts + pad_left)[None], weights=weights)
    at = taps.first[:, None] + np.arange(count) + pad_left
    return tables | dict(plane_of=at % split, shift_of=at // split, weights=taps.weights.astype(np.float32))


@njit(**_JIT)
def _resample(
    source, target, first, last, width_in, width_out, peak, rows, row_weights,
    pad_left, pad_source, split, plane_of, shift_of, weights,
):  # fmt: skip
    padded = width_in + pad_source.size
    row = np.empty(padded, np.float32)
    middle = row[pad_left : pad_left + width_in]
    period = weights.shape[0] if split > 0 else 1
    phases = np.empty((period, -(-width_out // period)), np.float32)
    planes = row.reshape(1, padded) if split <= 1 else np.empty((split, padded // split), np.float32)
    for y in range(first, last):
        loops.sum_rows(middle, source, rows[y], row_weights[y % row_weights.shape[0]])
        out = target[y, :width_out]
        if split < 0:
            loops.store(out, planes, peak)
            continue
        for i in range(pad_left):
            row[i] = middle[pad_source[i]]
        for i in range(pad_left, pad_source.size):
            row[width_in + i] = middle[pad_source[i]]
        if split == 0:
            loops.gather(phases[0], row, shift_of[0], weights)
        else:
            if split > 1:
                loops.split(planes, row)
            for p in range(period):
                size = (width_out - p + period - 1) // period
                loops.sum_shifted(phases[p, :size], planes, plane_of[p], shift_of[p], weights[p])
        loops.store(out, phases, peak)
