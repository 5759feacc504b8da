"""The inner loops of resampling, on flat arrays and offsets into them.

Sums are in float32; sources may be uint8, uint16 or float32. No loop has more than eight arrays at distances
unknown to the compiler: with more, LLVM gives up checking that they do not overlap and stays scalar.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from kernels.jit import njit
from kernels.resample.vectors import wide_vectors

# Relaxed float rules that let LLVM fuse multiply and add and use plain min and max; no value here is NaN or
# infinite.
# Kernels allocate nothing, so they need not count references to their arguments (`_nrt`): each count is a locked
# instruction, and together they took a quarter of the time.
KERNEL: Final[dict[str, Any]] = {
    "nogil": True,
    "cache": True,
    "fastmath": {"contract", "nnan", "ninf", "nsz"},
    "_nrt": False,
}
# What is called once or twice goes into its caller before LLVM sees it: compiled once instead of once a level.
INLINE: Final[dict[str, Any]] = KERNEL | {"inline": "always"}

LANES: Final = 16
"""Rows that `sum_tall` works on at once: the float32 numbers of one 512-bit vector."""

_f = np.float32
# Offsets are unsigned so that Numba does not look for negative ones, which would stop vectorising.
_u = np.uint64


@njit(**KERNEL)
def _set4(out: Any, o: Any, size: int, flat: Any, a: Any, b: Any, c: Any, d: Any, w: Any, p: int) -> None:
    wide_vectors()
    w0, w1, w2, w3 = w[p, 0], w[p, 1], w[p, 2], w[p, 3]
    for i in range(size):
        j = _u(i)
        out[o + j] = w0 * _f(flat[a + j]) + (w1 * _f(flat[b + j]) + (w2 * _f(flat[c + j]) + w3 * _f(flat[d + j])))


@njit(**KERNEL)
def _set6(
    out: Any, o: Any, size: int, flat: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, w: Any, p: int
) -> None:  # fmt: skip
    wide_vectors()
    w0, w1, w2, w3, w4, w5 = w[p, 0], w[p, 1], w[p, 2], w[p, 3], w[p, 4], w[p, 5]
    for i in range(size):
        j = _u(i)
        far = w3 * _f(flat[d + j]) + (w4 * _f(flat[e + j]) + w5 * _f(flat[f + j]))
        out[o + j] = w0 * _f(flat[a + j]) + (w1 * _f(flat[b + j]) + (w2 * _f(flat[c + j]) + far))


@njit(**KERNEL)
def _add6(
    out: Any, o: Any, size: int, flat: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, w: Any, p: int, k: int
) -> None:  # fmt: skip
    wide_vectors()
    w0, w1, w2, w3, w4, w5 = w[p, k], w[p, k + 1], w[p, k + 2], w[p, k + 3], w[p, k + 4], w[p, k + 5]
    for i in range(size):
        j = _u(i)
        far = w3 * _f(flat[d + j]) + (w4 * _f(flat[e + j]) + (w5 * _f(flat[f + j]) + out[o + j]))
        out[o + j] = w0 * _f(flat[a + j]) + (w1 * _f(flat[b + j]) + (w2 * _f(flat[c + j]) + far))


@njit(**INLINE)
def sum_parts(
    out: Any, at: int, size: int, flat: Any, begins: Any, row: int, scale: int, shift: int, weights: Any, p: int
) -> None:  # fmt: skip
    """out[at + i] = sum over k of weights[p, k] * flat[begins[row, k] * scale + shift + i] for i below `size`.

    The number of taps is one that `padded_taps` gives.
    """
    wide_vectors()
    n, v, r = weights.shape[1], begins, row
    t, s, o = _u(scale), _u(shift), _u(at)
    a, b, c, d = _u(v[r, 0]) * t + s, _u(v[r, 1]) * t + s, _u(v[r, 2]) * t + s, _u(v[r, 3]) * t + s
    k = 4
    if n % 6 == 4:
        _set4(out, o, size, flat, a, b, c, d, weights, p)
    else:
        _set6(out, o, size, flat, a, b, c, d, _u(v[r, 4]) * t + s, _u(v[r, 5]) * t + s, weights, p)
        k = 6
    while k < n:
        a, b, c = _u(v[r, k]) * t + s, _u(v[r, k + 1]) * t + s, _u(v[r, k + 2]) * t + s
        d, e, f = _u(v[r, k + 3]) * t + s, _u(v[r, k + 4]) * t + s, _u(v[r, k + 5]) * t + s
        _add6(out, o, size, flat, a, b, c, d, e, f, weights, p, k)
        k += 6


def padded_taps(count: int) -> int:
    """The least number of taps, at least `count`, that the sums can do: 4, then 4 or 0 over a multiple of 6."""
    return next(n for n in range(max(count, 4), count + 6) if n % 6 in (0, 4))


@njit(**KERNEL)
def lift(tall: Any, rows: Any, size: int, begin: int, end: int) -> None:
    """Put columns `begin` to `end` of LANES rows on end, side by side: tall[j * LANES + r] = rows[r * size + j]."""
    wide_vectors()
    for j in range(begin, end):
        for r in range(LANES):
            tall[_u(j) * _u(LANES) + _u(r)] = rows[_u(r) * _u(size) + _u(j)]


@njit(**KERNEL)
def drop(out: Any, at: int, size: int, tall: Any, lane: int) -> None:
    """The reverse of `lift`: out[at + i] = tall[i * LANES + lane] for i below `size`."""
    wide_vectors()
    for i in range(size):
        out[_u(at) + _u(i)] = tall[_u(i) * _u(LANES) + _u(lane)]


@njit(**KERNEL)
def sum_tall(out: Any, tall: Any, starts: Any, weights: Any, first: int, last: int) -> None:
    """Target columns `first` <= x < `last` of LANES rows at once, each with its own start and weights.

    out[(x - first) * LANES + r] = sum over k of weights[x, k] * tall[(starts[x] + k) * LANES + r]; the number of
    taps is a multiple of 6.
    """
    wide_vectors()
    w, n = weights, weights.shape[1]
    for x in range(first, last):
        o, s = _u((x - first) * LANES), _u(starts[x] * LANES)
        a, b, c, d, e, f = w[x, 0], w[x, 1], w[x, 2], w[x, 3], w[x, 4], w[x, 5]
        for r in range(LANES):
            j = s + _u(r)
            near = a * tall[j] + (b * tall[j + _u(LANES)] + c * tall[j + _u(2 * LANES)])
            far = d * tall[j + _u(3 * LANES)] + (e * tall[j + _u(4 * LANES)] + f * tall[j + _u(5 * LANES)])
            out[o + _u(r)] = near + far
        for k in range(6, n, 6):
            a, b, c, d, e, f = w[x, k], w[x, k + 1], w[x, k + 2], w[x, k + 3], w[x, k + 4], w[x, k + 5]
            for r in range(LANES):
                j = s + _u(k * LANES) + _u(r)
                near = a * tall[j] + (b * tall[j + _u(LANES)] + c * tall[j + _u(2 * LANES)])
                far = d * tall[j + _u(3 * LANES)] + (e * tall[j + _u(4 * LANES)] + f * tall[j + _u(5 * LANES)])
                out[o + _u(r)] += near + far


@njit(**KERNEL)
def deal(dealt: Any, row: Any, q: int, begin: int, end: int) -> None:
    """Deal row[begin:end] out in turn to Q rows: dealt[j * (row.size / Q) + i] = row[i * Q + j]."""
    wide_vectors()
    size = _u(dealt.size // q)
    first, count = _u(begin // q), end // q - begin // q
    if q == 2:
        for i in range(count):
            j = first + _u(i)
            dealt[j] = row[_u(2) * j]
            dealt[size + j] = row[_u(2) * j + _u(1)]
    elif q == 3:
        for i in range(count):
            j = first + _u(i)
            dealt[j] = row[_u(3) * j]
            dealt[size + j] = row[_u(3) * j + _u(1)]
            dealt[_u(2) * size + j] = row[_u(3) * j + _u(2)]
    else:
        for r in range(q):
            for i in range(count):
                j = first + _u(i)
                dealt[_u(r) * size + j] = row[_u(q) * j + _u(r)]


@njit(**KERNEL)
def weave(out: Any, at: int, phases: Any, period: int, size: int) -> None:
    """out[at + i * P + p] = phases[p * size + i] for i below `size`."""
    wide_vectors()
    o, m = _u(at), _u(size)
    if period == 2:
        for i in range(size):
            out[o + _u(2) * _u(i)] = phases[_u(i)]
            out[o + _u(2) * _u(i) + _u(1)] = phases[m + _u(i)]
    elif period == 3:
        for i in range(size):
            out[o + _u(3) * _u(i)] = phases[_u(i)]
            out[o + _u(3) * _u(i) + _u(1)] = phases[m + _u(i)]
            out[o + _u(3) * _u(i) + _u(2)] = phases[_u(2) * m + _u(i)]
    else:
        for p in range(period):
            for i in range(size):
                out[o + _u(period) * _u(i) + _u(p)] = phases[_u(p) * m + _u(i)]


@njit(**KERNEL)
def convert(row: Any, at: int, size: int, source: Any, offset: int) -> None:
    """row[at + i] = source[offset + i] for i below `size`."""
    wide_vectors()
    for i in range(size):
        row[_u(at) + _u(i)] = _f(source[_u(offset) + _u(i)])


@njit(**KERNEL)
def store(target: Any, at: int, size: int, row: Any, offset: int, peak: Any) -> None:
    """target[at + i] = row[offset + i] rounded (halves up) and clipped to 0..peak, for i below `size`."""
    wide_vectors()
    zero, half = _f(0), _f(0.5)
    for i in range(size):
        target[_u(at) + _u(i)] = np.int32(min(max(row[_u(offset) + _u(i)] + half, zero), peak))


@njit(**KERNEL)
def double(out: Any, at: int, size: int, row: Any, offset: int, w: Any) -> None:
    """Both phases of doubling: out[at + 2i + p] = sum over k of w[p, k] * row[offset + i + k], w[0, 6] being 0."""
    wide_vectors()
    v0, v1, v2, v3, v4, v5 = w[0, 0], w[0, 1], w[0, 2], w[0, 3], w[0, 4], w[0, 5]
    w0, w1, w2, w3, w4, w5, w6 = w[1, 0], w[1, 1], w[1, 2], w[1, 3], w[1, 4], w[1, 5], w[1, 6]
    for i in range(size):
        j, o = _u(offset) + _u(i), _u(at) + _u(2) * _u(i)
        a, b, c, d = row[j], row[j + _u(1)], row[j + _u(2)], row[j + _u(3)]
        e, f, g = row[j + _u(4)], row[j + _u(5)], row[j + _u(6)]
        out[o] = v0 * a + (v1 * b + (v2 * c + (v3 * d + (v4 * e + v5 * f))))
        out[o + _u(1)] = w0 * a + (w1 * b + (w2 * c + (w3 * d + (w4 * e + (w5 * f + w6 * g)))))
