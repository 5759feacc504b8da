"""Non-local means: each sample becomes the average of those around it whose neighbourhoods look alike.

    out(x) = sum_y w(x, y) in(y) / sum_y w(x, y)         w(x, y) = exp(-d(x, y) / (10 s)**2)

with y over the `r` x `r` window around x that lies in the picture, and d the sum of squared differences between
the `p` x `p` patches around x and y, in codes of 8 bits at every depth. Patches repeat the edge sample, weights
under 1/255 count as nothing, and x itself weighs 1. So FFmpeg's filter works, which takes 8 bits only.

d(x, y) = d(y, x), so half of the window's offsets suffice: each distance weights both of its ends. Patch sums
slide down the rows (one row enters, one leaves) in integers, which keeps them exact, so that rows do not depend
on where the work was cut.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.jit import njit
from kernels.operation import Kind, Operation, PlaneFormat, RowsKernel, Tolerance
from kernels.options import Params, option
from kernels.tiling import gain_and_peak, patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.frame import Plane, VideoFormat
    from kernels.launch import PlaneLaunch

# 14 bytes a pixel with their margins: about 0.8 MiB, within L2. Wide, since a row is a handful of calls per offset;
# low, since what leaves L1 between two offsets is a row's, not the tile's.
TILE_ROWS: Final = 48
TILE_COLUMNS: Final = 960

SMALLEST_WEIGHT: Final = 1 / 255


@dataclass(frozen=True, slots=True, kw_only=True)
class NlmeansParams(Params):
    """FFmpeg's options of `nlmeans`. An even size counts as the next odd one."""

    s: float = option(1.0, "denoising strength", low=1, high=30)
    p: int = option(7, "patch size", low=0, high=99)
    pc: int = option(0, "patch size for chroma; 0: as luma", low=0, high=99)
    r: int = option(15, "research window", low=0, high=99)
    rc: int = option(0, "research window for chroma; 0: as luma", low=0, high=99)


# exp(-8u) = (exp(-u))**8; this is exp(-u) for u in 0..ln(255)/8, to 1e-6 of itself: least squares at Chebyshev nodes.
def _exp_polynomial() -> tuple[np.float32, ...]:
    end = -math.log(SMALLEST_WEIGHT) / 8
    nodes = end / 2 * (1 - np.cos(np.pi * (np.arange(64) + 0.5) / 64))
    powers = nodes[:, None] ** np.arange(1, 5)
    fit = np.linalg.lstsq(powers, np.exp(-nodes) - 1, rcond=None)[0]
    return tuple(np.float32(c) for c in fit)


EXP_1, EXP_2, EXP_3, EXP_4 = _exp_polynomial()
ONE: Final = np.float32(1)


@njit(nogil=True, cache=True)
def _load_tile(
    source: Plane,
    samples: NDArray[np.int16],
    values: NDArray[np.float32],
    top: int,
    left: int,
    size: tuple[int, int],
    down_shift: np.int32,
) -> None:
    """Fill `samples` and `values` from the picture at (top, left), repeating its edges."""
    width, height = size
    rows, columns = samples.shape
    inside_first = min(max(-left, 0), columns)
    inside_last = max(min(width - left, columns), inside_first)
    for r in range(rows):
        line = source[min(max(top + r, 0), height - 1)]
        sample, value = samples[r], values[r]
        for c in range(inside_first):
            sample[c] = np.int32(line[0]) >> down_shift
            value[c] = np.float32(line[0])
        part = line[left + inside_first : left + inside_last]
        sample_part, value_part = sample[inside_first:inside_last], value[inside_first:inside_last]
        for c in range(len(part)):
            sample_part[c] = np.int32(part[c]) >> down_shift
            value_part[c] = np.float32(part[c])
        for c in range(inside_last, columns):
            sample[c] = np.int32(line[width - 1]) >> down_shift
            value[c] = np.float32(line[width - 1])


