"""Runs a plan on an engine: frames from the host or the device, through launches, to the host or the device.

Uploads, launches and downloads go through queues of their own, so that those of neighbouring frames overlap; the
launches of a frame are one graph. Everything here but the engine runs without a GPU.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from kernels.backends.device_batches import Batch, batches, is_interleaved, place_of
from kernels.backends.device_program import Program, bind_planes
from kernels.backends.device_ring import Ring, Slot
from kernels.buffers import lend
from kernels.device_plan import RING, SOURCE, TARGET, plan_device, shared_frames
from kernels.errors import FormatError, UnavailableError
from kernels.launch import Queue
from kernels.surface import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from kernels.backends.device_batches import Place
    from kernels.backends.device_program import Bound
    from kernels.backends.device_ring import Lease
    from kernels.device_plan import DevicePlan
    from kernels.frame import Frame, VideoFormat
    from kernels.launch import FrameEngine
    from kernels.plan import Plan

LOGGER: Final = logging.getLogger(__name__)
MIN_RING: Final = 2
UNBOUNDED: Final = 1 << 30
SOURCE_SLOTS: Final = 3
"""Incoming frames in flight: one uploaded, one computed, one that its upload waits for."""
SPARE_BYTES: Final = 256 << 20
"""Left to codecs and the driver when memory is planned."""
MAX_GRAPHS: Final = 256
"""Kept for pairs of memory that frames came from and went to: a decoder's surfaces times the ring."""
AHEAD: Final = 2
"""Batches under way while one is used: one uploaded, one computed."""
_NEVER_MET: Final = object()


