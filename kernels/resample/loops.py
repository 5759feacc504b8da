"""The inner loops of resampling, on whole contiguous 1-D views so that they vectorise.

Sums are in float32; sources may be uint8, uint16 or float32. No loop has more than eight arrays at distances
unknown to the compiler: with more, LLVM gives up checking that they do not overlap and stays scalar.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from kernels.resample.vectors import wide_vectors

# Relaxed float rules that let LLVM fuse multiply and add and use plain min and max; no value here is NaN or
# infinite.
KERNEL: Final[dict[str, Any]] = {"nogil": True, "cache": True, "fastmath": {"contract", "nnan", "ninf", "nsz"}}
# Parts are put into the kernel that calls them before LLVM sees them: compiled once instead of once a level.
JIT: Final[dict[str, Any]] = KERNEL | {"inline": "always"}

_f = np.float32


@njit(**JIT)
def _set4(out: Any, a: Any, b: Any, c: Any, d: Any, w: Any) -> None:
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for i in range(out.size):
        out[i] = w0 * _f(a[i]) + (w1 * _f(b[i]) + (w2 * _f(c[i]) + w3 * _f(d[i])))


@njit(**JIT)
def _set6(out: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, w: Any) -> None:
    w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
    for i in range(out.size):
        far = w3 * _f(d[i]) + (w4 * _f(e[i]) + w5 * _f(f[i]))
        out[i] = w0 * _f(a[i]) + (w1 * _f(b[i]) + (w2 * _f(c[i]) + far))


@njit(**JIT)
def _add6(out: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, w: Any) -> None:
    w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
    for i in range(out.size):
        far = w3 * _f(d[i]) + (w4 * _f(e[i]) + (w5 * _f(f[i]) + out[i]))
        out[i] = w0 * _f(a[i]) + (w1 * _f(b[i]) + (w2 * _f(c[i]) + far))


@njit(**JIT)
def sum_rows(out: Any, rows: Any, row_of: Any, column_of: Any, weights: Any) -> None:
    """out[i] = sum over k of weights[k] * rows[row_of[k], column_of[k] + i]; taps as `padded_taps` has them."""
    wide_vectors()
    m, n, r, c = out.size, weights.size, row_of, column_of
    a, b = rows[r[0], c[0] : c[0] + m], rows[r[1], c[1] : c[1] + m]
    d, e = rows[r[2], c[2] : c[2] + m], rows[r[3], c[3] : c[3] + m]
    k = 4
    if n % 6 == 4:
        _set4(out, a, b, d, e, weights)
    else:
        f, g = rows[r[4], c[4] : c[4] + m], rows[r[5], c[5] : c[5] + m]
        _set6(out, a, b, d, e, f, g, weights)
        k = 6
    while k < n:
        a, b = rows[r[k], c[k] : c[k] + m], rows[r[k + 1], c[k + 1] : c[k + 1] + m]
        d, e = rows[r[k + 2], c[k + 2] : c[k + 2] + m], rows[r[k + 3], c[k + 3] : c[k + 3] + m]
        f, g = rows[r[k + 4], c[k + 4] : c[k + 4] + m], rows[r[k + 5], c[k + 5] : c[k + 5] + m]
        _add6(out, a, b, d, e, f, g, weights[k:])
        k += 6


def padded_taps(count: int) -> int:
    """The least number of taps, at least `count`, that the sums can do: 4, then 4 or 0 over a multiple of 6."""
    return next(n for n in range(max(count, 4), count + 6) if n % 6 in (0, 4))


@njit(**JIT)
def gather(out: Any, row: Any, starts: Any, weights: Any) -> None:
    """out[x] = sum over k of weights[k, x] * row[starts[x] + k], for ratios without a short period."""
    wide_vectors()
    taps, m = weights.shape[0], out.size
    k = 0
    out[:] = _f(0)
    while k + 2 <= taps:
        v, w = weights[k, :m], weights[k + 1, :m]
        a, b = row[k:], row[k + 1 :]
        for i in range(m):
            at = np.uint64(starts[i])
            out[i] += v[i] * a[at] + w[i] * b[at]
        k += 2
    if k < taps:
        v, a = weights[k, :m], row[k:]
        for i in range(m):
            out[i] += v[i] * a[np.uint64(starts[i])]


@njit(**JIT)
def deal(rows: Any, row: Any) -> None:
    """Deal `row` out to Q rows in turn: rows[q, i] = row[i * Q + q]."""
    wide_vectors()
    q = rows.shape[0]
    if q == 2:
        a, b = rows[0], rows[1]
        for i in range(a.size):
            a[i] = row[2 * i]
            b[i] = row[2 * i + 1]
    elif q == 3:
        a, b, c = rows[0], rows[1], rows[2]
        for i in range(a.size):
            a[i] = row[3 * i]
            b[i] = row[3 * i + 1]
            c[i] = row[3 * i + 2]
    else:
        for j in range(q):
            a, d = rows[j], row[j::q]
            for i in range(a.size):
                a[i] = d[i]


@njit(**JIT)
def weave(out: Any, phases: Any) -> None:
    """out[i * P + p] = phases[p, i]; the length of `out` is a multiple of P."""
    wide_vectors()
    period = phases.shape[0]
    m = out.size // period
    if period == 2:
        a, b = phases[0], phases[1]
        for i in range(m):
            out[2 * i] = a[i]
            out[2 * i + 1] = b[i]
    elif period == 3:
        a, b, c = phases[0], phases[1], phases[2]
        for i in range(m):
            out[3 * i] = a[i]
            out[3 * i + 1] = b[i]
            out[3 * i + 2] = c[i]
    else:
        for p in range(period):
            a, d = phases[p], out[p::period]
            for i in range(m):
                d[i] = a[i]


@njit(**JIT)
def store(target: Any, row: Any, peak: Any) -> None:
    """`row` rounded (halves up), clipped to 0..peak, as integers."""
    wide_vectors()
    zero, half = _f(0), _f(0.5)
    for i in range(target.size):
        target[i] = np.int32(min(max(row[i] + half, zero), peak))


@njit(**JIT)
def double(out: Any, row: Any, w: Any) -> None:
    """Both phases of doubling in one go: out[2i + p] = sum over k of w[p, k] * row[i + k], w[0, 6] being 0."""
    wide_vectors()
    v0, v1, v2, v3, v4, v5 = w[0, 0], w[0, 1], w[0, 2], w[0, 3], w[0, 4], w[0, 5]
    w0, w1, w2, w3, w4, w5, w6 = w[1, 0], w[1, 1], w[1, 2], w[1, 3], w[1, 4], w[1, 5], w[1, 6]
    for i in range(out.size // 2):
        a, b, c, d, e, f, g = row[i], row[i + 1], row[i + 2], row[i + 3], row[i + 4], row[i + 5], row[i + 6]
        out[2 * i] = v0 * a + (v1 * b + (v2 * c + (v3 * d + (v4 * e + v5 * f))))
        out[2 * i + 1] = w0 * a + (w1 * b + (w2 * c + (w3 * d + (w4 * e + (w5 * f + w6 * g)))))
