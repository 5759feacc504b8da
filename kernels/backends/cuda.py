"""Launches on an NVIDIA GPU through CuPy: the `FrameEngine` of real devices, and the executor on it."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import cupy
import numpy as np

from kernels import cubins
from kernels.backends.device import DeviceExecutor
from kernels.device_plan import RING
from kernels.errors import FormatError, KernelsError, UnavailableError
from kernels.launch import Queue

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from kernels.backends.device_batches import Batch
    from kernels.launch import Kernel
    from kernels.plan import Plan
    from kernels.surface import Layout

DEFAULT_SHARED_BYTES: Final = 48 << 10
"""Dynamic shared memory that a kernel may use without asking for more."""
_DLPACK_CUDA: Final = 2  # kDLCUDA of dlpack.h
_FAILED: Final = "the GPU failed"
_FAULTS: Final = (
    cupy.cuda.compiler.CompileException,
    cupy.cuda.driver.CUDADriverError,
    cupy.cuda.memory.OutOfMemoryError,
    cupy.cuda.runtime.CUDARuntimeError,
    RuntimeError,
)
_NOTHING_TO_DO: Final = nullcontext()


class CudaExecutor(DeviceExecutor):
    """A plan on this machine's GPU; see `DeviceExecutor`."""

    def __init__(
        self,
        plan: Plan,
        *,
        source: Layout | None = None,
        target: Layout | None = None,
        batch: int | None = None,
        ring: int = RING,
        **options: Any,
    ) -> None:
        super().__init__(plan, engine(), source=source, target=target, batch=batch, ring=ring, **options)

    def close(self) -> None:
        with _translated(_FAILED):
            super().close()

    def _submit(self, batch: Batch) -> Any:
        try:
            return super()._submit(batch)
        except KernelsError:
            raise
        except _FAULTS as error:  # whichever call comes first after a fault on the device is told of it
            raise _unavailable(_FAILED, error) from error


@cache
def engine() -> CupyEngine:
    """The engine of the first visible GPU (CUDA_VISIBLE_DEVICES picks another), one for the process.

    Raises `UnavailableError` where there is none.
    """
    with _translated("no GPU can be used"):
        return CupyEngine()


