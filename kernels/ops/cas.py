"""Contrast adaptive sharpening: sharpens each sample as much as its neighbourhood allows without clipping.

For the neighbourhood a b c / d e f / g h i, with n the number that a white sample stands for (2**depth - 1):

    low    = min(b, d, e, f, h) + min(a..i)           high = max(b, d, e, f, h) + max(a..i)
    amp    = sqrt(min(low, 2n + 1 - high) / high)     weight = -amp / (16 + (4.01 - 16) * strength)
    out    = (e + weight * (b + d + f + h)) / (1 + 4 * weight)

Written as e + (4e - b - d - f - h) * q / (s * high - 4q) with q = sqrt(low * high) and s = -amp / weight, which is
the same and loses nothing where the picture is flat. Edges repeat. FFmpeg drops the fraction of the result; here
it is rounded, so the picture does not darken by half a code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.jit import njit
from kernels.operation import Kind, Operation, PlaneFormat, RowsKernel, Tolerance
from kernels.options import Params, option
from kernels.tiling import gain_and_peak, tiled

if TYPE_CHECKING:
    from kernels.frame import Plane, VideoFormat
    from kernels.launch import PlaneLaunch


@dataclass(frozen=True, slots=True, kw_only=True)
class CasParams(Params):
    """FFmpeg's options of `cas`."""

    strength: float = option(0.0, "sharpening strength; 0 already sharpens a little", low=0, high=1)
    planes: int = option(7, "sum of the planes to sharpen: 1 first, 2 second, 4 third", low=0, high=15)


# error_model: with Python's, a division by zero raises, and a loop that may raise is not vectorised.
@njit(nogil=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
def _sharpen_rows(
    source: Plane,
    target: Plane,
    sharpness: np.float32,
    limit: np.int32,
    gain: np.float32,
    peak: np.float32,
    width: int,
    height: int,
    first: int,
    last: int,
) -> None:
    """Rows `first <= y < last`. `sharpness` is s, `limit` is 2n + 1 in stored samples, `peak` of the target."""
    # One row of samples and of each column's extremes over three rows, one edge sample wider on either side.
    row = np.empty(width + 2, source.dtype)
    low = np.empty(width + 2, source.dtype)
    high = np.empty(width + 2, source.dtype)
    row_here, row_left, row_right = row[1 : width + 1], row[:width], row[2:]
    low_here, low_left, low_right = low[1 : width + 1], low[:width], low[2:]
    high_here, high_left, high_right = high[1 : width + 1], high[:width], high[2:]
    for y in range(first, last):
        above, here, below = source[max(y - 1, 0)], source[y], source[min(y + 1, height - 1)]
        for x in range(width):
            row_here[x] = here[x]
            low_here[x] = min(above[x], below[x], here[x])
            high_here[x] = max(above[x], below[x], here[x])
        for wide in (row, low, high):
            wide[0] = wide[1]
            wide[width + 1] = wide[width]
        out = target[y]
        for x in range(width):
            cross_low = min(low_here[x], row_left[x], row_right[x])
            cross_high = max(high_here[x], row_left[x], row_right[x])
            lowest = np.int32(cross_low) + np.int32(min(low_here[x], low_left[x], low_right[x]))
            highest = np.int32(cross_high) + np.int32(max(high_here[x], high_left[x], high_right[x]))
            centre = np.int32(here[x])
            around = np.int32(above[x]) + np.int32(below[x]) + np.int32(row_left[x]) + np.int32(row_right[x])
            headroom = np.float32(max(min(lowest, limit - highest), np.int32(0)))
            ceiling = np.float32(max(highest, np.int32(1)))
            q = math.sqrt(headroom * ceiling)
            lift = np.float32((centre << np.int32(2)) - around) * q / (sharpness * ceiling - np.float32(4) * q)
            value = (np.float32(centre) + lift) * gain + np.float32(0.5)
            out[x] = np.int32(min(max(value, np.float32(0)), peak))


def _sharpness(params: CasParams) -> float:
    """-amp / weight: what divides the root, 16 at strength 0 and 4.01 at 1."""
    return 16 + (4.01 - 16) * params.strength


def _limit(plane_in: PlaneFormat) -> int:
    """2n + 1 in stored samples."""
    return ((2 << plane_in.depth) - 1) << plane_in.shift


def _cpu(
    params: CasParams,
    source: VideoFormat,
    target: VideoFormat,
    plane_in: PlaneFormat,
    plane_out: PlaneFormat,
) -> RowsKernel | None:
    if not params.planes >> plane_in.component & 1:
        return None
    sharpness = np.float32(_sharpness(params))
    limit = np.int32(_limit(plane_in))
    gain = np.float32(2.0 ** (plane_out.bits - plane_in.bits))
    peak = np.float32(plane_out.peak)
    width, height = plane_in.width, plane_in.height

    def kernel(source: Plane, target: Plane, first: int, last: int) -> None:
        _sharpen_rows(source, target, sharpness, limit, gain, peak, width, height, first, last)

    return kernel


def _cuda(
    params: CasParams,
    source: VideoFormat,
    target: VideoFormat,
    plane_in: PlaneFormat,
    plane_out: PlaneFormat,
) -> PlaneLaunch | None:
    if not params.planes >> plane_in.component & 1:
        return None
    numbers = (np.float32(_sharpness(params) / 4 - 1), np.float32(_limit(plane_in)))
    return tiled("cas.cu", plane_out, (*gain_and_peak(plane_in, plane_out), *numbers))


CAS = Operation(
    name="cas",
    kind=Kind.PLANE,
    params=CasParams,
    summary="sharpen without overshooting, most where contrast is low",
    source="AMD FidelityFX CAS (2019), better diagonals, with the strength scale of FFmpeg's cas",
    tolerance=Tolerance(max_codes=1, reason="float32 division and root; a rounding tie moves one code"),
    samples=("cas", "cas=0.5", "cas=1", "cas=strength=0.8:planes=1"),
    cpu=_cpu,
    cuda=_cuda,
    output=lambda _params, source: source,
)
