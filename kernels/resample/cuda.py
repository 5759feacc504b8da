"""Binding one plane of a resampling step to the launch of its kernel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.resample.weights import make_taps
from kernels.tiling import TILE, gain_and_peak, tiled

if TYPE_CHECKING:
    from kernels.launch import PlaneLaunch
    from kernels.operation import PlaneFormat
    from kernels.resample.filters import Filter
    from kernels.resample.weights import Axis

_SHARED_BYTES: Final = 24 * 1024
"""Of a block: four blocks and more fit on every GPU at once."""
_LEAST_ROWS: Final = 4
"""Source rows at a time below which it is better to read them without shared memory."""
_UNSTAGED_ROWS: Final = 32


def bind(
    vertical: Axis, horizontal: Axis, kernel: Filter, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> PlaneLaunch | None:
    """The launch that takes a plane along both axes to another depth; None when it passes untouched.

    As `kernels.resample.cpu.bind`, which says what it computes.
    """
    as_it_is = plane_out.bits == plane_in.bits and plane_in.peak <= plane_out.peak
    if vertical.is_identity and horizontal.is_identity and as_it_is:
        return None
    taps_x, taps_y = make_taps(horizontal, kernel), make_taps(vertical, kernel)
    starts_x, starts_y = taps_x.starts(horizontal.target_size), taps_y.starts(vertical.target_size)
    count_x, count_y = taps_x.weights.shape[1], taps_y.weights.shape[1]
    span = _reach(horizontal, TILE[0]) + count_x + 3  # from a multiple of 4 on
    span += -span % 4
    rows = _reach(vertical, TILE[1]) + count_y
    fitting = _SHARED_BYTES // (4 * (span + TILE[0]))
    if fitting < min(rows, _LEAST_ROWS):
        span, fitting = 0, _UNSTAGED_ROWS
    passes = -(-rows // fitting)
    chunk = -(-rows // passes)
    defines = {"TAPS_X": count_x, "TAPS_Y": count_y, "SPAN": span, "CHUNK": chunk, "WHOLE": int(passes == 1)}
    arguments = (
        np.int32(plane_in.width),
        np.int32(plane_in.height),
        *gain_and_peak(plane_in, plane_out),
        starts_x.astype(np.int32),
        taps_x.weights.astype(np.float32),
        np.int32(taps_x.period),
        starts_y.astype(np.int32),
        taps_y.weights.astype(np.float32),
        np.int32(taps_y.period),
    )
    return tiled("resample.cu", plane_out, arguments, defines)


def _reach(axis: Axis, tile: int) -> int:
    """Source samples from the first that a tile's first target sample reads to the first that its last reads, at most.

    Whatever the size: pictures scaled alike share a kernel.
    """
    return math.ceil((tile - 1) * axis.step)
