"""Unsharp masking: adds the difference between a picture and its blur.

out = in + amount * (in - blur(in)), rounded once. The blur is separable; each axis has the binomial weights
C(size - 1, k) / 2**(size - 1), which is what FFmpeg's cascade of two-tap averages amounts to, and repeats the
edge sample. Unlike FFmpeg's filter, the blur keeps its fraction (FFmpeg rounds it to a code first) and `amount`
means the same at every depth (FFmpeg applies amount / 256 above 8 bits).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from kernels.errors import FormatError
from kernels.jit import njit
from kernels.operation import Kind, Operation, PlaneFormat, RowsKernel, Tolerance
from kernels.options import Params, option
from kernels.pixel_format import Family
from kernels.tiling import gain_and_peak, tiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.frame import Plane, VideoFormat
    from kernels.launch import PlaneLaunch


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsharpParams(Params):
    """FFmpeg's options of `unsharp`, without those of alpha."""

    luma_msize_x: int = option(5, "luma matrix width", aliases=("lx",), low=3, high=23, odd=True)
    luma_msize_y: int = option(5, "luma matrix height", aliases=("ly",), low=3, high=23, odd=True)
    luma_amount: float = option(1.0, "luma strength; below 0 blurs", aliases=("la",), low=-2, high=5)
    chroma_msize_x: int = option(5, "chroma matrix width", aliases=("cx",), low=3, high=23, odd=True)
    chroma_msize_y: int = option(5, "chroma matrix height", aliases=("cy",), low=3, high=23, odd=True)
    chroma_amount: float = option(0.0, "chroma strength; below 0 blurs", aliases=("ca",), low=-2, high=5)

    def validate(self) -> None:
        """Refuse what FFmpeg refuses: width + height of a matrix above 26."""
        for name, x, y in (
            ("luma", self.luma_msize_x, self.luma_msize_y),
            ("chroma", self.chroma_msize_x, self.chroma_msize_y),
        ):
            if x + y > 26:
                raise FormatError(f"{name} matrix {x}x{y}: width + height must be at most 26; make one side smaller")


@njit(nogil=True, cache=True, fastmath={"contract", "nsz"})
def _sharpen_rows(
    source: Plane,
    target: Plane,
    weights_x: NDArray[np.float32],
    weights_y: NDArray[np.float32],
    amount: np.float32,
    gain: np.float32,
    peak: np.float32,
    width: int,
    height: int,
    first: int,
    last: int,
) -> None:
    """Rows `first <= y < last`. `weights_*[k]` is the weight at distance k from the centre."""
    reach = len(weights_x) - 1
    # One vertically blurred row, `reach` edge samples wider on either side.
    down = np.empty(width + 2 * reach, np.float32)
    blur = np.empty(width, np.float32)
    middle = down[reach : reach + width]
    for y in range(first, last):
        row = source[y]
        for x in range(width):
            middle[x] = weights_y[0] * np.float32(row[x])
        for k in range(1, len(weights_y)):
            above = source[max(y - k, 0)]
            below = source[min(y + k, height - 1)]
            weight = weights_y[k]
            for x in range(width):
                middle[x] += weight * np.float32(np.int32(above[x]) + np.int32(below[x]))
        down[:reach] = middle[0]
        down[reach + width :] = middle[width - 1]
        for x in range(width):
            blur[x] = weights_x[0] * middle[x]
        for k in range(1, len(weights_x)):
            left = down[reach - k : reach - k + width]
            right = down[reach + k : reach + k + width]
            weight = weights_x[k]
            for x in range(width):
                blur[x] += weight * (left[x] + right[x])
        out = target[y]
        for x in range(width):
            value = np.float32(row[x])
            value = (value + amount * (value - blur[x])) * gain + np.float32(0.5)
            out[x] = np.int32(min(max(value, np.float32(0)), peak))


def _half_binomial(size: int) -> NDArray[np.float32]:
    """Weights of the centre and of the taps at distance 1, 2, … of a binomial kernel of `size` taps, sum 1."""
    return np.array([comb(size - 1, size // 2 + k) / 2 ** (size - 1) for k in range(size // 2 + 1)], np.float32)


def _matrix(params: UnsharpParams, source: VideoFormat, plane_in: PlaneFormat) -> tuple[int, int, float]:
    """(width, height, amount) for a plane. G, B and R are all sharpened as luma is: `chroma_*` means Cb and Cr."""
    if plane_in.component == 0 or source.pixel_format.family is Family.GBR:
        return params.luma_msize_x, params.luma_msize_y, params.luma_amount
    return params.chroma_msize_x, params.chroma_msize_y, params.chroma_amount


def _cpu(
    params: UnsharpParams,
    source: VideoFormat,
    target: VideoFormat,
    plane_in: PlaneFormat,
    plane_out: PlaneFormat,
) -> RowsKernel | None:
    size_x, size_y, amount = _matrix(params, source, plane_in)
    if amount == 0:
        return None
    weights_x, weights_y = _half_binomial(size_x), _half_binomial(size_y)
    gain = np.float32(2.0 ** (plane_out.bits - plane_in.bits))
    strength, peak = np.float32(amount), np.float32(plane_out.peak)
    width, height = plane_in.width, plane_in.height

    def kernel(source: Plane, target: Plane, first: int, last: int) -> None:
        _sharpen_rows(source, target, weights_x, weights_y, strength, gain, peak, width, height, first, last)

    return kernel


def _cuda(
    params: UnsharpParams,
    source: VideoFormat,
    target: VideoFormat,
    plane_in: PlaneFormat,
    plane_out: PlaneFormat,
) -> PlaneLaunch | None:
    size_x, size_y, amount = _matrix(params, source, plane_in)
    if amount == 0:
        return None
    arguments = (*gain_and_peak(plane_in, plane_out), np.float32(amount))
    return tiled("unsharp.cu", plane_out, arguments, {"RADIUS_X": size_x // 2, "RADIUS_Y": size_y // 2})


UNSHARP = Operation(
    name="unsharp",
    kind=Kind.PLANE,
    params=UnsharpParams,
    summary="sharpen, or blur, by the difference from a binomial blur",
    source="FFmpeg documentation, filter unsharp; binomial weights C(n, k) / 2**n",
    tolerance=Tolerance(max_codes=1, reason="float32 sums differ in their last bit; a rounding tie moves one code"),
    samples=("unsharp", "unsharp=3:7:1.5:7:3:0.8", "unsharp=13:13:-1:13:13:-1", "unsharp=lx=23:ly=3:la=5:ca=-2"),
    cpu=_cpu,
    cuda=_cuda,
    output=lambda _params, source: source,
)
