"""The inner loops of resampling, on contiguous 1-D arrays so that they vectorise.

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
# Offsets are unsigned so that Numba does not look for negative ones, which would stop vectorising.
_u = np.uint64


@njit(**KERNEL)
def _set4(out: Any, flat: Any, a: Any, b: Any, c: Any, d: Any, w: Any) -> None:
    wide_vectors()
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    for i in range(out.size):
        j = _u(i)
        out[i] = w0 * _f(flat[a + j]) + (w1 * _f(flat[b + j]) + (w2 * _f(flat[c + j]) + w3 * _f(flat[d + j])))


@njit(**KERNEL)
def _set6(out: Any, flat: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, w: Any) -> None:
    wide_vectors()
    w0, w1, w2, w3, w4, w5 = w[0], w[1], w[2], w[3], w[4], w[5]
    for i in range(out.size):
        j = _u(i)
        far = w3 * _f(flat[d + j]) + (w4 * _f(flat[e + j]) + w5 * _f(flat[f + j]))
        out[i] = w0 * _f(flat[a + j]) + (w1 * _f(flat[b + j]) + (w2 * _f(flat[c + j]) + far))


@njit(**KERNEL)
def _add6(out: Any, flat: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, w: Any, k: int) -> None:
    wide_vectors()
    w0, w1, w2, w3, w4, w5 = w[k], w[k + 1], w[k + 2], w[k + 3], w[k + 4], w[k + 5]
    for i in range(out.size):
        j = _u(i)
        far = w3 * _f(flat[d + j]) + (w4 * _f(flat[e + j]) + (w5 * _f(flat[f + j]) + out[i]))
        out[i] = w0 * _f(flat[a + j]) + (w1 * _f(flat[b + j]) + (w2 * _f(flat[c + j]) + far))


@njit(**JIT)
def sum_parts(out: Any, flat: Any, begins: Any, scale: int, shift: int, weights: Any) -> None:
    """out[i] = sum over k of weights[k] * flat[begins[k] * scale + shift + i]; taps as `padded_taps` has them."""
    n, v = weights.size, begins
    t, s = _u(scale), _u(shift)
    a, b, c, d = _u(v[0]) * t + s, _u(v[1]) * t + s, _u(v[2]) * t + s, _u(v[3]) * t + s
    k = 4
    if n % 6 == 4:
        _set4(out, flat, a, b, c, d, weights)
    else:
        _set6(out, flat, a, b, c, d, _u(v[4]) * t + s, _u(v[5]) * t + s, weights)
        k = 6
    while k < n:
        a, b, c = _u(v[k]) * t + s, _u(v[k + 1]) * t + s, _u(v[k + 2]) * t + s
        d, e, f = _u(v[k + 3]) * t + s, _u(v[k + 4]) * t + s, _u(v[k + 5]) * t + s
        _add6(out, flat, a, b, c, d, e, f, weights, k)
        k += 6


def padded_taps(count: int) -> int:
    """The least number of taps, at least `count`, that the sums can do: 4, then 4 or 0 over a multiple of 6."""
    return next(n for n in range(max(count, 4), count + 6) if n % 6 in (0, 4))


@njit(**KERNEL)
def gather(out: Any, row: Any, starts: Any, weights: Any, first: int, last: int) -> None:
    """out[x - first] = sum over k of weights[k, x] * row[starts[x] + k], for ratios without a short period."""
    wide_vectors()
    at = starts[first:last]
    for i in range(at.size):
        out[i] = _f(0)
    for k in range(0, weights.shape[0], 2):
        v, w = weights[k, first:last], weights[k + 1, first:last]
        a, b = row[k:], row[k + 1 :]
        for i in range(at.size):
            j = _u(at[i])
            out[i] += v[i] * a[j] + w[i] * b[j]


@njit(**KERNEL)
def deal(dealt: Any, row: Any, size: int, begin: int, end: int) -> None:
    """Deal row[begin:end] out in turn to Q rows of `size`: dealt[q * size + i] = row[i * Q + q]."""
    wide_vectors()
    q = dealt.size // size
    part = row[begin:end]
    if q == 2:
        a, b = dealt[begin // 2 :], dealt[size + begin // 2 :]
        for i in range(part.size // 2):
            a[i] = part[2 * i]
            b[i] = part[2 * i + 1]
    elif q == 3:
        a, b, c = dealt[begin // 3 :], dealt[size + begin // 3 :], dealt[2 * size + begin // 3 :]
        for i in range(part.size // 3):
            a[i] = part[3 * i]
            b[i] = part[3 * i + 1]
            c[i] = part[3 * i + 2]
    else:
        for j in range(q):
            a = dealt[j * size + begin // q :]
            for i in range(part.size // q):
                a[i] = part[_u(i) * _u(q) + _u(j)]


@njit(**KERNEL)
def weave(out: Any, phases: Any, period: int, size: int) -> None:
    """out[i * P + p] = phases[p * size + i] for i below `size`."""
    wide_vectors()
    a, b, c = phases, phases[size:], phases[2 * size :]
    if period == 2:
        for i in range(size):
            out[2 * i] = a[i]
            out[2 * i + 1] = b[i]
    elif period == 3:
        for i in range(size):
            out[3 * i] = a[i]
            out[3 * i + 1] = b[i]
            out[3 * i + 2] = c[i]
    else:
        for p in range(period):
            a = phases[p * size :]
            for i in range(size):
                out[_u(i) * _u(period) + _u(p)] = a[i]


@njit(**KERNEL)
def convert(row: Any, source: Any, offset: int) -> None:
    """row[i] = source[offset + i]."""
    wide_vectors()
    for i in range(row.size):
        row[i] = _f(source[_u(offset) + _u(i)])


@njit(**KERNEL)
def store(target: Any, row: Any, peak: Any) -> None:
    """`row` rounded (halves up), clipped to 0..peak, as integers."""
    wide_vectors()
    zero, half = _f(0), _f(0.5)
    for i in range(target.size):
        target[i] = np.int32(min(max(row[i] + half, zero), peak))


@njit(**KERNEL)
def double(out: Any, row: Any, size: int, w: Any) -> None:
    """Both phases of doubling in one go: out[2i + p] = sum over k of w[p, k] * row[i + k], w[0, 6] being 0."""
    wide_vectors()
    v0, v1, v2, v3, v4, v5 = w[0, 0], w[0, 1], w[0, 2], w[0, 3], w[0, 4], w[0, 5]
    w0, w1, w2, w3, w4, w5, w6 = w[1, 0], w[1, 1], w[1, 2], w[1, 3], w[1, 4], w[1, 5], w[1, 6]
    for i in range(size):
        a, b, c, d, e, f, g = row[i], row[i + 1], row[i + 2], row[i + 3], row[i + 4], row[i + 5], row[i + 6]
        out[2 * i] = v0 * a + (v1 * b + (v2 * c + (v3 * d + (v4 * e + v5 * f))))
        out[2 * i + 1] = w0 * a + (w1 * b + (w2 * c + (w3 * d + (w4 * e + (w5 * f + w6 * g)))))
