"""Frame buffers that are used again: allocating 12 MB a frame costs more page faults than filtering it."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.frame import Plane


class BufferPool:
    """Hands out arrays and takes each back when nobody refers to it any more.

    Holding an array, a view of it or a DLPack capsule made from it keeps the buffer out of the pool, so a
    frame may be kept for as long as its receiver likes.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[NDArray[np.uint8]]] = {}
        # Reentrant: a finalizer may run inside `empty` when the garbage collector strikes there.
        self._lock = threading.RLock()

    def empty(self, shape: tuple[int, int], dtype: np.dtype[np.uint8] | np.dtype[np.uint16]) -> Plane:
        """A C-contiguous array of `shape` (rows, columns) with arbitrary content."""
        size_bytes = shape[0] * shape[1] * dtype.itemsize
        with self._lock:
            spare = self._free.get(size_bytes)
            memory = spare.pop() if spare else np.empty(size_bytes, np.uint8)
        # The memoryview keeps NumPy from making the pooled memory itself the base of every view: `owner` is
        # the base instead, and its death marks the end of this use.
        owner: Plane = np.frombuffer(memoryview(memory.data), dtype)
        weakref.finalize(owner, self._give_back, memory).atexit = False
        return owner.reshape(shape)

    def _give_back(self, memory: NDArray[np.uint8]) -> None:
        with self._lock:
            self._free.setdefault(memory.nbytes, []).append(memory)


class _Lent:
    """An array's memory with an owner: NumPy keeps the object that memory came from."""

    def __init__(self, array: NDArray[Any], owner: object) -> None:
        self.__array_interface__ = array.__array_interface__
        self._kept = (array, owner)


def lend(array: NDArray[Any], owner: object) -> NDArray[Any]:
    """The same array as one that keeps `owner` alive, as does every view of it."""
    return np.asarray(_Lent(array, owner))
