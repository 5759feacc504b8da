"""A device plan bound to an engine: kernels loaded, tables uploaded, memory between stages taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.device_plan import SOURCE, TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.device_plan import DevicePlan, Launch, Operand
    from kernels.frame import Plane
    from kernels.launch import FrameEngine
    from kernels.surface import Surface


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A surface in memory, as launches take it."""

    planes: tuple[Any, ...]
    """Device array of each component of frame 0: its first element is what a kernel's pointer points to."""
    frames: tuple[tuple[Any, ...], ...]
    """(rows, columns) views: of each frame, its planes."""
    pitches: tuple[np.int32, ...]
    frame_strides: tuple[np.int64, ...]
    plane_strides: tuple[np.int64, ...]
    key: tuple[int, ...]
    """Addresses and pitches: launches on equal keys are the same launches."""


class Program:
    """The launches of a plan. Work memory is shared by all frames: they pass one after another."""

    def __init__(self, plan: DevicePlan, engine: FrameEngine) -> None:
        self.plan = plan
        self._engine = engine
        self._functions = [engine.load(launch.kernel) for launch in plan.launches]
        self._tables: dict[bytes, Any] = {}
        self._arguments = [tuple(map(self._argument, launch.arguments)) for launch in plan.launches]
        blocks = [engine.empty((size,), np.dtype(np.uint8)) for size in plan.blocks]
        self._between = {
            number: bind(engine, blocks[block], plan.surfaces[number]) for number, block in plan.block_of.items()
        }

    def queue(self, source: Bound, target: Bound, frames: int | None = None) -> None:
        """Queue every launch of one batch, or of its first `frames` frames."""
        frames = frames or self.plan.frames
        surfaces = {**self._between, SOURCE: source, TARGET: target}
        for launch, function, arguments in zip(self.plan.launches, self._functions, self._arguments, strict=True):
            planes = [part for operand in launch.operands for part in _operand(surfaces, operand, launch)]
            grid = (*launch.grid, frames * launch.planes)
            block = (*launch.block, 1)
            self._engine.launch(function, grid, block, (*planes, *arguments), launch.shared_bytes)

    def _argument(self, value: Any) -> Any:
        """A scalar as it is, a table as its copy on the device, one for all launches."""
        if not isinstance(value, np.ndarray):
            return value
        key = value.dtype.str.encode() + value.tobytes()
        if key not in self._tables:
            self._tables[key] = self._engine.upload(value)
        return self._tables[key]


def _operand(surfaces: dict[int, Bound], operand: Operand, launch: Launch) -> tuple[Any, np.int32, np.int64]:
    """Pointer, pitch and what one step along z is."""
    bound, c = surfaces[operand.surface], operand.component
    along_z = bound.plane_strides[c] if launch.planes > 1 else bound.frame_strides[c]
    return bound.planes[c], bound.pitches[c], along_z


def bind(engine: FrameEngine, memory: Any, surface: Surface) -> Bound:
    """`surface` in a block of device memory."""
    frames = [
        plane_views(surface, frame, lambda *place: engine.view(memory, *place)) for frame in range(surface.frames)
    ]
    addresses = (engine.address(plane) for plane in frames[0])
    return Bound(
        planes=frames[0],
        frames=tuple(frames),
        pitches=tuple(np.int32(place.pitch) for place in surface.places),
        frame_strides=tuple(np.int64(place.frame_stride) for place in surface.places),
        plane_strides=tuple(np.int64(place.plane_stride) for place in surface.places),
        key=tuple(addresses),
    )


def bind_planes(engine: FrameEngine, planes: Sequence[Plane], apart_bytes: int = 0) -> Bound:
    """Frames whose planes lie wherever they lie on the device, each `apart_bytes` after the one before."""
    pitches = [plane.strides[0] // plane.itemsize for plane in planes]
    apart = np.int64(1)  # interleaved chroma is the only kind that launches take side by side
    return Bound(
        planes=tuple(planes),
        frames=(tuple(planes),),
        pitches=tuple(map(np.int32, pitches)),
        frame_strides=tuple(np.int64(apart_bytes // plane.itemsize) for plane in planes),
        plane_strides=(apart,) * len(planes),
        key=(*map(engine.address, planes), *pitches, apart_bytes),
    )


def plane_views(surface: Surface, frame: int, view: Any) -> tuple[Any, ...]:
    """The (rows, columns) planes of one frame of `surface`, by `view(offset_bytes, shape, strides_bytes, dtype)`."""
    size = surface.dtype.itemsize
    return tuple(
        view(
            place.offset_bytes + frame * place.frame_stride * size,
            (place.rows, place.columns),
            (place.pitch * size, place.step * size),
            surface.dtype,
        )
        for place in surface.places
    )


def host_view(memory: Any, offset_bytes: int, shape: Any, strides: Any, dtype: Any) -> Any:
    """`view` for memory of this machine."""
    return np.ndarray(shape, dtype, memory.data, offset_bytes, strides)
