"""The vertical pass, and the two orders of the passes.

Where the number of rows grows, each source row is resampled horizontally once and target rows are sums of
those; where it shrinks or stays, source rows are summed first and each sum is resampled horizontally. So the
horizontal pass, the dearer one, runs on the fewer rows. Both write any range of target rows by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from kernels.jit import njit
from kernels.resample import loops
from kernels.resample.columns import TALL, fill, padded, resample_row, span
from kernels.resample.loops import INLINE, KERNEL, LANES
from kernels.resample.vectors import wide_vectors
from kernels.resample.weights import Axis, make_taps, mirrored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.resample.columns import Columns
    from kernels.resample.filters import Filter

# Columns worked on at a time: the 7 float32 rows being summed take 29 KB of the first-level cache.
_STRIP: Final = 1024
# Samples from row to row of a strip; off the power of two so that rows do not share cache sets.
_STRIDE: Final = _STRIP + 16
# Rows of a strip that are held: 128 take 533 KB of the second-level cache. More than any growing filter's taps.
_HELD: Final = 128

_u = np.uint64


class Rows(NamedTuple):
    """Tables of the vertical pass."""

    height_in: int
    starts: NDArray[np.int64]
    """First source row that each target row reads, before mirroring."""
    source_of: NDArray[np.int64]
    """(target rows, taps): source rows, mirrored into the picture."""
    weights: NDArray[np.float32]
    """(period, taps), times the change of scale between the depths."""
    pair_weights: NDArray[np.float32]
    """(2, period, 7): the same on 7 rows, from the first on and from the second on; empty above 6 taps."""


def make_rows(axis: Axis, kernel: Filter, scale: float) -> Rows:
    """Tables for combining rows along `axis`, values times `scale`."""
    taps = padded(make_taps(axis, kernel))
    weights = taps.weights * scale
    period, count = weights.shape
    starts = taps.starts(axis.target_size)
    pair_weights = np.zeros((2, period if count <= 6 else 0, 7))
    if count <= 6:
        pair_weights[0, :, :count] = weights
        pair_weights[1, :, 1 : 1 + count] = weights
    return Rows(
        height_in=axis.source_size,
        starts=starts,
        source_of=mirrored(starts[:, None] + np.arange(count), axis.source_size),
        weights=weights.astype(np.float32),
        pair_weights=pair_weights.astype(np.float32),
    )


class WorkSpace(NamedTuple):
    """What the kernels work in besides the planes; one call's own."""

    row: NDArray[np.float32]
    """A padded row; `TALL`: LANES of them."""
    dealt: NDArray[np.float32]
    """The same dealt out, where Q is above 1."""
    tall: NDArray[np.float32]
    """`TALL`: the same on end."""
    tall_out: NDArray[np.float32]
    """`TALL`: a strip of LANES target rows on end."""
    phases: NDArray[np.float32]
    """A strip of a row, phase by phase."""
    held: NDArray[np.float32]
    """Resampled rows of a strip."""


def work_space(columns: Columns) -> WorkSpace:
    total = columns.width_in + columns.pad_source.size
    lanes = LANES if columns.deal == TALL else 0
    row = np.empty(total * max(lanes, 1), np.float32)
    return WorkSpace(
        row=row,
        dealt=np.empty_like(row) if columns.deal > 1 else row,
        tall=np.empty(total * lanes, np.float32),
        tall_out=np.empty(_STRIP * lanes, np.float32),
        phases=np.empty(_STRIP, np.float32),
        held=np.empty(_HELD * _STRIDE, np.float32),
    )


