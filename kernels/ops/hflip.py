"""`hflip`: mirror left to right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.jit import njit
from kernels.operation import Kind, Operation, Tolerance
from kernels.options import Params
from kernels.tiling import copy

if TYPE_CHECKING:
    from kernels.frame import Plane, VideoFormat
    from kernels.launch import PlaneLaunch
    from kernels.operation import PlaneFormat, RowsKernel


@dataclass(frozen=True, slots=True, kw_only=True)
class HFlip(Params):
    """No options."""


@njit(cache=True, nogil=True)
def mirror_rows(source, target, width, first, last):  # type: ignore[no-untyped-def]
    """Rows `first <= y < last` of `target` from the reversed rows of `source`."""
    for y in range(first, last):
        row, out = source[y], target[y]
        for x in range(width):
            out[x] = row[np.uint64(width - 1 - x)]  # unsigned: no check for negative indices, so it vectorises


def _output(params: HFlip, source: VideoFormat) -> VideoFormat:
    return source


def _cpu(
    params: HFlip, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> RowsKernel:
    def kernel(source: Plane, target: Plane, first: int, last: int) -> None:
        mirror_rows(source, target, plane_out.width, first, last)

    return kernel


def _cuda(
    params: HFlip, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> PlaneLaunch:
    return copy(plane_in, plane_out, flip_x=True)


HFLIP = Operation(
    name="hflip",
    kind=Kind.PLANE,
    params=HFlip,
    summary="mirror the picture left to right",
    source="definition: out[y, x] = in[y, width - 1 - x]",
    tolerance=Tolerance(max_codes=0, reason="samples are moved, never computed"),
    samples=("hflip",),
    cpu=_cpu,
    cuda=_cuda,
    output=_output,
    value_preserving=True,
)
