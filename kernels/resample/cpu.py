"""Binding one plane of a resampling step to its compiled kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.jit import njit
from kernels.resample.columns import Columns, make_columns
from kernels.resample.loops import KERNEL
from kernels.resample.rows import Rows, make_rows, resample_then_sum, sum_then_resample, work_space

if TYPE_CHECKING:
    from kernels.frame import Plane
    from kernels.operation import PlaneFormat, RowsKernel
    from kernels.resample.filters import Filter
    from kernels.resample.weights import Axis


def bind(
    vertical: Axis, horizontal: Axis, kernel: Filter, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> RowsKernel | None:
    """The kernel that takes a plane along both axes to another depth; None when it passes untouched.

    target = source * 2**(plane_out.bits - plane_in.bits), resampled, rounded once (halves up) and clipped to
    0..plane_out.peak.
    """
    up = plane_out.bits - plane_in.bits
    if vertical.is_identity and horizontal.is_identity:
        untouched = up == 0 and plane_in.peak <= plane_out.peak
        return None if untouched else ChangeBits(plane_in.width, up, plane_out.peak)
    return Resampler(
        rows=make_rows(vertical, kernel, 2.0**up),
        columns=make_columns(horizontal, kernel),
        peak=np.float32(plane_out.peak),
        grows=vertical.step <= 1 and not vertical.is_identity,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampler:
    """A bound plane resampler with its tables."""

    rows: Rows
    columns: Columns
    peak: np.float32
    grows: bool
    """Whether there are at least as many target rows as source rows; decides the order of the passes."""

    def __call__(self, source: Plane, target: Plane, first: int, last: int) -> None:
        resample = resample_then_sum if self.grows else sum_then_resample
        flat_in, flat_out = source.reshape(-1), target.reshape(-1)
        flat_in.flags.writeable = False  # one compiled variant, whoever owns the samples
        planes = (flat_in, source.shape[1], flat_out, target.shape[1])
        resample(*planes, first, last, self.rows, self.columns, self.peak, work_space(self.columns))


@dataclass(frozen=True, slots=True)
class ChangeBits:
    """target = source * 2**up, rounded (halves up) and clipped to `peak`."""

    width: int
    up: int
    peak: int

    def __call__(self, source: Plane, target: Plane, first: int, last: int) -> None:
        args = (np.int32(max(self.up, 0)), np.int32(max(-self.up, 0)), np.int32(self.peak))
        _change_bits(source, target, first, last, self.width, *args)


@njit(**KERNEL)
def _change_bits(
    source: Any, target: Any, first: int, last: int, width: int, up: np.int32, down: np.int32, peak: np.int32
) -> None:
    half = (np.int32(1) << down) >> np.int32(1)
    for y in range(first, last):
        a, b = source[y, :width], target[y, :width]
        for x in range(width):
            b[x] = min(((np.int32(a[x]) << up) + half) >> down, peak)