@njit(**KERNEL)
def sum_then_resample(
    source: Any, pitch_in: int, target: Any, pitch_out: int, first: int, last: int, rows: Any, columns: Any, peak: Any,
    work: Any,
) -> None:  # fmt: skip
    """Target rows `first` <= y < `last`, vertical pass first. Planes are flat, their rows `pitch_*` samples apart."""
    wide_vectors()
    width, left, pad_source = columns.width_in, columns.pad_left, columns.pad_source
    period, deal, begins, starts, weights = (
        columns.period,
        columns.deal,
        columns.begins,
        columns.starts,
        columns.weights,
    )
    source_of, row_weights = rows.source_of, rows.weights
    row, dealt, tall, tall_out, phases, held = work
    total = width + pad_source.size
    strip, block = _STRIP // period * period, LANES if deal == TALL else 1
    for top in range(first, last, block):
        count = min(block, last - top)
        for r in range(count):
            p, at = (top + r) % row_weights.shape[0], r * total
            loops.sum_parts(row, at + left, width, source, source_of, top + r, pitch_in, 0, row_weights, p)
            for j in range(left):
                row[at + j] = row[at + left + pad_source[j]]
            for j in range(left, pad_source.size):
                row[at + width + j] = row[at + left + pad_source[j]]
        if deal == TALL:
            loops.lift(tall, row, total, 0, total)
        for x in range(0, columns.width_out, strip):
            end = min(x + strip, columns.width_out)
            if deal == TALL:
                loops.sum_tall(tall_out, tall, starts, weights, x, end)
                for r in range(count):
                    loops.drop(held, 0, end - x, tall_out, r)
                    loops.store(target, (top + r) * pitch_out + x, end - x, held, 0, peak)
            else:
                begin_in, end_in = span(columns, x, end)
                resample_row(held, 0, row, dealt, phases, x, end, begin_in, end_in, period, deal, begins, weights)
                loops.store(target, top * pitch_out + x, end - x, held, 0, peak)


@njit(**KERNEL)
def resample_then_sum(
    source: Any, pitch_in: int, target: Any, pitch_out: int, first: int, last: int, rows: Any, columns: Any, peak: Any,
    work: Any,
) -> None:  # fmt: skip
    """As `sum_then_resample`, horizontal pass first, strip by strip.

    A strip's resampled rows lie one after another at a fixed stride, rows mirrored beyond the picture included,
    so that sums of them have constant offsets.
    """
    wide_vectors()
    strip = _STRIP // columns.period * columns.period
    starts, held = rows.starts, work.held
    pairs = rows.pair_weights.size > 0
    depth = 7 if pairs else rows.weights.shape[1] + 1
    for x in range(0, columns.width_out, strip):
        end = min(x + strip, columns.width_out)
        y = first
        top = filled = starts[first]
        while y < last:
            loops.convert(held, 0, max(filled - starts[y], 0) * _STRIDE, held, (starts[y] - top) * _STRIDE)
            top, filled = starts[y], max(filled, starts[y])
            stop = y + 1
            while stop < last and starts[stop] + depth <= top + _HELD:
                stop += 1
            need = starts[stop - 1] + depth
            _hold(held, top, filled, need, source, pitch_in, rows.height_in, columns, x, end, work)
            filled = need
            at = pitch_out * y + x
            if pairs:
                _sum_pairs(target, at, pitch_out, end - x, y, stop, held, top, starts, rows.pair_weights, peak)
            else:
                _sum_any(target, at, pitch_out, end - x, y, stop, held, top, starts, rows.weights, peak, work.phases)
            y = stop


@njit(**INLINE)
def _hold(
    held: Any, top: int, first: int, last: int, source: Any, pitch: int, height: int, columns: Any, x: int, end: int,
    work: Any,
) -> None:  # fmt: skip
    """Resample columns `x` to `end` of source rows `first` to `last` into the held rows, of which row 0 is `top`."""
    wide_vectors()
    left, width, pad_source = columns.pad_left, columns.width_in, columns.pad_source
    period, deal, begins, starts, weights = (
        columns.period,
        columns.deal,
        columns.begins,
        columns.starts,
        columns.weights,
    )
    row, dealt, tall, tall_out, phases = work.row, work.dealt, work.tall, work.tall_out, work.phases
    total = width + pad_source.size
    begin_in, end_in = span(columns, x, end)
    block = LANES if deal == TALL else 1
    for group in range(first, last, block):
        count = min(block, last - group)
        for r in range(count):
            folded = (group + r) % (2 * height)
            offset = min(folded, 2 * height - 1 - folded) * pitch
            fill(row, r * total, source, offset, left, width, pad_source, begin_in, end_in)
        at = (group - top) * _STRIDE
        if deal == TALL:
            loops.lift(tall, row, total, begin_in, end_in)
            loops.sum_tall(tall_out, tall, starts, weights, x, end)
            for r in range(count):
                loops.drop(held, at + r * _STRIDE, end - x, tall_out, r)
        else:
            resample_row(held, at, row, dealt, phases, x, end, begin_in, end_in, period, deal, begins, weights)


