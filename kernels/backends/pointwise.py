"""The CPU driver of pointwise stages: load a tile as float32, run each step on it in place, store once.

One compiled function serves every chain: the steps are first-class functions in a typed list, so a new chain
compiles nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import types
from numba.typed import List

from kernels.color import chroma_offset
from kernels.jit import njit
from kernels.twins import TWIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.frame import VideoFormat
    from kernels.operation import Tile

TILE_PIXELS: Final = 1024
"""Longest run of pixels at a time: three components of float32 stay in the first-level cache."""


@njit(cache=True, nogil=True, fastmath={"contract"})
def run_rows(  # type: ignore[no-untyped-def]
    sources, targets, load, store, peak, twins, params, spans, dither, chroma, width, n, first, last
):
    """Rows `first <= y < last`: every step of a fused stage.

    `sources` and `targets` are tuples of (rows, pitch) planes; `load` and `store` the factors between stored
    samples and codes; `spans` (steps, 2) the components each step runs on; `dither` a square pattern of 1 to 8
    stored samples a side, one zero for none; `chroma` what `upsampling` gives, for sources whose chroma is
    subsampled.
    """
    tiles = (width + TILE_PIXELS - 1) // TILE_PIXELS
    length = ((width + tiles - 1) // tiles + 7) & ~7  # a multiple of every pattern's size
    components = max(len(sources), len(targets))
    for k in range(len(twins)):
        components = max(components, spans[k, 1])  # a gray picture still becomes a triplet for a colour step
    tile = np.zeros((components, length), np.float32)
    line = np.zeros(length // 2 + 3, np.float32)
    subsampled = chroma.shape[0] > 0
    pattern = dither.shape[0]
    rounding = np.empty((pattern, length), np.float32)
    for i in range(length):
        for k in range(pattern):
            rounding[k, i] = np.float32(0.5) + dither[k, i % pattern]
    zero = np.float32(0)
    for y in range(first, last):
        bias = rounding[y % pattern]
        for start in range(0, width, length):
            count = min(length, width - start)
            for c in range(len(sources)):
                if subsampled and c > 0:
                    load_chroma(sources[c], y, start, count, width, chroma, load, line, tile[c])
                    continue
                row, values = sources[c][y, start : start + count], tile[c]
                for i in range(count):
                    values[i] = np.float32(row[i]) * load
            for c in range(len(sources), components):
                tile[c, :] = zero
            for k in range(len(twins)):
                twins[k](tile[spans[k, 0] : spans[k, 1]], params[k], start, y, n)
            for c in range(len(targets)):
                out, values = targets[c][y, start : start + count], tile[c]
                for i in range(count):
                    out[i] = np.int32(min(max(values[i] * store + bias[i], zero), peak))


@njit(cache=True, nogil=True, fastmath={"contract"})
def load_chroma(plane, y, start, count, width, chroma, load, line, values):  # type: ignore[no-untyped-def]
    """`count` pixels of row `y` from a plane of half the width (and height), bilinear at its siting.

    `start` is even. `line` holds the vertically blended chroma samples with one neighbour on each side.
    """
    if chroma[7] > np.float32(0):
        place = np.float32(y) * np.float32(0.5) + chroma[6]
        above = int(np.floor(place))
        part = (place - np.float32(above)) * load
    else:
        above, part = y, np.float32(0)
    lowest = plane.shape[0] - 1
    upper, lower = plane[min(max(above, 0), lowest)], plane[min(max(above + 1, 0), lowest)]
    rest = load - part
    a, b = start // 2, (start + count - 1) // 2
    last = (width + 1) // 2 - 1
    # Slices, since an index that might be negative is checked for each sample and keeps the loop scalar.
    here_up, here_low, middle = upper[a : b + 1], lower[a : b + 1], line[1 : b - a + 2]
    for i in range(b - a + 1):
        middle[i] = np.float32(here_up[i]) * rest + np.float32(here_low[i]) * part
    left, right = max(a - 1, 0), min(b + 1, last)
    line[0] = np.float32(upper[left]) * rest + np.float32(lower[left]) * part
    line[b - a + 2] = np.float32(upper[right]) * rest + np.float32(lower[right]) * part
    for i in range(b - a + 1):
        before, here, after = line[i], line[i + 1], line[i + 2]
        values[2 * i] = chroma[0] * before + chroma[1] * here + chroma[2] * after
        values[2 * i + 1] = chroma[3] * before + chroma[4] * here + chroma[5] * after


def upsampling(source: VideoFormat) -> NDArray[np.float32]:
    """How `run_rows` brings halved chroma to every pixel; empty where there is nothing to bring.

    Three weights for even columns, three for odd ones, the offset of a row's place from half its number, and
    whether rows are halved too. The places are those of H.273 figure 10.
    """
    pixel = source.pixel_format
    if not pixel.is_subsampled:
        return np.empty(0, np.float32)
    x, y = chroma_offset(source.resolved_color.chroma_location)
    return np.array([*_weights(x - 0.25), *_weights(x + 0.25), y - 0.25, pixel.log2_chroma_h], np.float32)


def _weights(place: float) -> tuple[float, float, float]:
    """Bilinear weights of the samples at -1, 0 and 1 for a place between them."""
    return max(-place, 0.0), 1 - abs(place), max(place, 0.0)


@njit(cache=True, nogil=True)
def fill_rows(target, value, first, last):  # type: ignore[no-untyped-def]
    """Rows `first <= y < last` set to one stored sample."""
    target[first:last, :] = value


def bayer(size: int) -> NDArray[np.float32]:
    """The `size` x `size` ordered-dither pattern, zero mean, within +-0.5 (Bayer 1973); `size` a power of 2."""
    order = np.zeros((1, 1))
    while order.shape[0] < size:
        order = np.block([[4 * order, 4 * order + 2], [4 * order + 3, 4 * order + 1]])
    return ((order + 0.5) / size**2 - 0.5).astype(np.float32)


def typed_program(tiles: Sequence[Tile]) -> tuple[Any, Any, NDArray[np.int64]]:
    """Twins, parameters and component spans as `run_rows` takes them."""
    twins = List.empty_list(types.FunctionType(TWIN))
    params = List.empty_list(types.float32[::1])
    for tile in tiles:
        twins.append(tile.twin)
        params.append(np.ascontiguousarray(tile.params, np.float32))
    spans = np.array([(t.first, t.last) for t in tiles], np.int64).reshape(-1, 2)
    return twins, params, spans
