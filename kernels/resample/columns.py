"""The horizontal pass: one float32 row, mirrored at its ends, into one resampled row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from kernels.jit import njit
from kernels.resample import loops
from kernels.resample.loops import INLINE
from kernels.resample.vectors import wide_vectors
from kernels.resample.weights import Axis, Taps, make_taps, mirrored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.resample.filters import Filter

PLAIN: Final = -1
"""`Columns.deal` of an axis that has no horizontal pass."""
DOUBLE: Final = -2
"""`Columns.deal` of twice as many samples by up to 6 taps: `loops.double` does both phases at once."""
TALL: Final = 0
"""`Columns.deal` of a ratio whose phases repeat too rarely to be worked on one by one: rows go side by side."""

# A phase is worth a pass of its own from this many samples in a row.
_MIN_PHASE_SAMPLES: Final = 24
# Above it phases are too short, and a strip could not hold whole periods.
_MAX_PERIOD: Final = 64


class Columns(NamedTuple):
    """Tables of the horizontal pass.

    A rational ratio of P target to Q source samples deals the padded row out to Q rows, every Q-th sample to
    one, and sums shifted pieces of them for each of the P phases, so that all loads are contiguous.
    """

    width_in: int
    width_out: int
    pad_left: int
    """Samples mirrored in left of the row."""
    pad_source: NDArray[np.int64]
    """Source columns of the padding: first what lies left of the row, then what lies right of it."""
    period: int
    """P; 1 for `TALL`."""
    deal: int
    """Q, or `TALL`, `DOUBLE` or `PLAIN`."""
    begins: NDArray[np.int64]
    """(P, taps): where a tap's samples for a phase begin among the dealt rows, laid one after another."""
    starts: NDArray[np.int64]
    """First padded column that each target sample reads."""
    reach: int
    """Padded columns from a sample's first to past the last that its whole period reads, at most."""
    weights: NDArray[np.float32]
    """(P, taps); `DOUBLE`: (2, 7); `TALL`: (target width, taps)."""


def padded(taps: Taps) -> Taps:
    """`taps` with zero weights added up to a number that the loops can do."""
    count = taps.weights.shape[1]
    weights = np.pad(taps.weights, ((0, 0), (0, loops.padded_taps(count) - count)))
    return Taps(first=taps.first, weights=weights, advance=taps.advance)


def make_columns(axis: Axis, kernel: Filter) -> Columns:
    """Tables for resampling rows along `axis`."""
    taps = padded(make_taps(axis, kernel))
    count = taps.weights.shape[1]
    if axis.is_identity:
        deal, period, reach = PLAIN, 1, 1
    elif taps.period > _MAX_PERIOD or axis.target_size < _MIN_PHASE_SAMPLES * taps.period:
        deal, period, reach = TALL, 1, count + -count % 6
    else:
        deal, period = taps.advance, taps.period
        deal = DOUBLE if (period, deal) == (2, 1) and count <= 6 else deal
        reach = max(count, 7) + taps.advance + 1  # `double` reads 7
    starts = taps.starts(axis.target_size)
    pad_left = max(0, -int(starts.min()))
    total = max(int(starts.max()) + reach, axis.source_size) + pad_left
    total += -total % max(deal, 1)
    outside = np.concatenate([np.arange(-pad_left, 0), np.arange(axis.source_size, total - pad_left)])
    at = taps.first[:, None] + np.arange(count) + pad_left
    weights = _double_weights(taps) if deal == DOUBLE else taps.weights
    if deal == TALL:
        weights = np.pad(taps.weights, ((0, 0), (0, -count % 6)))[np.arange(axis.target_size) % taps.period]
    return Columns(
        width_in=axis.source_size,
        width_out=axis.target_size,
        pad_left=pad_left,
        pad_source=mirrored(outside, axis.source_size),
        period=period,
        deal=deal,
        begins=at % max(deal, 1) * (total // max(deal, 1)) + at // max(deal, 1),
        starts=starts + pad_left,
        reach=reach,
        weights=np.ascontiguousarray(weights, dtype=np.float32),
    )


def _double_weights(taps: Taps) -> NDArray[np.float64]:
    """The weights of both phases on 7 samples that start where the first phase does."""
    shift = int(taps.first[1] - taps.first[0])
    count = taps.weights.shape[1]
    weights = np.zeros((2, 7))
    weights[0, :count] = taps.weights[0]
    weights[1, shift : shift + count] = taps.weights[1]
    return weights


@njit(**INLINE)
def span(columns: Any, first: int, last: int) -> tuple[int, int]:
    """The padded columns that whole periods from target column `first` to past `last` read, in whole deals."""
    step = max(columns.deal, 1)
    total = columns.width_in + columns.pad_source.size
    end = columns.starts[last - 1] + columns.reach
    return columns.starts[first] // step * step, min(-(-end // step) * step, total)


@njit(**INLINE)
def fill(
    row: Any, at: int, source: Any, offset: int, left: int, width: int, pad_source: Any, first: int, last: int
) -> None:  # fmt: skip
    """Padded columns `first` <= j < `last` of the row at row[at:] from the one at source[offset:]."""
    wide_vectors()
    for j in range(first, min(left, last)):
        row[at + j] = source[offset + pad_source[j]]
    begin, end = max(first, left), min(last, left + width)
    loops.convert(row, at + begin, end - begin, source, offset + begin - left)
    for j in range(max(first, left + width), last):
        row[at + j] = source[offset + pad_source[j - width]]


@njit(**INLINE)
def resample_row(
    out: Any, at: int, row: Any, dealt: Any, phases: Any, first: int, last: int, begin: int, end: int,
    period: int, deal: int, begins: Any, weights: Any,
) -> None:  # fmt: skip
    """Target columns `first` <= x < `last`, rounded up to whole periods, into out[at:]; `first` starts a period.

    `row` is the padded row, filled from `begin` to `end` (see `span`). Work space: `dealt`, as long as the
    padded row (and the same memory where Q is 1), and `phases`, as long as the stretch of columns.
    """
    wide_vectors()
    shift = first // period
    size = (last - first + period - 1) // period
    if deal == PLAIN:
        loops.convert(out, at, last - first, row, first)
    elif deal == DOUBLE:
        loops.double(out, at, size, row, begins[0, 0] + shift, weights)
    else:
        if deal > 1:
            loops.deal(dealt, row, deal, begin, end)
        sums, base = (out, at) if period == 1 else (phases, 0)
        for p in range(period):
            loops.sum_parts(sums, base + p * size, size, dealt, begins, p, 1, shift, weights, p)
        if period > 1:
            loops.weave(out, at, phases, period, size)
