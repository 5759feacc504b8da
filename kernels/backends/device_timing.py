"""How long a plan's launches take on a device, by the device's own clock, from memory and not from its cache."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from kernels.backends.device_program import Program
from kernels.backends.device_ring import Slot
from kernels.device_plan import SOURCE, TARGET, plan_device
from kernels.errors import UnavailableError
from kernels.launch import FrameEngine, Queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from kernels.device_plan import DevicePlan
    from kernels.plan import Plan
    from kernels.surface import Layout

CACHES: Final = 3
"""Frames take turns in memory of at least this many times the last-level cache: none is still there at its next."""
ROUNDS: Final = 20
WARM_UP_ROUNDS: Final = 3
MIN_ROUND_S: Final = 2e-3
"""A round is repeated within one measurement until it takes this long: events are half a microsecond coarse."""


class TimedEngine(FrameEngine, Protocol):
    """An engine that can tell how long its work takes."""

    name: str
    """Of the device."""
    cache_bytes: int
    """Its last-level cache."""

    def seconds(self, work: Callable[[], None]) -> float:
        """How long the device takes for what `work` puts into the compute queue, by events around it."""
        ...

    def duplicate(self, source: Any, target: Any) -> None:
        """Queue a copy from device to device by the driver's own means."""
        ...


def copy_rate(engine: TimedEngine, *, rounds: int = ROUNDS) -> float:
    """Bytes a second that the driver's copy moves, read and written ones together: the measured roof of the device."""
    size = max(2 * CACHES * engine.cache_bytes, 1 << 20)
    source, target = (engine.empty((size,), np.dtype(np.uint8)) for _ in range(2))
    with engine.current():
        seconds = _settled(engine, lambda: engine.duplicate(source, target), rounds)
    return 2 * size / seconds


def time_plan(plan: Plan, engine: TimedEngine, *, source: Layout, target: Layout, rounds: int = ROUNDS) -> float:
    """Seconds of one frame: the median over rounds in which every frame in memory has its turn, as one graph.

    Raises `UnavailableError` for what cannot run there, or not with so many frames.
    """
    device_plan = plan_device(plan, source=source, target=target)
    frame_bytes = sum(device_plan.surfaces[end].size_bytes for end in (SOURCE, TARGET))
    turns = max(2, -(-CACHES * engine.cache_bytes // frame_bytes))
    if turns * frame_bytes + device_plan.work_bytes > engine.free_bytes():
        raise UnavailableError(f"timing {plan.source} takes {turns} frames, which do not fit into the device's memory")
    with engine.current():
        return _timed(device_plan, engine, turns, rounds)


def _timed(device_plan: DevicePlan, engine: TimedEngine, turns: int, rounds: int) -> float:
    """Seconds of one frame, with `turns` frames in memory."""
    noise = np.random.default_rng(1)
    ends = device_plan.surfaces[SOURCE], device_plan.surfaces[TARGET]
    slots = []
    for _ in range(turns):
        pair = tuple(Slot(engine, end, on_host=k == 0) for k, end in enumerate(ends))
        pair[0].host[:] = noise.integers(0, 256, pair[0].host.size, np.uint8)
        engine.copy(pair[0].host, pair[0].device, Queue.UPLOAD)
        engine.finish(engine.record(Queue.UPLOAD))
        pair[0].host, pair[0].host_frames = None, ()
        slots.append(pair)
    program = Program(device_plan, engine)

    def every_turn() -> None:
        for incoming, outgoing in slots:
            program.queue(incoming.bound, outgoing.bound)

    every_turn()  # what is not compiled yet is compiled before the capture
    graph = engine.capture(every_turn)
    return _settled(engine, lambda: engine.replay(graph), rounds) / turns


def _settled(engine: TimedEngine, work: Callable[[], None], rounds: int) -> float:
    """Median seconds of `work`."""
    for _ in range(WARM_UP_ROUNDS):
        once = engine.seconds(work)
    repeats = max(1, int(MIN_ROUND_S / max(once, 1e-9)))

    def repeated() -> None:
        for _ in range(repeats):
            work()

    return statistics.median(engine.seconds(repeated) for _ in range(rounds)) / repeats
