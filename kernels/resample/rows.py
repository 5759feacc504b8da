"""The vertical pass, and the two orders of the passes.

Where the number of rows grows, each source row is resampled horizontally once and target rows are sums of
those; where it shrinks or stays, source rows are summed first and each sum is resampled horizontally. So the
horizontal pass, the dearer one, runs on the fewer rows. Both write any range of target rows by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numba import njit

from kernels.resample import loops
from kernels.resample.columns import PLAIN, fill, padded, resample_row, span
from kernels.resample.loops import JIT, KERNEL
from kernels.resample.vectors import wide_vectors
from kernels.resample.weights import Axis, make_taps, mirrored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.resample.filters import Filter

# Columns worked on at a time: the 7 float32 rows being summed take 29 KB of the first-level cache.
_STRIP: Final = 1024
# Samples from row to row of a strip; off the power of two so that rows do not share cache sets.
_STRIDE: Final = _STRIP + 16
# Rows of a strip that are held: 64 take 266 KB of the second-level cache. More than any growing filter's taps.
_HELD: Final = 64


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


@njit(**KERNEL)
def sum_then_resample(
    source: Any, pitch_in: int, target: Any, pitch_out: int, first: int, last: int, rows: Any, columns: Any, peak: Any
) -> None:
    """Target rows `first` <= y < `last`, vertical pass first. Planes are flat, their rows `pitch_*` samples apart."""
    width, left = columns.width_in, columns.pad_left
    dealt = np.empty(width + columns.pad_source.size, np.float32)
    row = dealt if columns.deal <= 1 else np.empty_like(dealt)
    middle = row[left : left + width]
    phases, out = np.empty(_STRIP, np.float32), np.empty(_STRIP, np.float32)
    strip = _STRIP // columns.period * columns.period
    for y in range(first, last):
        at = y * pitch_out
        loops.sum_parts(middle, source, rows.source_of[y], pitch_in, 0, rows.weights[y % rows.weights.shape[0]])
        if columns.deal == PLAIN:
            loops.store(target[at : at + width], middle, peak)
            continue
        for j in range(left):
            row[j] = middle[columns.pad_source[j]]
        for j in range(left, columns.pad_source.size):
            row[width + j] = middle[columns.pad_source[j]]
        for x in range(0, columns.width_out, strip):
            end = min(x + strip, columns.width_out)
            resample_row(out, row, dealt, phases, columns, x, end)
            loops.store(target[at + x : at + end], out, peak)


@njit(**KERNEL)
def resample_then_sum(
    source: Any, pitch_in: int, target: Any, pitch_out: int, first: int, last: int, rows: Any, columns: Any, peak: Any
) -> None:
    """As `sum_then_resample`, horizontal pass first, strip by strip.

    A strip's resampled rows lie one after another at a fixed stride, rows mirrored beyond the picture included,
    so that sums of them have constant offsets.
    """
    dealt = np.empty(columns.width_in + columns.pad_source.size, np.float32)
    row = dealt if columns.deal <= 1 else np.empty_like(dealt)
    phases, total = np.empty(_STRIP, np.float32), np.empty(_STRIP, np.float32)
    held, spare = np.empty(_HELD * _STRIDE, np.float32), np.empty(_STRIP, target.dtype)
    strip = _STRIP // columns.period * columns.period
    taps, period = rows.weights.shape[1], rows.weights.shape[0]
    pairs = rows.pair_weights.size > 0
    depth = 7 if pairs else taps + 1
    for x in range(0, columns.width_out, strip):
        end = min(x + strip, columns.width_out)
        begin_in, end_in = span(columns, x, end)
        top = filled = rows.starts[first]
        for y in range(first, last, 2):
            start = rows.starts[y]
            if start + depth > top + _HELD:
                _move(held, (start - top) * _STRIDE, (filled - start) * _STRIDE)
                top, filled = start, max(start, filled)
            while filled < start + depth:
                folded = filled % (2 * rows.height_in)
                fill(row, source, min(folded, 2 * rows.height_in - 1 - folded) * pitch_in, columns, begin_in, end_in)
                out = held[(filled - top) * _STRIDE : (filled - top) * _STRIDE + _STRIP]
                if columns.deal == PLAIN:
                    loops.convert(out[: end - x], row, x)
                else:
                    resample_row(out, row, dealt, phases, columns, x, end)
                filled += 1
            other = min(y + 1, last - 1)
            shift = rows.starts[other] - start
            low = target[y * pitch_out + x : y * pitch_out + end]
            high = target[other * pitch_out + x : other * pitch_out + end] if other > y else spare
            part = held[(start - top) * _STRIDE :]
            if pairs:
                _pair(low, high, part, rows.pair_weights[0, y % period], rows.pair_weights[shift, other % period], peak)
            else:
                _one(low, total, part, rows.weights[y % period], peak)
                _one(high[: end - x], total, part[shift * _STRIDE :], rows.weights[other % period], peak)


@njit(**JIT)
def _move(held: Any, by: int, size: int) -> None:
    for i in range(size):
        held[i] = held[i + by]


@njit(**KERNEL)
def _pair(low: Any, high: Any, rows: Any, v: Any, w: Any, peak: Any) -> None:
    """Two target rows from 7 held rows, of which the first target row does not use the last."""
    wide_vectors()
    zero, half = np.float32(0), np.float32(0.5)
    v0, v1, v2, v3, v4, v5 = v[0], v[1], v[2], v[3], v[4], v[5]
    w0, w1, w2, w3, w4, w5, w6 = w[0], w[1], w[2], w[3], w[4], w[5], w[6]
    for i in range(low.size):
        a, b, c, d = rows[i], rows[i + _STRIDE], rows[i + 2 * _STRIDE], rows[i + 3 * _STRIDE]
        e, f, g = rows[i + 4 * _STRIDE], rows[i + 5 * _STRIDE], rows[i + 6 * _STRIDE]
        p = v0 * a + (v1 * b + (v2 * c + (v3 * d + (v4 * e + (v5 * f + half)))))
        q = w0 * a + (w1 * b + (w2 * c + (w3 * d + (w4 * e + (w5 * f + (w6 * g + half))))))
        low[i] = np.int32(min(max(p, zero), peak))
        high[i] = np.int32(min(max(q, zero), peak))


@njit(**KERNEL)
def _one(target: Any, total: Any, rows: Any, weights: Any, peak: Any) -> None:
    """One target row from any number of held rows; `total` is work space."""
    wide_vectors()
    m = target.size
    for i in range(m):
        total[i] = np.float32(0)
    for k in range(0, weights.size, 2):
        w0, w1 = weights[k], weights[k + 1]
        part = rows[k * _STRIDE :]
        for i in range(m):
            total[i] += w0 * part[i] + w1 * part[i + _STRIDE]
    loops.store(target, total, peak)