@njit(nogil=True)
def _add_squares(
    sums: NDArray[np.int32], samples: NDArray[np.int16], row: int, column: int, dy: int, dx: int, count: int
) -> None:
    """Add to `sums` the squared differences of `count` samples from (row, column) on to those at the offset."""
    a, b = samples[row, column : column + count], samples[row + dy, column + dx : column + dx + count]
    for x in range(count):
        # Cut to int16, which it fits, so that the subtraction is done on twice as many lanes.
        difference = np.int32(np.int16(a[x] - b[x]))
        sums[x] += difference * difference


@njit(nogil=True)
def _slide_squares(
    sums: NDArray[np.int32], samples: NDArray[np.int16], row: int, old: int, column: int, dy: int, dx: int, count: int
) -> None:
    """`_add_squares` of row `row`, less those of row `old`."""
    new_a, new_b = samples[row, column : column + count], samples[row + dy, column + dx : column + dx + count]
    old_a, old_b = samples[old, column : column + count], samples[old + dy, column + dx : column + dx + count]
    for x in range(count):
        enter, leave = np.int32(np.int16(new_a[x] - new_b[x])), np.int32(np.int16(old_a[x] - old_b[x]))
        sums[x] += enter * enter - leave * leave


@njit(nogil=True)
def _window_sums(sums: NDArray[np.int32], size: int, pairs: NDArray[np.int32], total: NDArray[np.int32]) -> None:
    """total[x] = sum of `size` (odd) consecutive `sums` from x on, by sums of pairs."""
    count = len(sums) - size + 1
    if size == 1:
        for x in range(count):
            total[x] = sums[x]
        return
    following, last = sums[1:], sums[size - 1 :]
    for x in range(count + size - 3):
        pairs[x] = sums[x] + following[x]
    if size < 7:
        done = 2
        for x in range(count):
            total[x] = pairs[x] + last[x]
    else:
        done = 6
        second, third = pairs[2:], pairs[4:]
        for x in range(count):
            total[x] = pairs[x] + second[x] + third[x] + last[x]
    for k in range(done, size - 1, 2):
        pair = pairs[k:]
        for x in range(count):
            total[x] += pair[x]


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _weigh(
    distance: NDArray[np.int32], weight: NDArray[np.float32], count: int, scale: np.float32, limit: np.int32
) -> None:
    for x in range(count):
        u = np.float32(distance[x]) * scale
        e = ONE + u * (EXP_1 + u * (EXP_2 + u * (EXP_3 + u * EXP_4)))
        e *= e
        e *= e
        weight[x] = e * e if distance[x] <= limit else np.float32(0)


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def _accumulate(
    weight: NDArray[np.float32],
    start: int,
    values: NDArray[np.float32],
    value_row: int,
    value_column: int,
    weighted: NDArray[np.float32],
    weights: NDArray[np.float32],
    row: int,
    column: int,
    count: int,
) -> None:
    """Add `count` weights from `start` on, and what they weigh, to the sums from (row, column) on."""
    factor, value = weight[start : start + count], values[value_row, value_column : value_column + count]
    numerator, denominator = weighted[row, column : column + count], weights[row, column : column + count]
    for x in range(count):
        denominator[x] += factor[x]
        numerator[x] += factor[x] * value[x]


