"""`vflip`: mirror top to bottom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernels.jit import njit
from kernels.operation import Kind, Operation, Tolerance
from kernels.options import Params
from kernels.tiling import copy

if TYPE_CHECKING:
    from kernels.frame import Plane, VideoFormat
    from kernels.launch import PlaneLaunch
    from kernels.operation import PlaneFormat, RowsKernel


@dataclass(frozen=True, slots=True, kw_only=True)
class VFlip(Params):
    """No options."""


@njit(cache=True, nogil=True)
def reverse_rows(source, target, width, height, first, last):  # type: ignore[no-untyped-def]
    """Rows `first <= y < last` of `target`: row `height - 1 - y` of `source`."""
    for y in range(first, last):
        row, out = source[height - 1 - y], target[y]
        for x in range(width):
            out[x] = row[x]


def _output(params: VFlip, source: VideoFormat) -> VideoFormat:
    return source


def _cpu(
    params: VFlip, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> RowsKernel:
    def kernel(source: Plane, target: Plane, first: int, last: int) -> None:
        reverse_rows(source, target, plane_out.width, plane_out.height, first, last)

    return kernel


def _cuda(
    params: VFlip, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat, plane_out: PlaneFormat
) -> PlaneLaunch:
    return copy(plane_in, plane_out, flip_y=True)


VFLIP = Operation(
    name="vflip",
    kind=Kind.PLANE,
    params=VFlip,
    summary="mirror the picture top to bottom",
    source="definition: out[y, x] = in[height - 1 - y, x]",
    tolerance=Tolerance(max_codes=0, reason="samples are moved, never computed"),
    samples=("vflip",),
    cpu=_cpu,
    cuda=_cuda,
    output=_output,
    value_preserving=True,
)
