"""Structural similarity as FFmpeg's `ssim` filter computes it.

Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE Transactions
on Image Processing 13(4), 2004, equation 13, with flat 8x8 windows at a stride of 4 in place of the paper's
Gaussian ones, each the sum of 2x2 blocks of 4x4 samples. With n = 64 samples in a window, their sums Sa, Sb,
the sum of both's squares Sq and of products Sp:

    SSIM = (2 Sa Sb + c1) (2 (n Sp - Sa Sb) + c2) / ((Sa**2 + Sb**2 + c1) (n Sq - Sa**2 - Sb**2 + c2))
    c1 = round(0.01**2 peak**2 n),  c2 = round(0.03**2 peak**2 n (n - 1))

Rows and columns beyond the last whole block take no part. All sums are exact integers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.compare.rows import flat_rows
from kernels.jit import njit

if TYPE_CHECKING:
    from typing import Any

    from kernels.frame import Plane

BLOCK: Final = 4
"""Samples on a side of a block; a window is two by two blocks."""
_WINDOW_SAMPLES: Final = 64


def structural_similarity(a: Plane, b: Plane, peak: int) -> float:
    """Mean SSIM over the windows of two planes of one shape and dtype, -1 to 1; 1 for equal planes.

    `peak` is the largest code, (1 << depth) - 1. `nan` for a plane under 8x8, which holds no window.
    """
    height, width = a.shape
    rows, columns = height // BLOCK, width // BLOCK
    if rows < 2 or columns < 2:
        return math.nan
    flat_a, pitch_a = flat_rows(a)
    flat_b, pitch_b = flat_rows(b)
    # Four 16-bit squares overflow int32, which 8-bit planes use to fill twice the lanes.
    line = np.empty((4, columns * BLOCK), np.int32 if a.dtype == np.uint8 else np.int64)
    blocks = np.empty((2, 4, columns), np.int64)
    c1 = int(0.01 * 0.01 * peak * peak * _WINDOW_SAMPLES + 0.5)
    c2 = int(0.03 * 0.03 * peak * peak * _WINDOW_SAMPLES * (_WINDOW_SAMPLES - 1) + 0.5)
    total = _window_sum(flat_a, pitch_a, flat_b, pitch_b, rows, line, blocks, float(c1), float(c2))
    return float(total / ((rows - 1) * (columns - 1)))


@njit(nogil=True, cache=True)
def _window_sum(
    a: Any, pitch_a: int, b: Any, pitch_b: int, rows: int, line: Any, blocks: Any, c1: float, c2: float
) -> float:
    """Sum of the SSIM of all windows of `rows` rows of blocks."""
    total = 0.0
    for row in range(rows):
        _column_sums(a[row * 4 * pitch_a :], pitch_a, b[row * 4 * pitch_b :], pitch_b, line)
        here = blocks[row & 1]
        _block_sums(line, here)
        if row > 0:
            total += _row_of_windows(blocks[1 - (row & 1)], here, c1, c2)
    return total


@njit(nogil=True, cache=True)
def _column_sums(a: Any, pitch_a: int, b: Any, pitch_b: int, line: Any) -> None:
    """Sums of a, b, a**2 + b**2 and a * b down four rows, for every column."""
    width = line.shape[1]
    sum_a, sum_b, squares, products = line[0], line[1], line[2], line[3]
    sum_a[:] = 0
    sum_b[:] = 0
    squares[:] = 0
    products[:] = 0
    for y in range(4):
        row_a = a[y * pitch_a : y * pitch_a + width]
        row_b = b[y * pitch_b : y * pitch_b + width]
        for x in range(width):
            # Numba widens to int64 here; storing to int32 lets LLVM narrow the whole sum again.
            va = np.int64(row_a[x])
            vb = np.int64(row_b[x])
            sum_a[x] += va
            sum_b[x] += vb
            squares[x] += va * va + vb * vb
            products[x] += va * vb


@njit(nogil=True, cache=True)
def _block_sums(line: Any, blocks: Any) -> None:
    """`blocks[i, k]`: the sum of columns 4 k to 4 k + 3 of `line[i]`."""
    for i in range(4):
        columns = line[i]
        sums = blocks[i]
        for k in range(sums.shape[0]):
            x = k * 4
            sums[k] = np.int64(columns[x]) + columns[x + 1] + columns[x + 2] + columns[x + 3]


@njit(nogil=True, cache=True)
def _row_of_windows(upper: Any, lower: Any, c1: float, c2: float) -> Any:
    """Sum of the SSIM of the windows whose blocks lie in two neighbouring rows of blocks."""
    total = 0.0
    for k in range(upper.shape[1] - 1):
        sum_a = float(upper[0, k] + upper[0, k + 1] + lower[0, k] + lower[0, k + 1])
        sum_b = float(upper[1, k] + upper[1, k + 1] + lower[1, k] + lower[1, k + 1])
        squares = float(upper[2, k] + upper[2, k + 1] + lower[2, k] + lower[2, k + 1])
        products = float(upper[3, k] + upper[3, k + 1] + lower[3, k] + lower[3, k + 1])
        means = sum_a * sum_b
        powers = sum_a * sum_a + sum_b * sum_b
        # Doubles hold every one of these integers: the largest, 64 * squares at 16 bits, is under 2**46.
        luminance = (2.0 * means + c1) / (powers + c1)
        contrast = (2.0 * (64.0 * products - means) + c2) / (64.0 * squares - powers + c2)
        total += luminance * contrast
    return total
