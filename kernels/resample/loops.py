"""The inner loops of resampling: sums of weighted rows, on contiguous rows so that they vectorise.

Each takes whole 1-D views and works over `out.size` samples in float32. Rows may be uint8, uint16 or float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# Relaxed float rules that let LLVM fuse multiply-add and use plain min/max; no value here is NaN or infinite.
_JIT: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": {"contract", "nnan", "ninf", "nsz"}}


@njit(**_JIT)
def set2(out, a, b, wa, wb):
    for i in range(out.size):
        out[i] = wa * np.float32(a[i]) + wb * np.float32(b[i])


@njit(**_JIT)
def set4(out, a, b, c, d, wa, wb, wc, wd):
    for i in range(out.size):
        out[i] = wa * np.float32(a[i]) + wb * np.float32(b[i]) + wc * np.float32(c[i]) + wd * np.float32(d[i])


@njit(**_JIT)
def set6(out, a, b, c, d, e, f, wa, wb, wc, wd, we, wf):
    for i in range(out.size):
        near = wc * np.float32(c[i]) + wd * np.float32(d[i])
        out[i] = (wa * np.float32(a[i]) + wb * np.float32(b[i])) + near + (we * np.float32(e[i]) + wf * np.float32(f[i]))


@njit(**_JIT)
def add2(out, a, b, wa, wb):
    for i in range(out.size):
        out[i] += wa * np.float32(a[i]) + wb * np.float32(b[i])


@njit(**_JIT)
def add6(out, a, b, c, d, e, f, wa, wb, wc, wd, we, wf):
    for i in range(out.size):
        near = wc * np.float32(c[i]) + wd * np.float32(d[i])
        out[i] += (wa * np.float32(a[i]) + wb * np.float32(b[i])) + near + (we * np.float32(e[i]) + wf * np.float32(f[i]))


@njit(**_JIT)
def sum_rows(out, source, rows, weights):
    """out[x] = sum over k of weights[k] * source[rows[k], x]; the number of taps is even."""
    n = weights.size
    m = out.size
    w = weights
    k = 0
    if n % 6 == 2:
        set2(out, source[rows[0], :m], source[rows[1], :m], w[0], w[1])
        k = 2
    elif n % 6 == 4:
        a, b, c, d = source[rows[0], :m], source[rows[1], :m], source[rows[2], :m], source[rows[3], :m]
        set4(out, a, b, c, d, w[0], w[1], w[2], w[3])
        k = 4
    else:
        a, b, c = source[rows[0], :m], source[rows[1], :m], source[rows[2], :m]
        d, e, f = source[rows[3], :m], source[rows[4], :m], source[rows[5], :m]
        set6(out, a, b, c, d, e, f, w[0], w[1], w[2], w[3], w[4], w[5])
        k = 6
    while k < n:
        a, b, c = source[rows[k], :m], source[rows[k + 1], :m], source[rows[k + 2], :m]
        d, e, f = source[rows[k + 3], :m], source[rows[k + 4], :m], source[rows[k + 5], :m]
        add6(out, a, b, c, d, e, f, w[k], w[k + 1], w[k + 2], w[k + 3], w[k + 4], w[k + 5])
        k += 6


@njit(**_JIT)
def sum_shifted(out, planes, plane_of, shift_of, weights):
    """out[i] = sum over k of weights[k] * planes[plane_of[k], shift_of[k] + i]; the number of taps is even."""
    n = weights.size
    m = out.size
    w = weights
    k = 0
    if n % 6 == 2:
        a, b = _cut(planes, plane_of, shift_of, 0, m), _cut(planes, plane_of, shift_of, 1, m)
        set2(out, a, b, w[0], w[1])
        k = 2
    elif n % 6 == 4:
        a, b = _cut(planes, plane_of, shift_of, 0, m), _cut(planes, plane_of, shift_of, 1, m)
        c, d = _cut(planes, plane_of, shift_of, 2, m), _cut(planes, plane_of, shift_of, 3, m)
        set4(out, a, b, c, d, w[0], w[1], w[2], w[3])
        k = 4
    else:
        a, b = _cut(planes, plane_of, shift_of, 0, m), _cut(planes, plane_of, shift_of, 1, m)
        c, d = _cut(planes, plane_of, shift_of, 2, m), _cut(planes, plane_of, shift_of, 3, m)
        e, f = _cut(planes, plane_of, shift_of, 4, m), _cut(planes, plane_of, shift_of, 5, m)
        set6(out, a, b, c, d, e, f, w[0], w[1], w[2], w[3], w[4], w[5])
        k = 6
    while k < n:
        a, b = _cut(planes, plane_of, shift_of, k, m), _cut(planes, plane_of, shift_of, k + 1, m)
        c, d = _cut(planes, plane_of, shift_of, k + 2, m), _cut(planes, plane_of, shift_of, k + 3, m)
        e, f = _cut(planes, plane_of, shift_of, k + 4, m), _cut(planes, plane_of, shift_of, k + 5, m)
        add6(out, a, b, c, d, e, f, w[k], w[k + 1], w[k + 2], w[k + 3], w[k + 4], w[k + 5])
        k += 6


@njit(**_JIT)
def _cut(planes, plane_of, shift_of, k, size):
    return planes[plane_of[k], shift_of[k] : shift_of[k] + size]


@njit(**_JIT)
def gather(out, row, starts, weights):
    """out[x] = sum over k of weights[k, x] * row[starts[x] + k], for ratios without a short period."""
    taps = weights.shape[0]
    for i in range(out.size):
        out[i] = np.float32(0)
    for k in range(taps):
        w = weights[k]
        shifted = row[k:]
        for i in range(out.size):
            out[i] += w[i] * shifted[np.uint32(starts[i])]


@njit(**_JIT)
def split(planes, row):
    """Deal `row` out to the planes in turn: planes[q, i] = row[i * Q + q]."""
    q = planes.shape[0]
    m = row.size // q
    if q == 2:
        a, b = planes[0], planes[1]
        for i in range(m):
            a[i] = row[2 * i]
            b[i] = row[2 * i + 1]
    elif q == 3:
        a, b, c = planes[0], planes[1], planes[2]
        for i in range(m):
            a[i] = row[3 * i]
            b[i] = row[3 * i + 1]
            c[i] = row[3 * i + 2]
    else:
        for j in range(q):
            a, b = planes[j], row[j::q]
            for i in range(m):
                a[i] = b[i]


@njit(**_JIT)
def store(target, phases, peak):
    """target[i * P + p] = phases[p, i] rounded (halves up) and clipped to 0..peak."""
    period = phases.shape[0]
    m = target.size // period
    zero, half = np.float32(0), np.float32(0.5)
    done = 0
    if period == 1:
        a = phases[0]
        for i in range(m):
            target[i] = np.int32(min(max(a[i] + half, zero), peak))
        done = m
    elif period == 2:
        a, b = phases[0], phases[1]
        for i in range(m):
            target[2 * i] = np.int32(min(max(a[i] + half, zero), peak))
            target[2 * i + 1] = np.int32(min(max(b[i] + half, zero), peak))
        done = 2 * m
    elif period == 3:
        a, b, c = phases[0], phases[1], phases[2]
        for i in range(m):
            target[3 * i] = np.int32(min(max(a[i] + half, zero), peak))
            target[3 * i + 1] = np.int32(min(max(b[i] + half, zero), peak))
            target[3 * i + 2] = np.int32(min(max(c[i] + half, zero), peak))
        done = 3 * m
    else:
        for p in range(period):
            a, out = phases[p], target[p::period]
            for i in range(out.size):
                out[i] = np.int32(min(max(a[i] + half, zero), peak))
        done = target.size
    for x in range(done, target.size):
        target[x] = np.int32(min(max(phases[x % period, x // period] + half, zero), peak))
