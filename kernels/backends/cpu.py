"""Runs a plan on the CPU: every stage split into bands of rows over a thread pool.

The kernels release the GIL and are serial, so a frame uses all threads without Numba's own threading layers.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from kernels.backends import pointwise
from kernels.backends.parts import passes, plane_format, pointwise_tiles
from kernels.buffers import BufferPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kernels.frame import Frame, Plane
    from kernels.operation import PlaneFormat, RowsKernel
    from kernels.plan import Plan, Stage

    Rows = Callable[[int, int], None]
    """Computes rows `first <= y < last` of some plane."""

MIN_BAND_ROWS: Final = 64
"""Fewest rows worth a task: below that, waking a thread costs more than it computes."""
DITHER_SIZE: Final = 8


class CpuExecutor:
    """A plan bound to this machine. Use as a context manager; `run` one frame at a time."""

    def __init__(self, plan: Plan, *, threads: int | None = None) -> None:
        self.plan = plan
        self.threads = threads or os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self.threads - 1, "kernel") if self.threads > 1 else None
        self._buffers = BufferPool()
        self._stages = [_bind(stage) for stage in plan.stages]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def warm_up(self) -> None:
        """Compile, or load from the cache, everything the plan uses: one row of every plane of a blank frame."""
        source = self.plan.source
        dtype = source.pixel_format.dtype
        planes: tuple[Plane, ...] = tuple(
            np.zeros(source.plane_size(i), dtype) for i in range(source.pixel_format.plane_count)
        )
        for stage in self._stages:
            inputs, outputs = self._prepare(stage, planes)
            for rows, _ in stage.jobs(inputs, outputs, 0):
                rows(0, 1)
            planes = outputs

    def run(self, frame: Frame) -> Frame:
        """`frame` through every stage. Planes that no stage touches are passed on, not copied."""
        planes = frame.planes
        for stage in self._stages:
            inputs, planes = self._prepare(stage, planes)
            self._run_bands(stage.jobs(inputs, planes, frame.index))
        return replace(frame, planes=planes, format=self.plan.target)

    def _prepare(self, stage: _BoundStage, planes: tuple[Plane, ...]) -> tuple[tuple[Plane, ...], tuple[Plane, ...]]:
        """What the stage reads, and where it writes: a fresh buffer, or the plane itself where it is passed on."""
        target = stage.target
        dtype = target.pixel_format.dtype
        outputs = tuple(
            planes[i] if i in stage.passed else self._buffers.empty(target.plane_size(i), dtype)
            for i in range(target.pixel_format.plane_count)
        )
        return tuple(map(_as_input, planes)), outputs

    def _run_bands(self, jobs: Iterable[tuple[Rows, int]]) -> None:
        """Every band once, on the calling thread and on the pool's; returns when the last has ended."""
        bands = deque((rows, first, last) for rows, height in jobs for first, last in self._split(height))

        def drain() -> None:
            while bands:
                try:
                    rows, first, last = bands.popleft()
                except IndexError:  # another thread was faster
                    return
                rows(first, last)

        helpers = min(self.threads, len(bands)) - 1
        futures = [self._pool.submit(drain) for _ in range(helpers)] if self._pool is not None else []
        try:
            drain()
        finally:
            wait(futures)  # even if a band fails: the others still write to buffers
        for future in futures:
            future.result()

    def _split(self, height: int) -> list[tuple[int, int]]:
        # One band a thread and plane: the smaller planes fill the gaps, and neighbouring bands share least work.
        count = max(1, min(self.threads, height // MIN_BAND_ROWS))
        edges = [height * i // count for i in range(count + 1)]
        return list(pairwise(edges))


class _BoundStage:
    """A stage with its kernels: what it passes on, and the work per plane."""

    def __init__(self, stage: Stage, passed: frozenset[int]) -> None:
        self.target = stage.target
        self.passed = passed
        self._lift = stage.lift

    def jobs(self, planes: tuple[Plane, ...], outputs: tuple[Plane, ...], n: int) -> list[tuple[Rows, int]]:
        raise NotImplementedError

    def _lifted(self, rows: Rows, targets: Sequence[Plane]) -> Rows:
        """`rows`, which writes to `targets`, with its codes shifted up where the stage says so."""
        if not self._lift:
            return rows

        def both(first: int, last: int) -> None:
            rows(first, last)
            for target in targets:
                target[first:last] <<= self._lift

        return both


class _PlaneStage(_BoundStage):
    def __init__(self, stage: Stage, kernels: list[RowsKernel | None]) -> None:
        super().__init__(stage, frozenset(i for i, kernel in enumerate(kernels) if kernel is None))
        self._kernels = kernels

    def jobs(self, planes: tuple[Plane, ...], outputs: tuple[Plane, ...], n: int) -> list[tuple[Rows, int]]:  # noqa: ARG002 - for pointwise ones
        def bind(kernel: RowsKernel, source: Plane, target: Plane) -> Rows:
            return lambda first, last: kernel(source, target, first, last)

        return [
            (self._lifted(bind(kernel, planes[i], outputs[i]), outputs[i : i + 1]), outputs[i].shape[0])
            for i, kernel in enumerate(self._kernels)
            if kernel is not None
        ]


class _PointwiseStage(_BoundStage):
    """Either one program on co-sited planes, or one program per plane."""

    def __init__(self, stage: Stage) -> None:
        self._load = np.float32(1 / stage.source.pixel_format.peak)
        self._store = np.float32(stage.rounded.pixel_format.peak)
        self._dither = pointwise.bayer(DITHER_SIZE) if stage.dither else np.zeros((1, 1), np.float32)
        self._chroma = pointwise.upsampling(stage.source) if stage.mixes else np.empty(0, np.float32)
        self._programs: dict[int | None, Any] = {}
        passed = set()
        components = [None] if stage.mixes else range(stage.target.pixel_format.plane_count)
        for component in components:
            tiles = pointwise_tiles(stage.nodes, component)
            if component is not None and not stage.lift and passes(stage, component, tiles):
                passed.add(component)
            else:
                self._programs[component] = pointwise.typed_program(tiles)
        super().__init__(stage, frozenset(passed))
        self._neutral = np.uint16(1 << (stage.target.pixel_format.depth - 1 + stage.target.pixel_format.shift))

    def jobs(self, planes: tuple[Plane, ...], outputs: tuple[Plane, ...], n: int) -> list[tuple[Rows, int]]:
        jobs = []
        for component, program in self._programs.items():
            if component is None:
                jobs.append(self._job(program, planes, outputs, self.target.width, n))
            elif component < len(planes):
                width = self.target.plane_size(component)[1]
                jobs.append(self._job(program, (planes[component],), (outputs[component],), width, n))
            else:
                jobs.append(self._fill(outputs[component]))
        return jobs

    def _job(
        self, program: Any, sources: tuple[Plane, ...], targets: tuple[Plane, ...], width: int, n: int
    ) -> tuple[Rows, int]:
        def rows(first: int, last: int) -> None:
            factors = (self._load, self._store, self._store)
            patterns = (self._dither, self._chroma)
            arguments: tuple[Any, ...] = (*factors, *program, *patterns, width, n, first, last)
            pointwise.run_rows(sources, targets, *arguments)

        return self._lifted(rows, targets), targets[0].shape[0]

    def _fill(self, target: Plane) -> tuple[Rows, int]:
        return (lambda first, last: pointwise.fill_rows(target, self._neutral, first, last)), target.shape[0]


def _bind(stage: Stage) -> _BoundStage:
    if stage.is_pointwise:
        return _PointwiseStage(stage)
    planes = range(stage.target.pixel_format.plane_count)
    return _PlaneStage(stage, [_plane_kernel(stage, plane) for plane in planes])


def _plane_kernel(stage: Stage, plane: int) -> RowsKernel | None:
    """The stage's kernel for one plane; None where the plane can be passed on as it is."""
    step = stage.nodes[0].step
    plane_in, plane_out = plane_format(stage.source, plane), plane_format(stage.rounded, plane)
    kernel: RowsKernel | None = step.operation.cpu(step.params, stage.source, stage.rounded, plane_in, plane_out)
    passes_on = plane_in == plane_out and not stage.lift
    return kernel if kernel is not None or passes_on else _recode(plane_in, plane_out)


def _recode(plane_in: PlaneFormat, plane_out: PlaneFormat) -> RowsKernel:
    """The kernel that changes only how samples are stored."""
    factors = (np.float32(1 / plane_in.peak), np.float32(plane_out.peak), np.float32(plane_out.peak))
    program = pointwise.typed_program(())
    patterns = (np.zeros((1, 1), np.float32), np.empty(0, np.float32))

    def kernel(source: Plane, target: Plane, first: int, last: int) -> None:
        pointwise.run_rows((source,), (target,), *factors, *program, *patterns, plane_out.width, 0, first, last)

    return kernel


def _as_input(plane: Plane) -> Plane:
    """`plane` as the read-only C-contiguous (rows, pitch) array around it: kernels then compile for one type."""
    rows, columns = plane.shape
    pitch, rest = divmod(plane.strides[0], plane.itemsize)
    if plane.flags.c_contiguous:
        pitch = columns
    elif rows == 1 or rest or pitch < columns or plane.strides[1] != plane.itemsize:
        plane, pitch = np.ascontiguousarray(plane), columns
    strides = (pitch * plane.itemsize, plane.itemsize)
    return np.lib.stride_tricks.as_strided(plane, (rows, pitch), strides, writeable=False)