class CupyArrays:
    """What an engine does with CuPy's arrays. It asks the driver nothing, and needs no GPU."""

    def __init__(self, device_id: int, *, has_no_other: bool) -> None:
        self._device_id = device_id
        self._has_no_other = has_no_other
        """Whether every array on a device lies on this one."""

    def view(
        self, memory: Any, offset_bytes: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Any:
        return cupy.ndarray(shape, dtype, memptr=memory.data + offset_bytes, strides=strides)

    def lend(self, array: Any, owner: object) -> Any:
        memory = cupy.cuda.UnownedMemory(array.data.ptr, array.nbytes, (array, owner), self._device_id)
        return cupy.ndarray(array.shape, array.dtype, cupy.cuda.MemoryPointer(memory, 0), array.strides)

    def adopt(self, array: Any) -> Any:
        if isinstance(array, cupy.ndarray):
            return array if self._has_no_other else self._found_here(array)
        if isinstance(array, np.ndarray):
            return None
        device = getattr(array, "__dlpack_device__", None)
        if device is not None and device()[0] == _DLPACK_CUDA:
            # First, since it settles on which streams arrays are made and read; the interface below may leave it open.
            try:
                array = cupy.from_dlpack(array)
            except BufferError as error:
                raise FormatError(f"an array on the GPU does not let others have it: {error}") from error
        elif hasattr(array, "__cuda_array_interface__"):
            array = cupy.asarray(array)
        else:
            return None
        return self._found_here(array)

    def _found_here(self, array: Any) -> Any:
        lies_on = array.data.device_id
        if lies_on != self._device_id:
            raise UnavailableError(
                f"an array lies on GPU {lies_on}, and this process works on GPU {self._device_id} alone: "
                "copy it there, or let CUDA_VISIBLE_DEVICES name that other one only"
            )
        return array

    def address(self, array: Any) -> int:
        return int(array.data.ptr)


class CupyEngine(CupyArrays):
    """Three streams of its own beside the caller's; device memory from CuPy's pool."""

    def __init__(self) -> None:
        device = cupy.cuda.Device(0)
        super().__init__(int(device.id), has_no_other=int(cupy.cuda.runtime.getDeviceCount()) == 1)
        self._architecture = int(device.compute_capability)
        with device:
            self._streams = {
                queue: cupy.cuda.Stream(non_blocking=True) for queue in (Queue.UPLOAD, Queue.COMPUTE, Queue.DOWNLOAD)
            }
        self._capturing = threading.local()
        """`stream`: what this thread captures on, if it does."""
        self._loaded: dict[Kernel, Any] = {}
        properties = cupy.cuda.runtime.getDeviceProperties(self._device_id)
        self.name = str(properties["name"].decode(errors="replace"))
        self.cache_bytes = int(properties["l2CacheSize"])

    def current(self) -> AbstractContextManager[object]:
        # What happens for every frame asks the driver nothing where every thread's device is this one.
        return _NOTHING_TO_DO if self._has_no_other else cupy.cuda.Device(self._device_id)

    def load(self, kernel: Kernel) -> Any:
        """The compiled entry point: a cubin made beforehand, else from CuPy's cache, else compiled now."""
        if kernel not in self._loaded:
            with _translated(f"kernel {kernel.entry} cannot be loaded for sm_{self._architecture}"), self.current():
                self._loaded[kernel] = cubins.load(kernel, self._architecture, _open, _compile)
        return self._loaded[kernel]

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        with _translated(f"{np.prod(shape) * dtype.itemsize >> 20} MiB of GPU memory cannot be had"), self.current():
            memory = cupy.empty(shape, dtype)
            # CuPy may have had it back from work that its stream, which ours do not wait for, has yet to do.
            cupy.cuda.get_current_stream().synchronize()
            return memory

    def upload(self, array: NDArray[Any]) -> Any:
        with _translated(f"{array.nbytes >> 20} MiB cannot be brought to the GPU"), self.current():
            uploaded = cupy.asarray(array)
            cupy.cuda.get_current_stream().synchronize()  # our streams do not wait for that one
        return uploaded

    def download(self, array: Any) -> NDArray[Any]:
        self._streams[Queue.COMPUTE].synchronize()
        return np.asarray(cupy.asnumpy(array))

    def launch(
        self,
        function: Any,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
    ) -> None:
        if shared_bytes > DEFAULT_SHARED_BYTES and function.max_dynamic_shared_size_bytes < shared_bytes:
            function.max_dynamic_shared_size_bytes = shared_bytes
        with getattr(self._capturing, "stream", None) or self._streams[Queue.COMPUTE]:
            function(grid, block, tuple(arguments), shared_mem=shared_bytes)

    def pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        with _translated(f"{size_bytes >> 20} MiB of pinned memory cannot be had"), self.current():
            memory = cupy.cuda.alloc_pinned_memory(size_bytes)
        return np.frombuffer(memory, np.uint8, size_bytes)

    def copy(self, source: Any, target: Any, queue: Queue) -> None:
        stream = self._streams[queue]
        if isinstance(source, np.ndarray):
            target.data.copy_from_host_async(source.ctypes.data, source.nbytes, stream)
        else:
            source.data.copy_to_host_async(target.ctypes.data, target.nbytes, stream)

    def record(self, queue: Queue, event: Any = None) -> Any:
        if event is None:
            # A thread that waits for it sleeps: the cores are needed by codecs.
            event = cupy.cuda.Event(block=True, disable_timing=True)
        event.record(self._stream(queue))
        return event

    def wait(self, queue: Any, event: Any) -> None:
        self._stream(queue).wait_event(event)

    def finish(self, event: Any) -> None:
        try:
            event.synchronize()
        except _FAULTS as error:
            raise _unavailable(_FAILED, error) from error

    def happened(self, event: Any) -> bool:
        return bool(event.done)

    def capture(self, launches: Callable[[], None]) -> Any:
        # On a stream of its own: other threads go on queueing work, which must not get into the graph.
        stream = self._capturing.stream = cupy.cuda.Stream(non_blocking=True)
        try:
            stream.begin_capture()
            try:
                launches()
            finally:
                graph = stream.end_capture()
        finally:
            self._capturing.stream = None
        return graph

    def replay(self, graph: Any) -> None:
        graph.launch(self._streams[Queue.COMPUTE])

    def seconds(self, work: Callable[[], None]) -> float:
        """How long the GPU takes for what `work` puts into the compute queue."""
        stream = self._streams[Queue.COMPUTE]
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record(stream)
        work()
        end.record(stream)
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(begin, end)) / 1000

    def duplicate(self, source: Any, target: Any) -> None:
        target.data.copy_from_device_async(source.data, source.nbytes, self._streams[Queue.COMPUTE])

    def free_bytes(self) -> int:
        """Of the device, and what CuPy's pool holds unused."""
        with self.current():
            free, _ = cupy.cuda.Device(self._device_id).mem_info
            return int(free) + int(cupy.get_default_memory_pool().free_bytes())

    def close(self) -> None:
        for stream in self._streams.values():
            stream.synchronize()

    def _stream(self, queue: Any) -> Any:
        if queue is Queue.CALLER:
            return cupy.cuda.get_current_stream()
        return self._streams[queue] if isinstance(queue, Queue) else queue


def _open(path: Path, kernel: Kernel) -> Any:
    """`kernel` from machine code made beforehand."""
    return cupy.RawModule(path=str(path)).get_function(kernel.entry)


def _compile(kernel: Kernel) -> Any:
    """`kernel` from CuPy's cache, else compiled now."""
    options = (*cubins.options_of(kernel), f"-DHEADERS_DIGEST=0x{cubins.headers_digest()}")
    return cupy.RawModule(code=cubins.source_of(kernel), options=options).get_function(kernel.entry)


@contextmanager
def _translated(what: str) -> Generator[None]:
    """CuPy's errors as ours, in one line."""
    try:
        yield
    except KernelsError:  # some are RuntimeErrors, too
        raise
    except _FAULTS as error:
        raise _unavailable(what, error) from error


def _unavailable(what: str, error: Exception) -> UnavailableError:
    first = next((line for line in str(error).splitlines() if "error" in line.lower()), str(error).split("\n")[0])
    return UnavailableError(f"{what}: {first.strip()}", advice="use --backend cpu, or see `runner doctor`")
