"""One launch of a plane kernel on pictures of our own: where they lie, and what must be left alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.kernels.cuda.memory import freeze, reserve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.launch import Engine, Kernel, PlaneLaunch
    from kernels.operation import PlaneFormat

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


def complete(kernel: Kernel, plane_in: PlaneFormat, plane_out: PlaneFormat, lie: Lie) -> Kernel:
    """`kernel` for samples of these formats that lie so."""
    types = {"SAMPLE_IN": _TYPES[_itemsize(plane_in)], "SAMPLE_OUT": _TYPES[_itemsize(plane_out)]}
    steps = {"STEP_IN": lie.step_in, "STEP_OUT": lie.step_out}
    return replace(kernel, defines=tuple(sorted((dict(kernel.defines) | types | steps).items())))


def run(
    engine: Engine,
    launch: PlaneLaunch,
    plane_in: PlaneFormat,
    plane_out: PlaneFormat,
    pictures: Sequence[NDArray[Any]],
    lie: Lie,
) -> list[NDArray[Any]]:
    """What `launch` makes of a batch of `pictures`.

    Fails if it writes anywhere else than to the target's samples.
    """
    first = int(lie.second)
    source = lay([pictures], lie.step_in, at_end=lie.at_end, first=first * (lie.step_in - 1))
    freeze(source.memory)
    blank = np.zeros((plane_out.height, plane_out.width), f"u{_itemsize(plane_out)}")
    target = lay([[blank] * len(pictures)], lie.step_out, at_end=lie.at_end, first=first * (lie.step_out - 1))
    tables = [engine.upload(a) if isinstance(a, np.ndarray) else a for a in launch.arguments]
    function = engine.load(complete(launch.kernel, plane_in, plane_out, lie))
    grid = (*launch.grid, len(pictures))
    arguments = (*source.arguments(), *target.arguments(), *tables)
    engine.launch(function, grid, (*launch.block, 1), arguments, launch.shared_bytes)
    (made,) = target.take()
    return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Laid:
    """Components of a batch of pictures in memory of their own, one or two interleaved ones."""

    memory: NDArray[Any]
    before: NDArray[Any]
    """What it held, the pictures being zero."""
    components: tuple[NDArray[Any], ...]
    """(frames, rows, columns) views of `memory`."""
    first: int
    """Element that the first of them begins at."""

    def arguments(self, component: int = 0) -> tuple[Any, np.int32, np.int64]:
        """(first element, pitch, frame) as kernels take them."""
        frame, pitch, _ = (stride // self.memory.itemsize for stride in self.components[0].strides)
        return self.memory[self.first + component :], np.int32(pitch), np.int64(frame)

    def take(self) -> list[list[NDArray[Any]]]:
        """The pictures, by component. Fails if anything beside them was written to."""
        made = [[picture.copy() for picture in component] for component in self.components]
        for component in self.components:
            component[...] = 0
        assert np.array_equal(self.memory, self.before), "written beside the picture"
        return made


def lay(components: Sequence[Sequence[NDArray[Any]]], step: int, *, at_end: bool, first: int = 0) -> Laid:
    """`components` (each a batch of pictures), `step` elements from sample to sample, the first of them at `first`.

    `at_end` of their memory nothing is aligned, at its start every row is.
    """
    count = len(components[0])
    rows, columns = components[0][0].shape
    pitch = columns * step + 5 if at_end else columns * step + -columns * step % 16
    # Where two components lie in turn, memory holds all of both.
    flat = reserve((count * rows - 1) * pitch + columns * step, components[0][0].dtype, at_end=at_end)
    strides = tuple(n * flat.itemsize for n in (rows * pitch, pitch, step))
    views = []
    for number in range(len(components)):
        begin = flat[first + number :]
        views.append(np.lib.stride_tricks.as_strided(begin, (count, rows, columns), strides))
        views[-1][...] = 0
    before = flat.copy()
    for view, pictures in zip(views, components, strict=True):
        view[...] = np.stack(pictures)
    return Laid(memory=flat, before=before, components=tuple(views), first=first)


def _itemsize(plane: PlaneFormat) -> int:
    return 1 if plane.bits <= 8 else 2
