"""What runs on a GPU, as plain values: no CUDA library is met here.

An operation declares its launches; `kernels.device_plan` joins them with buffers; an `Engine` runs them. Every plane
kernel has one signature:

    extern "C" __global__ void entry(
        const SAMPLE_IN *source, int source_pitch, long long source_frame,
        SAMPLE_OUT *target, int target_pitch, long long target_frame, ...arguments)

`*_pitch` is the distance of two rows and `*_frame` of two frames of a batch, in elements; `blockIdx.z` is the frame of
the batch. SAMPLE_IN, SAMPLE_OUT, STEP_IN and STEP_OUT (see cuda/include/plane.cuh) are defined by whoever knows where
the planes lie: a kernel is written once for 8 and 16 bits, for planar and interleaved chroma.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    Argument = np.generic | NDArray[Any]
    """A typed scalar (np.int32, np.float32: never a bare Python number), or a constant table, passed as a pointer to
    its copy on the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One entry point to compile."""

    source: str
    """Name of a file in `kernels/cuda` ('cas.cu'), or the text of a generated one (which has line breaks)."""
    entry: str
    defines: tuple[tuple[str, str | int], ...] = ()
    """Macros (-D), sorted by name: two equal kernels are compiled once."""
    exact: bool = False
    """Compiled without contraction (`--fmad=false`): for kernels that agree with the CPU to the last bit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneLaunch:
    """One plane operation on one plane: what `Operation.cuda` returns for `Kind.PLANE`, None to pass it on."""

    kernel: Kernel
    grid: tuple[int, int]
    """Blocks along x and y; the frames of a batch lie along z."""
    block: tuple[int, int]
    """Threads along x and y, at most 1,024 together."""
    arguments: tuple[Argument, ...]
    """What follows the planes in the kernel's signature."""
    shared_bytes: int = 0
    """Dynamic shared memory of a block; static shared memory is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStep:
    """One pointwise step on the device: the function of that name in cuda/include/pointwise.cuh."""

    function: str
    params: NDArray[np.float32]
    first: int = 0
    last: int = 3
    """Runs on components `first <= c < last`."""


class Engine(Protocol):
    """Where launches run: a GPU through CuPy, or this machine's CPU under the tests' strict shim."""

    def load(self, kernel: Kernel) -> Any:
        """The compiled entry point. Raises `UnavailableError` naming the kernel when it does not compile."""
        ...

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        """Uninitialised device memory as an array (`shape`, `strides`, `dtype` as NumPy has them)."""
        ...

    def upload(self, array: NDArray[Any]) -> Any:
        """A copy of `array` on the device."""
        ...

    def download(self, array: Any) -> NDArray[Any]:
        """A copy of a device array on the host, complete when this returns."""
        ...

    def launch(
        self,
        function: Any,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
    ) -> None:
        """Queue one launch; device arrays are passed as pointers to their first element."""
        ...


class Queue(Enum):
    """A CUDA stream: what is in one runs in order, and beside the others."""

    UPLOAD = "to the device"
    COMPUTE = "on the device"
    DOWNLOAD = "from the device"
    CALLER = "the caller's current stream"


class FrameEngine(Engine, Protocol):
    """An engine that whole frames go through: memory by the block, copies beside launches, graphs of launches.

    Launches, copies, replays, events and waits are made within `current`.
    """

    def current(self) -> AbstractContextManager[object]:
        """Makes the engine's device the calling thread's current one, and then the thread's own again."""
        ...

    def pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        """Host memory that copies reach while launches run."""
        ...

    def view(
        self, memory: Any, offset_bytes: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Any:
        """An array in a flat block of device memory; `strides` in bytes."""
        ...

    def lend(self, array: Any, owner: object) -> Any:
        """The same device array as an object that keeps `owner` alive, as does all that is made from it."""
        ...

    def copy(self, source: Any, target: Any, queue: Queue) -> None:
        """Queue the copy of a flat block, one side of which is on the device."""
        ...

    def record(self, queue: Queue, event: Any = None) -> Any:
        """An event: the moment at which all that is in `queue` now is done.

        `event` is one of before, which stands for that moment from here on; waits for it that are queued already stay
        what they were.
        """
        ...

    def wait(self, queue: Any, event: Any) -> None:
        """Let what is queued from here on wait for `event`; `queue` is a `Queue`, or a stream of the engine's."""
        ...

    def finish(self, event: Any) -> None:
        """Return when `event` has happened."""
        ...

    def happened(self, event: Any) -> bool:
        """Whether `event` has happened."""
        ...

    def capture(self, launches: Callable[[], None]) -> Any:
        """The launches that `launches` makes, as a graph; none of them runs."""
        ...

    def replay(self, graph: Any) -> None:
        """Queue the launches of `graph` at once."""
        ...

    def adopt(self, array: Any) -> Any:
        """`array` as an array of this engine without a copy, or None for what does not lie on the device.

        Takes what has `__cuda_array_interface__` or `__dlpack__`.
        """
        ...

    def address(self, array: Any) -> int:
        """Where the first element lies."""
        ...

    def free_bytes(self) -> int:
        """Device memory that can still be had."""
        ...

    def close(self) -> None:
        """Give back what the engine holds; its arrays stay valid as long as someone holds them."""
        ...