class DeviceExecutor:
    """A plan bound to a device: the face of `CpuExecutor`, and `stream` for many frames. Use as a context manager.

    `source` says how frames that lie on the device lie there; frames in host memory are uploaded whatever it says.
    `target` is how outgoing frames are to lie on the device; None gives them back in host memory, or on the device
    when `source` is None too and they came from there. `batch` frames share launches in `stream` (None: as many as fill
    a GPU), of those on the device such as lie at equal distances; at most `ring` outgoing batches exist, held by others
    or under way (None: as many as others hold).

    A frame on the device is ready for what the calling thread queues on its current CUDA stream, and whoever reads it
    on another stream must be done before letting go of it. Between codecs that is settled otherwise: with `complete`,
    incoming frames need no waiting for, and outgoing ones are held, as frames and not as some of their planes, until
    they have been read; with `reader`, a stream of the engine's, they are ready for what is queued there, by whatever
    thread.

    `check` is asked while the ring is waited for, and raises when the job is to end. Raises `UnavailableError` for an
    operation without CUDA code, a kernel that does not compile, and too little memory, all before the first frame.
    """

    def __init__(
        self,
        plan: Plan,
        engine: FrameEngine,
        *,
        source: Layout | None = None,
        target: Layout | None = None,
        batch: int | None = 1,
        ring: int | None = RING,
        reader: Any = Queue.CALLER,
        complete: bool = False,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self.engine = engine
        self._source, self._target = source, target
        self.reader, self.complete, self._check_wanted = reader, complete, check
        self._programs: dict[tuple[Layout, bool], _Bound] = {}
        self._targets: dict[bool, Ring] = {}
        """Where outgoing frames lie, whichever program they come from: with a copy on the host, or without."""
        self._known: dict[tuple[Any, ...], _Bound] = {}
        """What runs frames that lie where some have lain before."""
        self._read: deque[_Reading] = deque()
        self._spare: list[Any] = []
        """Events that nobody looks at any more."""
        self._called: Any = None
        self._uploaded: Any = None
        self._checked: VideoFormat | None = None
        self.batch = batch or shared_frames(plan.source, plan.target)
        self._expected = self._plan_for(Layout.STACKED if source is None else source)
        self.ring = self._fit(MIN_RING if ring is None else ring)
        self._held = UNBOUNDED if ring is None else self.ring
        LOGGER.info("GPU memory planned: %d MiB, %d frames in flight", self.memory_bytes >> 20, self.ring * self.batch)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what runs, and give the device's memory back."""
        with self.engine.current():
            computed = self.engine.record(Queue.COMPUTE)
        self.engine.finish(computed)
        self.engine.close()  # copies too are over then, and nobody writes into what is given back
        self._read.clear()
        self._programs.clear()
        self._targets.clear()
        self._known.clear()

    @property
    def memory_bytes(self) -> int:
        """Device memory that frames and tables take at most."""
        return self._expected.memory_bytes(self.ring)

    def describe(self) -> dict[str, object]:
        """JSON-able figures of the launches and of the memory that is planned."""
        return {**self._expected.describe(), "ring": self.ring, "memory_bytes": self.memory_bytes}

    def warm_up(self) -> None:
        """Compile, or load from the cache, everything the plan uses, and take the memory that it cannot do without."""
        source = Layout.STACKED if self._source is None else self._source
        program = self._bound(source, to_host=self._target is None)
        program.targets.fill(MIN_RING)
        if self._source is None:
            program.sources.fill(1)

    def run(self, frame: Frame) -> Frame:
        """`frame` through every stage."""
        return self._submit(Batch((frame,), place_of(frame, self.engine), 0)).result()[0]

    def stream(self, frames: Iterable[Frame], *, ahead: int = AHEAD) -> Generator[Frame]:
        """Each of `frames` through every stage, in order, with `ahead` batches under way while one is used."""
        pending: deque[_Pending] = deque()
        ahead = min(ahead, self.ring - 2)  # one batch is being used, one is being queued
        for batch in batches(frames, self.engine, self.batch):
            while pending and not self._has_room():
                yield from pending.popleft().result()
            pending.append(self._submit(batch))
            del batch
            if len(pending) > ahead:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()

    def _has_room(self) -> bool:
        """Whether another batch needs nobody to let go of one."""
        for ring in self._targets.values():  # noqa: SIM110 - a generator would cost half a microsecond a frame
            if not ring.has_room():
                return False
        return True

    def _submit(self, batch: Batch) -> _Pending:
        """Queue all that `batch` needs."""
        for frame in batch.frames:
            if frame.format is not self._checked:
                self._check(frame)
        with self.engine.current(), self._lock:
            return self._submit_host(batch.frames) if batch.place is None else self._submit_device(batch, batch.place)

    def _submit_host(self, frames: tuple[Frame, ...]) -> _Pending:
        engine = self.engine
        program = self._bound(Layout.STACKED, to_host=self._target is None)
        pending = self._pending(program, frames)
        used = program.sources.lease()  # given back as this returns
        staged = self._upload(used.slot, frames)
        if not program.to_host:
            self._wait_for_caller()
        program.run(staged.bound.key, pending.slot.bound, len(frames), lambda: staged.bound)
        staged.done = engine.record(Queue.COMPUTE, staged.done)
        self._hand_over(program, pending, _Reading(staged.done, ()))
        return pending

    def _submit_device(self, batch: Batch, place: Place) -> _Pending:
        engine = self.engine
        lie = place.addresses + place.strides
        program = self._known.get(lie)
        if program is None:
            source = Layout.SEMIPLANAR if is_interleaved(place) else Layout.PLANAR
            program = self._bound(source, to_host=self._target is None and self._source is not None)
            if len(self._known) >= MAX_GRAPHS:
                self._known.clear()
            self._known[lie] = program
        self._let_go()
        pending = self._pending(program, batch.frames)
        self._wait_for_caller()
        key = (*lie, batch.apart_bytes)
        bound = partial(bind_planes, engine, place.planes, batch.apart_bytes)
        program.run(key, pending.slot.bound, len(batch.frames), bound)
        reading = _Reading(engine.record(Queue.COMPUTE, self._spare.pop() if self._spare else None), batch.frames)
        self._read.append(reading)
        self._hand_over(program, pending, reading)
        return pending

    def _wait_for_caller(self) -> None:
        """Let launches come after what the caller has queued: a frame's making, or the ring's memory being read."""
        if not self.complete:
            self._called = self.engine.record(Queue.CALLER, self._called)
            self.engine.wait(Queue.COMPUTE, self._called)

    def _pending(self, program: _Bound, frames: tuple[Frame, ...]) -> _Pending:
        """Where `frames` will be."""
        pending = _Pending(self, frames, program.targets.lease())
        if pending.slot.is_leaving:
            self.engine.wait(Queue.COMPUTE, pending.slot.done)  # of frames that nobody came for
        return pending

    def _hand_over(self, program: _Bound, pending: _Pending, reading: _Reading) -> None:
        """Let the frames go where they are wanted once they are computed."""
        engine, slot = self.engine, pending.slot
        pending.reading = reading
        if not program.to_host:
            return
        engine.wait(Queue.DOWNLOAD, reading.computed)
        engine.copy(slot.device, slot.host, Queue.DOWNLOAD)
        pending.downloaded = slot.done = engine.record(Queue.DOWNLOAD, slot.done)
        slot.is_leaving = True

    def _upload(self, slot: Slot, frames: tuple[Frame, ...]) -> Slot:
        """`slot` with `frames` on their way to the device."""
        engine = self.engine
        if slot.done is not None:
            engine.finish(slot.done)  # its upload, too, is over then
        for staged, frame in zip(slot.host_frames, frames, strict=False):
            for memory, plane in zip(staged, frame.planes, strict=True):
                np.copyto(memory, plane)
        engine.copy(slot.host, slot.device, Queue.UPLOAD)
        self._uploaded = engine.record(Queue.UPLOAD, self._uploaded)
        engine.wait(Queue.COMPUTE, self._uploaded)
        return slot

    def _check(self, frame: Frame) -> None:
        """Raise `FormatError` for a frame of another size or pixel format than was planned for."""
        given, planned = frame.format, self.plan.source
        sides = (given.width, given.height) == (planned.width, planned.height)
        if not sides or given.pixel_format != planned.pixel_format:
            raise FormatError(f"this chain was planned for {planned}, not {given}: plan it for what comes")
        self._checked = given

    def _let_go(self) -> None:
        """Hold frames of the device, whose memory a decoder may use again, until they have been read; no longer."""
        read = self._read
        while read:
            if not self.engine.happened(read[0].computed):
                if len(read) <= SOURCE_SLOTS:
                    return
                self.engine.finish(read[0].computed)
            reading = read.popleft()
            self._spare.append(reading.computed)
            reading.computed = None

    def _plan_for(self, source: Layout) -> DevicePlan:
        return plan_device(self.plan, source=source, target=self._target or Layout.STACKED, frames=self.batch)

    def _bound(self, source: Layout, *, to_host: bool) -> _Bound:
        key = (source, to_host)
        if key not in self._programs:
            plan, engine = self._plan_for(source), self.engine
            if to_host not in self._targets:
                target = partial(Slot, engine, plan.surfaces[TARGET], on_host=to_host)
                self._targets[to_host] = self._ring(target, self._held, MIN_RING)
            targets = self._targets[to_host]
            incoming = partial(Slot, engine, plan.surfaces[SOURCE], on_host=True)
            sources = self._ring(incoming, min(SOURCE_SLOTS, self._held), 1)
            self._programs[key] = _Bound(Program(plan, engine), engine, sources, targets, to_host=to_host)
        return self._programs[key]

    def _ring(self, make: Callable[[], Slot], size: int, least: int) -> Ring:
        # Who holds frames without a limit waits for none: there, memory that is lacking is an error at once.
        return Ring(make, size, least=UNBOUNDED if size == UNBOUNDED else least, check=self._check_wanted)

    def _fit(self, ring: int) -> int:
        """The largest ring up to `ring` that the device has memory for."""
        free = self.engine.free_bytes()
        for slots in range(ring, MIN_RING - 1, -1):
            if self._expected.memory_bytes(slots) + SPARE_BYTES <= free:
                return slots
        needed = self._expected.memory_bytes(MIN_RING) + SPARE_BYTES
        raise UnavailableError(
            f"{self.plan.source} to {self.plan.target} needs {needed >> 20} MiB of GPU memory and {free >> 20} MiB are "
            "free: end what else runs there, or use --backend cpu"
        )


class _Bound:
    """A program with its rings and the graphs of its launches."""

    def __init__(self, program: Program, engine: FrameEngine, sources: Ring, targets: Ring, *, to_host: bool) -> None:
        self.to_host = to_host
        self.sources, self.targets = sources, targets
        self.engine = engine
        self._program = program
        self._graphs: dict[tuple[Any, ...], Any] = {}

    def run(self, lie: tuple[Any, ...], target: Bound, frames: int, source: Callable[[], Bound]) -> None:
        """Queue the launches: one by one the first time that memory is met, as a graph from the second time on.

        `lie` says all of `source` that launches depend on.
        """
        key = (lie, target.key, frames)
        graph = self._graphs.get(key, _NEVER_MET)
        if graph is _NEVER_MET:
            if len(self._graphs) >= MAX_GRAPHS:
                self._graphs.pop(next(iter(self._graphs)))  # the one that has been there for longest
            self._graphs[key] = None
            self._program.queue(source(), target, frames)
            return
        if graph is None:
            bound = source()
            graph = self._graphs[key] = self.engine.capture(lambda: self._program.queue(bound, target, frames))
        self.engine.replay(graph)


class _Reading:
    """Launches that read `frames`."""

    __slots__ = ("computed", "frames")

    def __init__(self, computed: Any, frames: tuple[Frame, ...]) -> None:
        self.computed = computed
        """The event after which they are done; None once it has been seen to have happened."""
        self.frames = frames


class _Pending:
    """Frames that are under way."""

    __slots__ = ("_executor", "_frames", "_lease", "downloaded", "reading", "slot")

    def __init__(self, executor: DeviceExecutor, frames: tuple[Frame, ...], lease: Lease) -> None:
        self._executor, self._frames, self._lease = executor, frames, lease
        self.slot = lease.slot
        self.reading: _Reading
        """What computes them."""
        self.downloaded: Any = None
        """The event after which they are in host memory; None for frames that stay on the device."""

    def result(self) -> list[Frame]:
        """The frames: complete in host memory, or queued on the device."""
        lease, slot, executor = self._lease, self.slot, self._executor
        engine, target = executor.engine, executor.plan.target
        if self.downloaded is not None:
            engine.finish(self.downloaded)
            slot.is_leaving = False
            held, give = slot.host_frames, lend
        else:
            held, give = slot.bound.frames, engine.lend
            computed = self.reading.computed
            if computed is not None:
                with engine.current():
                    engine.wait(executor.reader, computed)
            if executor.complete:
                pairs = zip(self._frames, held, strict=False)
                return [frame.filtered(_Leased(planes, lease), target) for frame, planes in pairs]
        pairs = zip(self._frames, held, strict=False)
        return [frame.filtered(tuple([give(plane, lease) for plane in planes]), target) for frame, planes in pairs]


class _Leased(tuple[Any, ...]):  # noqa: SLOT001 - tuples have none
    """Planes of a frame that is held as a whole: an array each that does the same takes CuPy five microseconds more."""

    lease: Lease

    def __new__(cls, planes: tuple[Any, ...], lease: Lease) -> Self:
        made = tuple.__new__(cls, planes)
        made.lease = lease
        return made
