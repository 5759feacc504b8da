"""Peak signal-to-noise ratio.

PSNR = 10 log10(peak**2 / MSE) dB, MSE the mean of squared differences of a plane. A frame's average comes
from the MSE of its planes weighted by their area, a file's from the mean of its frames' MSE (not from the
mean of decibels): FFmpeg's `psnr` filter defines both so.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernels.compare.rows import flat_rows
from kernels.jit import njit

if TYPE_CHECKING:
    from typing import Any

    from kernels.frame import Plane


def squared_error(a: Plane, b: Plane) -> int:
    """Sum of (a - b)**2 over two planes of one shape and dtype (uint8 or uint16), exact."""
    height, width = a.shape
    flat_a, pitch_a = flat_rows(a)
    flat_b, pitch_b = flat_rows(b)
    kernel = _squared_error_8 if a.dtype == np.uint8 else _squared_error_16
    return int(kernel(flat_a, pitch_a, flat_b, pitch_b, width, height))


def mean_squared_error(a: Plane, b: Plane) -> float:
    """Mean of (a - b)**2 in squared codes, 0 for equal planes."""
    return squared_error(a, b) / a.size


def decibels(mse: float, peak: float) -> float:
    """PSNR in dB of a mean squared error; `inf` for equal pictures, `nan` for nothing measured."""
    if math.isnan(mse):
        return math.nan
    return math.inf if mse == 0 else 10 * math.log10(peak * peak / mse)


@njit(nogil=True, cache=True)
def _squared_error_8(a: Any, pitch_a: int, b: Any, pitch_b: int, width: int, height: int) -> Any:
    total = np.int64(0)
    for y in range(height):
        row_a = a[y * pitch_a : y * pitch_a + width]
        row_b = b[y * pitch_b : y * pitch_b + width]
        line = np.int32(0)  # 32768 samples of 255**2 still fit
        for x in range(width):
            difference = np.int32(np.int32(row_a[x]) - np.int32(row_b[x]))
            line = np.int32(line + np.int32(difference * difference))
        total += np.int64(line)
    return total


@njit(nogil=True, cache=True)
def _squared_error_16(a: Any, pitch_a: int, b: Any, pitch_b: int, width: int, height: int) -> Any:
    total = np.int64(0)
    for y in range(height):
        row_a = a[y * pitch_a : y * pitch_a + width]
        row_b = b[y * pitch_b : y * pitch_b + width]
        for x in range(width):
            difference = np.int64(row_a[x]) - np.int64(row_b[x])
            total += difference * difference
    return total
