"""`kernels.launch.FrameEngine` on this machine's CPU: what is queued runs at once, and what must not happen raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.buffers import lend
from tests.kernels.cuda.engine import StrictEngine
from tests.kernels.cuda.memory import reserve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernels.launch import Queue


class DeviceArray(np.ndarray[Any, Any]):
    """An array that counts as lying on the device."""


class StrictFrameEngine(StrictEngine):
    """Memory is NumPy's, of its own type. Graphs keep addresses, as CUDA's do, and replay them."""

    def __init__(self, *, order: int = 0, at_end: bool = True, free_bytes: int = 1 << 33) -> None:
        super().__init__(order=order, at_end=at_end)
        self._free_bytes = free_bytes
        self._captured: list[tuple[Any, ...]] | None = None
        self.launches = 0
        """Launches outside graphs."""
        self.graphs = 0
        """Graphs captured."""
        self.replays = 0

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

    def copy(self, source: Any, target: Any, queue: Queue) -> None:  # noqa: ARG002 - all is done at once
        assert self._captured is None, "a copy in a graph of launches"
        assert isinstance(source, DeviceArray) != isinstance(target, DeviceArray)
        target[...] = source

    def launch(
        self,
        function: Any,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
    ) -> None:
        if self._captured is not None:
            self._captured.append((function, grid, block, tuple(arguments), shared_bytes))
            return
        self.launches += 1
        super().launch(function, grid, block, arguments, shared_bytes)

    def record(self, queue: Queue) -> Any:
        return queue

    def wait(self, queue: Queue, event: Any) -> None:
        assert event is not None

    def finish(self, event: Any) -> None:
        assert event is not None

    def happened(self, event: Any) -> bool:
        assert event is not None
        return False

    def capture(self, launches: Callable[[], None]) -> Any:
        self._captured = captured = []
        launches()
        self._captured = None
        self.graphs += 1
        return captured

    def replay(self, graph: Any) -> None:
        self.replays += 1
        for function, grid, block, arguments, shared_bytes in graph:
            super().launch(function, grid, block, arguments, shared_bytes)

    def adopt(self, array: Any) -> Any:
        return array if isinstance(array, DeviceArray) else None

    def address(self, array: Any) -> int:
        return int(array.ctypes.data)

    def free_bytes(self) -> int:
        return self._free_bytes

    def close(self) -> None:
        pass
