"""The first GPU's memory, a stream and its clock through the driver alone, for libraries that bring no such things."""

from __future__ import annotations

import ctypes
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from kernels.backends.driver import DRIVER_LIBRARY
from kernels.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

# CUdevice_attribute of the CUDA Driver API
MAX_THREADS_PER_BLOCK: Final = 1
MAX_SHARED_MEMORY_PER_BLOCK: Final = 8
MULTIPROCESSOR_COUNT: Final = 16
L2_CACHE_SIZE: Final = 38
MAX_THREADS_PER_MULTIPROCESSOR: Final = 39
COMPUTE_CAPABILITY_MAJOR: Final = 75
COMPUTE_CAPABILITY_MINOR: Final = 76

NON_BLOCKING: Final = 1
"""CU_STREAM_NON_BLOCKING: a stream that does not wait for the default one."""
PITCH_BYTES: Final = 256
"""Rows begin at multiples of it."""
ROUNDS: Final = 20
WARM_UP_ROUNDS: Final = 3
CACHES: Final = 3
"""Frames take turns in memory of at least this many times the last-level cache: none is still there at its next."""
_RELAXED: Final = 2
"""CU_STREAM_CAPTURE_MODE_RELAXED: a library may ask the runtime about the device while it is captured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """Samples of 8 bits in the GPU's memory."""

    address: int
    width: int
    """Bytes of a row that are picture."""
    height: int
    pitch: int
    """Bytes from a row to the next."""


def turns_of(cache_bytes: int, frame_bytes: int) -> int:
    """How many frames take turns, of `frame_bytes` each."""
    return max(2, -(-CACHES * cache_bytes // frame_bytes))


@dataclass(slots=True)
class Gpu:
    """Device 0 in its primary context, which all CUDA libraries of a process share; what it gave goes at the end.

    Raises `UnavailableError` naming the driver's call that fails, and its status.
    """

    stream: int = 0
    """CUstream."""
    _driver: Any = None
    _device: int = 0
    _blocks: list[int] = field(default_factory=list)

    def __enter__(self) -> Self:
        try:
            self._driver = ctypes.CDLL(DRIVER_LIBRARY)
        except OSError as error:
            raise UnavailableError(f"no NVIDIA driver library ({DRIVER_LIBRARY})") from error
        device, context, stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._device = device.value
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxPushCurrent_v2", context)
        self._call("cuStreamCreate", ctypes.byref(stream), NON_BLOCKING)
        self.stream = stream.value or 0
        return self

    def __exit__(self, *_: object) -> None:
        # Nothing is checked here: after a fault every call fails, and the first failure is the one to tell.
        self._driver.cuStreamSynchronize(ctypes.c_void_p(self.stream))
        for block in self._blocks:
            self._driver.cuMemFree_v2(ctypes.c_uint64(block))
        self._driver.cuStreamDestroy_v2(ctypes.c_void_p(self.stream))
        self._driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        self._driver.cuDevicePrimaryCtxRelease_v2(self._device)

    def attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, self._device)
        return value.value

    def noise(self, width: int, height: int) -> Plane:
        """A plane of random samples, the same each time."""
        plane = self.empty(width, height)
        samples = np.random.default_rng(1).integers(0, 256, plane.pitch * height, np.uint8)
        self._call(
            "cuMemcpyHtoD_v2",
            ctypes.c_uint64(plane.address),
            ctypes.c_void_p(samples.ctypes.data),
            ctypes.c_size_t(samples.nbytes),
        )
        return plane

    def empty(self, width: int, height: int) -> Plane:
        address, pitch = ctypes.c_uint64(), -(-width // PITCH_BYTES) * PITCH_BYTES
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(pitch * height))
        self._blocks.append(address.value)
        return Plane(address=address.value, width=width, height=height, pitch=pitch)

    def seconds(self, work: Callable[[], None]) -> float:
        """Of what `work` puts into the stream, by events around it, as one graph: the median of `ROUNDS`.

        No call of the host's is measured, as none is of ours.
        """
        work()  # what is loaded at the first call is loaded before the capture
        graph, begin, end = self._captured(work), ctypes.c_void_p(), ctypes.c_void_p()
        for event in (begin, end):
            self._call("cuEventCreate", ctypes.byref(event), 0)
        try:
            found = [self._once(graph, begin, end) for _ in range(WARM_UP_ROUNDS + ROUNDS)]
        finally:
            self._driver.cuGraphExecDestroy(graph)
            for event in (begin, end):
                self._driver.cuEventDestroy_v2(event)
        return statistics.median(found[WARM_UP_ROUNDS:])

    def _captured(self, work: Callable[[], None]) -> ctypes.c_void_p:
        """CUgraphExec."""
        stream, graph, ready = ctypes.c_void_p(self.stream), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", stream, _RELAXED)
        try:
            work()
        finally:
            status = self._driver.cuStreamEndCapture(stream, ctypes.byref(graph))
        if status:
            raise UnavailableError(f"what was to be timed cannot be captured in a graph (status {status})")
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
        finally:
            self._driver.cuGraphDestroy(graph)
        return ready

    def _once(self, graph: ctypes.c_void_p, begin: ctypes.c_void_p, end: ctypes.c_void_p) -> float:
        took_ms, stream = ctypes.c_float(), ctypes.c_void_p(self.stream)
        self._call("cuEventRecord", begin, stream)
        self._call("cuGraphLaunch", graph, stream)
        self._call("cuEventRecord", end, stream)
        self._call("cuEventSynchronize", end)
        self._call("cuEventElapsedTime", ctypes.byref(took_ms), begin, end)
        return took_ms.value / 1000

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._driver, name)(*arguments)
        if status:
            raise UnavailableError(f"{name} fails with status {status}; see `runner doctor`")