@njit(nogil=True, cache=True)
def _average_row(
    y: int,
    starts: bool,  # noqa: FBT001 - Numba passes by position
    tile: tuple[int, int, int, int],
    width: int,
    dy: int,
    patch: int,
    window: int,
    samples: NDArray[np.int16],
    values: NDArray[np.float32],
    weighted: NDArray[np.float32],
    weights: NDArray[np.float32],
    sums: NDArray[np.int32],
    work: NDArray[np.int32],
    weight: NDArray[np.float32],
    scale: np.float32,
    limit: np.int32,
) -> None:
    """Add to the tile `(top, bottom, left, right)` what the offsets of row y to row y + dy and back bring.

    `samples` and `values` begin `patch + window` rows above and columns left of the tile. `sums[k]` holds the
    squares of the k-th offset summed over the rows of a patch; it slides from row to row, after the one that
    `starts`. All offsets of a row are done before the next row, so that what they touch stays near.
    """
    top, bottom, left, right = tile
    margin = patch + window
    row = y - top
    for k in range(2 * window + 1 if dy else window):
        dx = k - window if dy else k + 1
        # Every x such that x or x + dx is in the tile, and both are in the picture.
        first_x = max(left - max(dx, 0), max(-dx, 0))
        last_x = min(right + max(-dx, 0), width - max(dx, 0))
        if first_x >= last_x:
            continue
        count = last_x - first_x + 2 * patch
        column = first_x - left + window
        squares = sums[k, :count]
        if starts:
            for x in range(count):
                squares[x] = 0
            for j in range(row + window, row + window + 2 * patch + 1):
                _add_squares(squares, samples, j, column, dy, dx, count)
        else:
            _slide_squares(squares, samples, row + margin + patch, row + window - 1, column, dy, dx, count)
        _window_sums(squares, 2 * patch + 1, work[0], work[1])
        _weigh(work[1], weight, last_x - first_x, scale, limit)
        begin = max(first_x, left)
        length = min(last_x, right) - begin
        if row >= 0 and length > 0:
            c = begin - left
            _accumulate(
                weight, begin - first_x, values, row + margin + dy, c + margin + dx, weighted, weights, row, c, length
            )
        begin = max(first_x, left - dx)
        length = min(last_x, right - dx) - begin
        if y + dy < bottom and length > 0:
            c = begin + dx - left
            _accumulate(
                weight, begin - first_x, values, row + margin, c + margin - dx, weighted, weights, row + dy, c, length
            )


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
def _store_tile(
    target: Plane,
    weighted: NDArray[np.float32],
    weights: NDArray[np.float32],
    tile: tuple[int, int, int, int],
    gain: np.float32,
    peak: np.float32,
) -> None:
    top, bottom, left, right = tile
    for y in range(top, bottom):
        out, numerator, denominator = target[y, left:right], weighted[y - top], weights[y - top]
        for x in range(len(out)):
            value = numerator[x] / denominator[x] * gain + np.float32(0.5)
            out[x] = np.int32(min(max(value, np.float32(0)), peak))


@njit(nogil=True, cache=True)
def _average_tile(
    tile: tuple[int, int, int, int],
    size: tuple[int, int],
    patch: int,
    window: int,
    samples: NDArray[np.int16],
    values: NDArray[np.float32],
    weighted: NDArray[np.float32],
    weights: NDArray[np.float32],
    scale: np.float32,
    limit: np.int32,
) -> None:
    """Add what all offsets but (0, 0) bring to the tile `(top, bottom, left, right)` of a picture of `size`."""
    top, bottom = tile[0], tile[1]
    width, height = size
    columns = samples.shape[1]
    sums = np.empty((2 * window + 1, columns), np.int32)
    work = np.empty((2, columns), np.int32)
    weight = np.empty(columns, np.float32)
    for dy in range(window + 1):
        first = max(top - dy, 0)
        for y in range(first, min(bottom, height - dy)):
            _average_row(
                y, y == first, tile, width, dy, patch, window,
                samples, values, weighted, weights, sums, work, weight, scale, limit,
            )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Denoiser:
    """The kernel of one plane. Only loading and storing depend on the type of samples; the rest compiles once."""

    width: int
    height: int
    patch: int
    """Radius of a patch."""
    window: int
    """Radius of the research window."""
    down_shift: np.int32
    scale: np.float32
    limit: np.int32
    """The three of `_distance_scale`."""
    gain: np.float32
    peak: np.float32

    def __call__(self, source: Plane, target: Plane, first: int, last: int) -> None:
        margin = self.patch + self.window
        rows, columns = min(TILE_ROWS, last - first), min(TILE_COLUMNS, self.width)
        samples = np.empty((rows + 2 * margin, columns + 2 * margin), np.int16)
        values = np.empty(samples.shape, np.float32)
        weighted = np.empty((rows, columns), np.float32)
        weights = np.empty((rows, columns), np.float32)
        size = self.width, self.height
        for top, left in product(range(first, last, TILE_ROWS), range(0, self.width, TILE_COLUMNS)):
            tile = top, min(top + TILE_ROWS, last), left, min(left + TILE_COLUMNS, self.width)
            _load_tile(source, samples, values, top - margin, left - margin, size, self.down_shift)
            weighted[:] = values[margin : margin + rows, margin : margin + columns]
            weights[:] = 1
            _average_tile(
                tile, size, self.patch, self.window, samples, values, weighted, weights, self.scale, self.limit
            )
            _store_tile(target, weighted, weights, tile, self.gain, self.peak)


