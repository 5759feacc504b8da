"""The CPU form of pointwise steps: functions that change a tile of float32 pixels in place."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import types

from kernels.jit import njit
from kernels.transfer import CURVE_NODES, CURVE_TOP

TWIN: Final = types.void(types.float32[:, ::1], types.float32[::1], types.int64, types.int64, types.int64)
"""`twin(tile, params, x, y, n)`: changes `tile` (components x pixels) in place; x, y is the place of its first
pixel in the plane and n the frame's index."""

_ROOT_SCALE: Final = np.float32(CURVE_NODES / np.sqrt(CURVE_TOP))
_LINEAR_SCALE: Final = np.float32(CURVE_NODES / CURVE_TOP)
_TOP: Final = np.float32(CURVE_TOP)


@njit(TWIN, cache=True, nogil=True, fastmath={"contract"})
def affine(tile, params, x, y, n):  # type: ignore[no-untyped-def]
    """Three components: a 3x3 product by rows, then an offset."""
    a, b, c = tile[0], tile[1], tile[2]
    for i in range(tile.shape[1]):
        u, v, w = a[i], b[i], c[i]
        a[i] = params[0] * u + params[1] * v + params[2] * w + params[9]
        b[i] = params[3] * u + params[4] * v + params[5] * w + params[10]
        c[i] = params[6] * u + params[7] * v + params[8] * w + params[11]


@njit(TWIN, cache=True, nogil=True, fastmath={"contract"})
def gain(tile, params, x, y, n):  # type: ignore[no-untyped-def]
    """One component: `params[0] * v + params[1]`."""
    row = tile[0]
    for i in range(tile.shape[1]):
        row[i] = params[0] * row[i] + params[1]


@njit(TWIN, cache=True, nogil=True)
def curve(tile, params, x, y, n):  # type: ignore[no-untyped-def]
    """Every component through the table `params[1:]`, by root of the magnitude where `params[0]` is 1."""
    by_root = params[0] > np.float32(0.5)
    table = params[1:]
    for c in range(tile.shape[0]):
        row = tile[c]
        for i in range(tile.shape[1]):
            value = row[i]
            magnitude = min(abs(value), _TOP)
            at = np.sqrt(magnitude) * _ROOT_SCALE if by_root else magnitude * _LINEAR_SCALE
            k = min(np.int32(at), np.int32(CURVE_NODES - 1))
            found = table[k] + (at - np.float32(k)) * (table[k + 1] - table[k])
            row[i] = found if value >= np.float32(0) else -found
