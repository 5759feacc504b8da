"""One launch of a plane kernel on pictures of our own: where they lie, and what must be left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.kernels.cuda.memory import freeze, reserve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.launch import Kernel, PlaneLaunch
    from kernels.operation import PlaneFormat
    from tests.kernels.cuda.engine import StrictEngine

_TYPES = {1: "unsigned char", 2: "unsigned short"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """How planes lie in memory."""

    step_in: int = 1
    """Elements from sample to sample: 2 where another component lies between."""
    step_out: int = 1
    second: bool = False
    """Whether it is the second of two interleaved components."""
    at_end: bool = True
    """Against the end of its memory, where nothing is aligned, or against the start, where every row is."""

    def pitch(self, elements: int) -> int:
        """Elements from row to row, each of which has `elements` of the picture."""
        return elements + 5 if self.at_end else elements + -elements % 16


def complete(kernel: Kernel, plane_in: PlaneFormat, plane_out: PlaneFormat, lie: Lie) -> Kernel:
    """`kernel` for samples of these formats that lie so."""
    types = {"SAMPLE_IN": _TYPES[_itemsize(plane_in)], "SAMPLE_OUT": _TYPES[_itemsize(plane_out)]}
    steps = {"STEP_IN": lie.step_in, "STEP_OUT": lie.step_out}
    return replace(kernel, defines=tuple(sorted((dict(kernel.defines) | types | steps).items())))


def run(
    engine: StrictEngine,
    launch: PlaneLaunch,
    plane_in: PlaneFormat,
    plane_out: PlaneFormat,
    pictures: Sequence[NDArray[Any]],
    lie: Lie,
) -> list[NDArray[Any]]:
    """What `launch` makes of a batch of `pictures`.

    Fails if it writes anywhere else than to the target's samples.
    """
    source, source_view = _planes(pictures, lie.step_in, lie)
    freeze(source)
    blank = np.zeros((plane_out.height, plane_out.width), f"u{_itemsize(plane_out)}")
    target, target_view = _planes([blank] * len(pictures), lie.step_out, lie)
    before = target.copy()
    tables = [engine.upload(a) if isinstance(a, np.ndarray) else a for a in launch.arguments]
    planes = [*_arguments(source, source_view, lie), *_arguments(target, target_view, lie)]
    function = engine.load(complete(launch.kernel, plane_in, plane_out, lie))
    grid = (*launch.grid, len(pictures))
    engine.launch(function, grid, (*launch.block, 1), (*planes, *tables), launch.shared_bytes)
    made = [picture.copy() for picture in target_view]
    target_view[...] = 0
    assert np.array_equal(target, before), "written beside the picture"
    return made


def _arguments(flat: NDArray[Any], view: NDArray[Any], lie: Lie) -> tuple[Any, ...]:
    """(first element, pitch, frame), in elements."""
    frame, pitch, step = (stride // flat.itemsize for stride in view.strides)
    return flat[int(lie.second and step > 1) :], np.int32(pitch), np.int64(frame)


def _planes(pictures: Sequence[NDArray[Any]], step: int, lie: Lie) -> tuple[NDArray[Any], NDArray[Any]]:
    """(memory, (frames, rows, columns) view of it) that holds `pictures`, one after another."""
    count = len(pictures)
    rows, columns = pictures[0].shape
    pitch = lie.pitch(columns * step)
    # Where two components lie in turn, memory holds all of both.
    flat = reserve((count * rows - 1) * pitch + columns * step, pictures[0].dtype, at_end=lie.at_end)
    size = flat.itemsize
    strides = (rows * pitch * size, pitch * size, step * size)
    begin = flat[int(lie.second and step > 1) :]
    view = np.lib.stride_tricks.as_strided(begin, (count, rows, columns), strides)
    view[...] = np.stack(pictures)
    return flat, view


def _itemsize(plane: PlaneFormat) -> int:
    return 1 if plane.bits <= 8 else 2
