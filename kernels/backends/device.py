"""Runs a plan on an engine: frames from the host or the device, through launches, to the host or the device.

Uploads, launches and downloads go through queues of their own, so that those of neighbouring frames overlap; the
launches of a frame are one graph. Everything here but the engine runs without a GPU.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from kernels.backends.device_program import Program, bind_planes
from kernels.backends.device_ring import Ring, Slot
from kernels.buffers import lend
from kernels.device_plan import RING, SOURCE, TARGET, plan_device
from kernels.errors import FormatError, UnavailableError
from kernels.launch import Queue
from kernels.surface import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
BATCH_PIXELS: Final = 2 << 20
"""Smaller frames share launches until they have about as many pixels: 1080p fills a GPU alone."""
MAX_BATCH: Final = 8
SPARE_BYTES: Final = 256 << 20
"""Left to codecs and the driver when memory is planned."""
MAX_GRAPHS: Final = 256
"""Kept for pairs of memory that frames came from and went to: a decoder's surfaces times the ring."""
AHEAD: Final = 2
"""Batches under way while one is used: one uploaded, one computed."""


class DeviceExecutor:
    """A plan bound to a device: the face of `CpuExecutor`, and `stream` for many frames. Use as a context manager.

    `source` says how frames that lie on the device lie there; frames in host memory are uploaded whatever it says.
    `target` is how outgoing frames are to lie on the device; None gives them back in host memory, or on the device
    when `source` is None too and they came from there. `batch` frames from the host share launches in `stream`
    (None: as many as fill a GPU); at most `ring` outgoing batches exist, held by others or under way (None: as many as
    others hold).

    A frame on the device is ready for what the calling thread queues on its current CUDA stream, and whoever reads it
    on another stream must be done before letting go of it. Raises `UnavailableError` for an operation without CUDA
    code, a kernel that does not compile, and too little memory, all before the first frame.
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
    ) -> None:
        self.plan = plan
        self._engine = engine
        self._source, self._target = source, target
        self._programs: dict[tuple[Layout, bool], _Bound] = {}
        self._known: dict[tuple[Any, ...], _Bound] = {}
        """What runs frames that lie where some have lain before."""
        self._read: deque[tuple[Any, Frame]] = deque()
        self.batch = (batch or batch_of(plan)) if source is None else 1
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
        with self._engine.current():
            computed = self._engine.record(Queue.COMPUTE)
        self._engine.finish(computed)
        self._read.clear()
        self._programs.clear()
        self._known.clear()
        self._engine.close()

    @property
    def memory_bytes(self) -> int:
        """Device memory that frames and tables take at most."""
        return self._expected.memory_bytes(self.ring)

    def describe(self) -> dict[str, object]:
        """JSON-able figures of the launches and of the memory that is planned."""
        return {**self._expected.describe(), "ring": self.ring, "memory_bytes": self.memory_bytes}

    def warm_up(self) -> None:
        """Compile, or load from the cache, everything the plan uses, and take memory for what lies between stages."""
        source = Layout.STACKED if self._source is None else self._source
        self._bound(source, to_host=self._target is None)

    def run(self, frame: Frame) -> Frame:
        """`frame` through every stage."""
        return self._submit((frame,)).result()[0]

    def stream(self, frames: Iterable[Frame], *, ahead: int = AHEAD) -> Iterator[Frame]:
        """Each of `frames` through every stage, in order, with `ahead` batches under way while one is used."""
        pending: deque[_Pending] = deque()
        source = iter(frames)
        ahead = min(ahead, self.ring - 2)  # one batch is being used, one is being queued
        for first in source:
            alone = self._engine.adopt(first.planes[0]) is not None
            pending.append(self._submit((first, *islice(source, 0 if alone else self.batch - 1))))
            if len(pending) > ahead:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()

    def _submit(self, frames: tuple[Frame, ...]) -> _Pending:
        """Queue all that `frames` need; a full batch, or as many as there are."""
        adopted = [self._engine.adopt(plane) for plane in frames[0].planes]
        planes = [plane for plane in adopted if plane is not None]
        with self._engine.current(), self._lock:
            if len(planes) == len(adopted) and len(frames) == 1:
                return self._submit_device(frames[0], planes)
            if planes:
                raise UnavailableError(
                    "frames that lie on the device are run one at a time, with all their planes there"
                )
            return self._submit_host(frames)

    def _submit_host(self, frames: tuple[Frame, ...]) -> _Pending:
        program = self._bound(Layout.STACKED, to_host=self._target is None)
        pending = self._pending(program, frames)
        used = program.sources.lease()  # given back as this returns
        staged = self._upload(used.slot, frames)
        if not program.to_host:
            # After the last reading of the ring's memory.
            self._engine.wait(Queue.COMPUTE, self._engine.record(Queue.CALLER))
        source, target = staged.bound, pending.slot.bound
        if not program.replay(key := source.key + target.key):
            program.launch(key, source, target)
        staged.done = self._engine.record(Queue.COMPUTE)
        self._hand_over(program, pending, staged.done)
        return pending

    def _submit_device(self, frame: Frame, planes: list[Any]) -> _Pending:
        engine = self._engine
        self._check(frame)
        lie = tuple((engine.address(plane), plane.strides) for plane in planes)
        program = self._known.get(lie)
        if program is None:
            source = Layout.SEMIPLANAR if _interleaved(engine, planes) else Layout.PLANAR
            program = self._bound(source, to_host=self._target is None and self._source is not None)
            if len(self._known) >= MAX_GRAPHS:
                self._known.clear()
            self._known[lie] = program
        pending = self._pending(program, (frame,))
        # After what the caller has queued: the frame's making, and the last reading of the ring's memory.
        engine.wait(Queue.COMPUTE, engine.record(Queue.CALLER))
        target = pending.slot.bound
        if not program.replay(key := lie + target.key):
            program.launch(key, bind_planes(engine, planes), target)
        computed = engine.record(Queue.COMPUTE)
        self._keep(computed, frame)
        self._hand_over(program, pending, computed)
        return pending

    def _pending(self, program: _Bound, frames: tuple[Frame, ...]) -> _Pending:
        """Where `frames` will be."""
        pending = _Pending(self._engine, self.plan.target, frames, program.targets.lease())
        if pending.slot.done is not None:
            self._engine.wait(Queue.COMPUTE, pending.slot.done)  # of frames that nobody came for
        return pending

    def _hand_over(self, program: _Bound, pending: _Pending, computed: Any) -> None:
        """Let the frames go where they are wanted once they are computed."""
        engine, slot = self._engine, pending.slot
        if not program.to_host:
            engine.wait(Queue.CALLER, computed)
            return
        engine.wait(Queue.DOWNLOAD, computed)
        engine.copy(slot.device, slot.host, Queue.DOWNLOAD)
        pending.downloaded = slot.done = engine.record(Queue.DOWNLOAD)

    def _upload(self, slot: Slot, frames: tuple[Frame, ...]) -> Slot:
        """`slot` with `frames` on their way to the device."""
        engine = self._engine
        for frame in frames:
            self._check(frame)
        if slot.done is not None:
            engine.finish(slot.done)  # its upload, too, is over then
        for staged, frame in zip(slot.host_frames, frames, strict=False):
            for memory, plane in zip(staged, frame.planes, strict=True):
                np.copyto(memory, plane)
        engine.copy(slot.host, slot.device, Queue.UPLOAD)
        engine.wait(Queue.COMPUTE, engine.record(Queue.UPLOAD))
        return slot

    def _check(self, frame: Frame) -> None:
        """Raise `FormatError` for a frame of another size or pixel format than was planned for."""
        given, planned = frame.format, self.plan.source
        sides = (given.width, given.height) == (planned.width, planned.height)
        if not sides or given.pixel_format != planned.pixel_format:
            raise FormatError(f"this chain was planned for {planned}, not {given}: plan it for what comes")

    def _keep(self, computed: Any, frame: Frame) -> None:
        """Hold frames of the device, whose memory a decoder may use again, until they have been read."""
        self._read.append((computed, frame))
        while len(self._read) > SOURCE_SLOTS or (self._read and self._engine.happened(self._read[0][0])):
            self._engine.finish(self._read.popleft()[0])

    def _plan_for(self, source: Layout) -> DevicePlan:
        frames = self.batch if source is Layout.STACKED else 1
        return plan_device(self.plan, source=source, target=self._target or Layout.STACKED, frames=frames)

    def _bound(self, source: Layout, *, to_host: bool) -> _Bound:
        key = (source, to_host)
        if key not in self._programs:
            self._programs[key] = _Bound(self._plan_for(source), self._engine, self._held, to_host=to_host)
        return self._programs[key]

    def _fit(self, ring: int) -> int:
        """The largest ring up to `ring` that the device has memory for."""
        free = self._engine.free_bytes()
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

    def __init__(self, plan: DevicePlan, engine: FrameEngine, ring: int, *, to_host: bool) -> None:
        self.to_host = to_host
        self._engine = engine
        self._program = Program(plan, engine)
        self._graphs: dict[tuple[Any, ...], Any] = {}
        source, target = plan.surfaces[SOURCE], plan.surfaces[TARGET]
        self.sources = Ring(lambda: Slot(engine, source, on_host=True), min(SOURCE_SLOTS, ring))
        self.targets = Ring(lambda: Slot(engine, target, on_host=to_host), ring)

    def replay(self, key: tuple[Any, ...]) -> bool:
        """Queue the graph of launches on the memory that `key` stands for, if there is one."""
        graph = self._graphs.get(key)
        if graph is None:
            return False
        self._engine.replay(graph)
        return True

    def launch(self, key: tuple[Any, ...], source: Bound, target: Bound) -> None:
        """Queue the launches: one by one the first time that memory is met, as a graph the second time."""
        if key in self._graphs:
            graph = self._graphs[key] = self._engine.capture(lambda: self._program.queue(source, target))
            self._engine.replay(graph)
            return
        if len(self._graphs) >= MAX_GRAPHS:
            self._graphs.pop(next(iter(self._graphs)))  # the one that has been there for longest
        self._graphs[key] = None
        self._program.queue(source, target)


class _Pending:
    """Frames that are under way."""

    __slots__ = ("_engine", "_frames", "_lease", "_target", "downloaded", "slot")

    def __init__(self, engine: FrameEngine, target: VideoFormat, frames: tuple[Frame, ...], lease: Lease) -> None:
        self._engine, self._target, self._frames, self._lease = engine, target, frames, lease
        self.slot = lease.slot
        self.downloaded: Any = None
        """The event after which they are in host memory; None for frames that stay on the device."""

    def result(self) -> list[Frame]:
        """The frames: complete in host memory, or queued on the device."""
        lease, target = self._lease, self._target
        if self.downloaded is None:
            held, give = self.slot.bound.frames, self._engine.lend
        else:
            self._engine.finish(self.downloaded)
            held, give = self.slot.host_frames, lend
        pairs = zip(self._frames, held, strict=False)
        return [frame.filtered(tuple([give(plane, lease) for plane in planes]), target) for frame, planes in pairs]


def batch_of(plan: Plan) -> int:
    """Frames that share launches: as many as fill a GPU, a power of two."""
    pixels = max(f.width * f.height for f in (plan.source, plan.target))
    frames = 1
    while frames < MAX_BATCH and 2 * frames * pixels <= BATCH_PIXELS:
        frames *= 2
    return frames


def _interleaved(engine: FrameEngine, planes: Sequence[Any]) -> bool:
    """Whether Cb and Cr lie side by side, as in NV12.

    Raises `FormatError` for planes that are neither that nor contiguous along rows.
    """
    steps = [plane.strides[1] // plane.itemsize if plane.shape[1] > 1 else 1 for plane in planes]
    if len(planes) == 3 and steps[0] == 1 and steps[1] == steps[2]:
        apart = engine.address(planes[2]) - engine.address(planes[1])
        narrow = planes[1].shape[1] == 1
        if apart == planes[0].itemsize and (steps[1] == 2 or narrow):
            return True
    if any(step != 1 for step in steps):
        raise FormatError("planes on the device must be contiguous along rows, or Cb and Cr interleaved as in NV12")
    return False
