"""The CPU driver of pointwise stages: load a tile as float32, run each step on it in place, store once.

One compiled function serves every chain: the steps are first-class functions in a typed list, so a new chain
compiles nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numba import types
from numba.typed import List

from kernels.conversion import Affine
from kernels.operation import Tile
from kernels.jit import njit
from kernels.transfer import Curve
from kernels.twins import TWIN, affine, curve, gain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TILE_PIXELS: Final = 1024
"""Longest run of pixels at a time: three components of float32 stay in the first-level cache."""


@njit(cache=True, nogil=True, fastmath={"contract"})
def run_rows(  # type: ignore[no-untyped-def]
    sources, targets, load, store, peak, twins, params, spans, dither, width, n, first, last
):
    """Rows `first <= y < last`: every step of a fused stage.

    `sources` and `targets` are tuples of equally sized (rows, pitch) planes; `load` and `store` the factors
    between stored samples and codes; `spans` (steps, 2) the components each step runs on; `dither` a square
    pattern in units of stored samples, one zero for none.
    """
    tiles = (width + TILE_PIXELS - 1) // TILE_PIXELS
    length = (width + tiles - 1) // tiles
    tile = np.zeros((max(len(sources), len(targets)), length), np.float32)
    pattern = dither.shape[0]
    zero, half = np.float32(0), np.float32(0.5)
    for y in range(first, last):
        bias = dither[y % pattern]
        for start in range(0, width, length):
            count = min(length, width - start)
            for c in range(len(sources)):
                row, values = sources[c][y, start : start + count], tile[c]
                for i in range(count):
                    values[i] = np.float32(row[i]) * load
            for c in range(len(sources), tile.shape[0]):
                tile[c, :] = zero
            for k in range(len(twins)):
                twins[k](tile[spans[k, 0] : spans[k, 1]], params[k], start, y, n)
            for c in range(len(targets)):
                out, values = targets[c][y, start : start + count], tile[c]
                if pattern == 1:
                    for i in range(count):
                        out[i] = np.int32(min(max(values[i] * store + half, zero), peak))
                else:
                    for i in range(count):
                        level = values[i] * store + half + bias[(start + i) & (pattern - 1)]
                        out[i] = np.int32(min(max(level, zero), peak))


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


def as_tile(part: Affine | Curve | Tile, component: int | None) -> Tile:
    """`part` as a step on three components, or on the one plane `component` (an affine must be diagonal)."""
    if isinstance(part, Tile):
        return part
    last = 3 if component is None else 1
    if isinstance(part, Curve):
        params = np.concatenate([[np.float32(part.by_root)], part.table])
        return Tile(twin=curve, params=params, last=last)
    if component is None:
        return Tile(twin=affine, params=np.concatenate([part.matrix.ravel(), part.offset]))
    scale, shift = part.matrix[component, component], part.offset[component]
    return Tile(twin=gain, params=np.array([scale, shift]), last=1)
