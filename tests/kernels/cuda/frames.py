"""`kernels.launch.FrameEngine` on this machine's CPU, with queues that are as late as they may be.

Nothing that is queued runs before someone waits for it, directly or through events, as on a GPU that is busy with
something else. A wait that is missing therefore shows as a wrong picture: what should have been there is not yet.
"""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.buffers import lend
from kernels.launch import Queue
from tests.kernels.cuda.engine import StrictEngine
from tests.kernels.cuda.memory import reserve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Moment = tuple[Any, int]
"""A queue and how many of its works must be done."""


class Event:
    """Stands for the moment it was last recorded at, as CUDA's do: who looks at it later than that sees another one."""

    def __init__(self) -> None:
        self.moment: Moment


class DeviceArray(np.ndarray[Any, Any]):
    """An array that counts as lying on the device."""


class StrictFrameEngine(StrictEngine):
    """Memory is NumPy's, as an own type. Graphs keep addresses, as CUDA's do, and replay them."""

    def __init__(self, *, order: int = 0, at_end: bool = True, free_bytes: int = 1 << 33) -> None:
        super().__init__(order=order, at_end=at_end)
        self.launches = 0
        """Launches outside graphs."""
        self.graphs = 0
        """Graphs captured."""
        self.replays = 0
        self._free_bytes = free_bytes
        self._inside = threading.local()
        self._captured: list[Callable[[], None]] | None = None
        self.events = 0
        """Events created."""
        self.waits: list[Any] = []
        """The queues that were made to wait, in order."""
        self._works: dict[Any, list[Callable[[], None] | Moment]] = defaultdict(list)
        self._done: dict[Any, int] = defaultdict(int)

    @contextmanager
    def current(self) -> Iterator[None]:
        before = self._is_current
        self._inside.now = True
        try:
            yield
        finally:
            self._inside.now = before

    @property
    def _is_current(self) -> bool:
        """Whether the calling thread is within `current`."""
        return getattr(self._inside, "now", False)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> DeviceArray:
        return super().empty(shape, dtype).view(DeviceArray)

    def pinned(self, size_bytes: int) -> np.ndarray[Any, Any]:
        return reserve(size_bytes, np.uint8)

    def view(
        self, memory: Any, offset_bytes: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Any:
        return np.ndarray(shape, dtype, memory.data, offset_bytes, strides).view(DeviceArray)

    def lend(self, array: Any, owner: object) -> Any:
        return lend(array, owner).view(DeviceArray)

    def copy(self, source: Any, target: Any, queue: Queue) -> None:
        assert self._is_current
        assert self._captured is None, "a copy in a graph of launches"
        assert isinstance(source, DeviceArray) != isinstance(target, DeviceArray)
        ends = weakref.ref(target), weakref.ref(source)

        def work() -> None:
            written, read = (end() for end in ends)
            assert written is not None, "memory was given back before the copy to it was over"
            assert read is not None, "memory was given back before the copy from it was over"
            np.copyto(written, read)

        self._works[queue].append(work)

    def launch(
        self,
        function: Any,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
    ) -> None:
        assert self._is_current

        def work() -> None:
            StrictEngine.launch(self, function, grid, block, arguments, shared_bytes)

        if self._captured is not None:
            self._captured.append(work)
            return
        self.launches += 1
        self._works[Queue.COMPUTE].append(work)

    def record(self, queue: Any, event: Event | None = None) -> Event:
        assert self._is_current
        if event is None:
            event = Event()
            self.events += 1
        event.moment = queue, len(self._works[queue])
        return event

    def wait(self, queue: Any, event: Event) -> None:
        assert self._is_current
        self.waits.append(queue)
        if queue is Queue.CALLER:
            self.finish(event)  # the test reads at once
        self._works[queue].append(event.moment)

    def finish(self, event: Event) -> None:
        self._finish(event.moment)

    def _finish(self, moment: Moment) -> None:
        queue, count = moment
        while self._done[queue] < count:
            work = self._works[queue][self._done[queue]]
            self._done[queue] += 1
            if callable(work):
                work()
            else:
                self._finish(work)

    def happened(self, event: Event) -> bool:
        queue, count = event.moment
        return self._done[queue] >= count

    def capture(self, launches: Callable[[], None]) -> list[Callable[[], None]]:
        captured: list[Callable[[], None]] = []
        self._captured = captured
        launches()
        self._captured = None
        self.graphs += 1
        return captured

    def replay(self, graph: list[Callable[[], None]]) -> None:
        assert self._is_current
        self.replays += 1
        self._works[Queue.COMPUTE] += graph

    def adopt(self, array: Any) -> Any:
        return array if isinstance(array, DeviceArray) else None

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def free_bytes(self) -> int:
        return self._free_bytes

    def close(self) -> None:
        with self.current():
            for queue in Queue:
                self.finish(self.record(queue))