@njit(**INLINE)
def _sum_pairs(
    target: Any, at: int, pitch: int, size: int, first: int, last: int, held: Any, top: int, starts: Any,
    weights: Any, peak: Any,
) -> None:  # fmt: skip
    """Target rows `first` to `last`, the first at target[at:], two at a time; an odd last one is done twice."""
    wide_vectors()
    period = weights.shape[1]
    for y in range(first, last, 2):
        other = min(y + 1, last - 1)
        begin = (starts[y] - top) * _STRIDE
        low, high = at + (y - first) * pitch, at + (other - first) * pitch
        shift = starts[other] - starts[y]
        _pair(target, low, high, size, held, begin, weights, y % period, shift, other % period, peak)


@njit(**KERNEL)
def _pair(
    target: Any, low: int, high: int, size: int, held: Any, begin: int, weights: Any, p: int, s: int, q: int, peak: Any
) -> None:  # fmt: skip
    """Two target rows from 7 held rows, of which the first target row does not use the last."""
    wide_vectors()
    zero, half, w = np.float32(0), np.float32(0.5), weights
    v0, v1, v2, v3, v4, v5 = w[0, p, 0], w[0, p, 1], w[0, p, 2], w[0, p, 3], w[0, p, 4], w[0, p, 5]
    w0, w1, w2, w3, w4, w5 = w[s, q, 0], w[s, q, 1], w[s, q, 2], w[s, q, 3], w[s, q, 4], w[s, q, 5]
    w6 = w[s, q, 6]
    for i in range(size):
        j = _u(begin) + _u(i)
        a, b, c, d = held[j], held[j + _u(_STRIDE)], held[j + _u(2 * _STRIDE)], held[j + _u(3 * _STRIDE)]
        e, f, g = held[j + _u(4 * _STRIDE)], held[j + _u(5 * _STRIDE)], held[j + _u(6 * _STRIDE)]
        upper = v0 * a + (v1 * b + (v2 * c + (v3 * d + (v4 * e + (v5 * f + half)))))
        lower = w0 * a + (w1 * b + (w2 * c + (w3 * d + (w4 * e + (w5 * f + (w6 * g + half))))))
        target[_u(low) + _u(i)] = np.int32(min(max(upper, zero), peak))
        target[_u(high) + _u(i)] = np.int32(min(max(lower, zero), peak))


@njit(**INLINE)
def _sum_any(
    target: Any, at: int, pitch: int, size: int, first: int, last: int, held: Any, top: int, starts: Any,
    weights: Any, peak: Any, total: Any,
) -> None:  # fmt: skip
    """As `_sum_pairs` for any number of taps, row by row; `total` is work space."""
    wide_vectors()
    for y in range(first, last):
        p = y % weights.shape[0]
        for i in range(size):
            total[i] = np.float32(0)
        for k in range(0, weights.shape[1], 2):
            w0, w1 = weights[p, k], weights[p, k + 1]
            begin = _u((starts[y] - top + k) * _STRIDE)
            for i in range(size):
                j = begin + _u(i)
                total[_u(i)] += w0 * held[j] + w1 * held[j + _u(_STRIDE)]
        loops.store(target, at + (y - first) * pitch, size, total, 0, peak)