def _distance_scale(strength: float, patch: int, bits: int) -> tuple[int, float, int]:
    """(down_shift, scale, limit) for patches of radius `patch` on samples of `bits` bits.

    Distances are taken on samples shifted down so far that a sum over the patch fits an int32 (12 bits at the
    default size, never under 8). `scale` makes such a sum the exponent over -8, `limit` is the largest sum whose
    weight counts.
    """
    room = (31 - math.ceil(2 * math.log2(2 * patch + 1))) // 2
    kept = min(bits, room, 15)
    per_code = 4.0 ** (kept - 8)
    decay = (10 * strength) ** 2 * per_code
    limit = min(int(-math.log(SMALLEST_WEIGHT) * decay), 2**31 - 1)
    return bits - kept, 1 / (8 * decay), limit


def _radii(params: NlmeansParams, plane_in: PlaneFormat) -> tuple[int, int]:
    """(patch, window) of a plane."""
    if plane_in.component == 0:
        return params.p // 2, params.r // 2
    return (params.pc or params.p) // 2, (params.rc or params.r) // 2


def _cpu(
    params: NlmeansParams, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> RowsKernel | None:
    patch, window = _radii(params, plane_in)
    if window == 0:
        return None
    down_shift, scale, limit = _distance_scale(params.s, patch, plane_in.bits)
    return _Denoiser(
        width=plane_in.width,
        height=plane_in.height,
        patch=patch,
        window=window,
        down_shift=np.int32(down_shift),
        scale=np.float32(scale),
        limit=np.int32(limit),
        gain=np.float32(2.0 ** (plane_out.bits - plane_in.bits)),
        peak=np.float32(plane_out.peak),
    )


def _cuda(
    params: NlmeansParams, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> PlaneLaunch | None:
    patch, window = _radii(params, plane_in)
    if window == 0:
        return None
    down_shift, scale, limit = _distance_scale(params.s, patch, plane_in.bits)
    arguments = (*gain_and_peak(plane_in, plane_out), np.float32(8 * scale / math.log(2)), np.int32(limit))
    return patches(plane_out, arguments, patch=patch, window=window, down_shift=down_shift)


NLMEANS = Operation(
    name="nlmeans",
    kind=Kind.PLANE,
    params=NlmeansParams,
    summary="remove noise by averaging samples whose neighbourhoods look alike",
    source="Buades, Coll, Morel: A non-local algorithm for image denoising (CVPR 2005), weighted as FFmpeg's nlmeans",
    tolerance=Tolerance(max_codes=1, reason="float32 sums of up to r * r weights; a rounding tie moves one code"),
    samples=(
        "nlmeans",
        "nlmeans=s=6:p=3:r=7",
        "nlmeans=s=12:p=5:pc=3:r=9:rc=5",
        "nlmeans=4:1:0:5",
        "nlmeans=s=9:p=17:r=5",
    ),
    cpu=_cpu,
    cuda=_cuda,
    output=lambda _params, source: source,
)
