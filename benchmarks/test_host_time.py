"""What a frame costs the host between the device's codecs: the executor on an engine that does nothing.

With CuPy, where it is installed, arrays are its own: it asks no driver for views, owners and addresses. No row contains
a driver's calls: for every batch one event is recorded and asked for, one stream made to wait and one graph launched.
On the decoder's thread it is one copy a frame, and one event that is recorded and waited for.
"""

from __future__ import annotations

import importlib
import time
from contextlib import nullcontext
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.conftest import keep
from kernels.backends.device import DeviceExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.frame import Frame, VideoFormat
from kernels.io.nvdec_memory import DeviceMemory as DecodedMemory
from kernels.io.nvenc import DeviceMemory as EncodedMemory
from kernels.pixel_format import pixel_format
from kernels.plan import plan_chain
from kernels.surface import Layout, row_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from pytest_benchmark.fixture import BenchmarkFixture

    from kernels.launch import Kernel, Queue

FRAMES = 5000
SURFACES = 4
"""That a decoder hands out by turns."""
GOAL_S = 20e-6
CHAINS = {
    "A": "scale=iw*2:ih*2:flags=lanczos,cas=0.6,format=yuv420p",
    "B": "eq=contrast=1.1,eq=brightness=0.02,colorspace=range=pc,eq=saturation=1.2,eq=gamma=1.1",
}


class NullEngine:
    """Takes everything and does nothing. Addresses are looked up: NumPy is slower than CuPy to tell them."""

    def __init__(self) -> None:
        self.addresses: dict[int, int] = {}
        self.replays = 0

    def current(self) -> AbstractContextManager[object]:
        return nullcontext()

    def load(self, kernel: Kernel) -> Kernel:
        return kernel

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        return array

    def download(self, array: NDArray[Any]) -> NDArray[Any]:
        return array

    def launch(self, *given: object) -> None:
        pass

    def pinned(self, size_bytes: int) -> NDArray[np.uint8]:
        return np.empty(size_bytes, np.uint8)

    def view(self, memory: Any, offset: int, shape: Any, strides: Any, dtype: Any) -> NDArray[Any]:
        return np.ndarray(shape, dtype, memory.data, offset, strides)

    def lend(self, array: Any, owner: object) -> Any:  # noqa: ARG002 - nobody keeps these
        return array

    def copy(self, source: Any, target: Any, queue: Queue) -> None:
        pass

    def record(self, queue: Queue, event: Any = None) -> Queue:  # noqa: ARG002 - nothing happens
        return queue

    def wait(self, queue: Any, event: Any) -> None:
        pass

    def finish(self, event: Any) -> None:
        pass

    def happened(self, event: Any) -> bool:  # noqa: ARG002 - at once
        return True

    def capture(self, launches: Callable[[], None]) -> Sequence[object]:
        launches()
        return ()

    def replay(self, graph: object) -> None:  # noqa: ARG002 - there is nothing to queue
        self.replays += 1

    def adopt(self, array: Any) -> Any:
        return array

    def address(self, array: Any) -> int:
        return self.addresses.get(id(array)) or int(array.ctypes.data)

    def free_bytes(self) -> int:
        return 1 << 40

    def close(self) -> None:
        pass


class CupyEngine(NullEngine):
    """Takes CuPy's arrays, in memory of this machine, and does nothing with them."""

    def __init__(self) -> None:
        super().__init__()
        from kernels.backends.cuda import CupyArrays

        arrays = CupyArrays(0, has_no_other=True)
        self.view = arrays.view  # type: ignore[assignment, method-assign]
        self.lend = arrays.lend  # type: ignore[method-assign]
        self.adopt, self.address = arrays.adopt, arrays.address  # type: ignore[method-assign]

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        import cupy

        memory = np.empty(shape, dtype)
        owned = cupy.cuda.UnownedMemory(memory.ctypes.data, memory.nbytes, memory, 0)
        return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(owned, 0))

    def upload(self, array: NDArray[Any]) -> Any:
        return self.empty(array.shape, array.dtype)


def decoded(engine: NullEngine, format_: VideoFormat, count: int, together: int) -> list[Frame]:
    """Frames as NVDEC's lie: `together` of them behind each other in one block."""
    height, width = format_.height, format_.width
    pitch = row_bytes(width)
    size = height * 3 // 2 * pitch
    u8 = np.dtype(np.uint8)
    frames = []
    for index in range(count):
        if index % together == 0:
            block = engine.empty((together * size,), u8)
        at = index % together * size
        places = ((at, (height, width), 1), *((at + height * pitch + c, (height // 2, width // 2), 2) for c in (0, 1)))
        planes = tuple(engine.view(block, offset, shape, (pitch, step), u8) for offset, shape, step in places)
        if isinstance(planes[0], np.ndarray):
            engine.addresses |= {id(plane): plane.ctypes.data for plane in planes}
        frames.append(Frame(planes=planes, format=format_, index=index))
    return frames


@pytest.mark.parametrize("size", [(1920, 1080), (640, 360)], ids=["1080p", "360p"])
@pytest.mark.parametrize("arrays", ["", "cupy"])
@pytest.mark.parametrize("chain", sorted(CHAINS))
def test_host_time(benchmark: BenchmarkFixture, chain: str, arrays: str, size: tuple[int, int]) -> None:
    if arrays and find_spec("cupy") is None:
        pytest.skip("no CuPy here")  # an optional extra: these rows need its arrays, the others do not
    source = VideoFormat(width=size[0], height=size[1], pixel_format=pixel_format("yuv420p"))
    plan = plan_chain(source, parse_chain(CHAINS[chain], CATALOGUE))
    engine = CupyEngine() if arrays else NullEngine()
    ends: dict[str, Any] = {"source": Layout.SEMIPLANAR, "target": Layout.SEMIPLANAR}
    executor = DeviceExecutor(plan, engine, **ends, batch=None, complete=True, reader="the encoder's")
    frames = decoded(engine, source, SURFACES * executor.batch, executor.batch)
    found: list[float] = []

    def run() -> None:
        begin = time.thread_time()
        for _ in executor.stream(frames[i % len(frames)] for i in range(FRAMES)):
            pass
        found.append((time.thread_time() - begin) / FRAMES)

    run()
    found.clear()
    pedantic: Callable[..., object] = benchmark.pedantic
    pedantic(run, rounds=7, iterations=1)
    assert engine.replays > FRAMES // executor.batch, "graphs are replayed"
    small = "" if size == (1920, 1080) else f"-{size[1]}p"
    beside = "the driver's calls, with CuPy's arrays" if arrays else "the engine's calls"
    frame = f"one NV12 frame of {size[0]}x{size[1]}" + (f", {executor.batch} together," * (executor.batch > 1))
    name = f"host-time-{chain.lower()}{small}{'-cupy' if arrays else ''}"
    _keep(name, f"processor time of {frame} in DeviceExecutor beside {beside}: {CHAINS[chain]}", found)


class NullStream:
    """As CuPy's: nothing is queued."""

    ptr = 0

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class NullEvent:
    def __init__(self, **_: object) -> None:
        pass

    def record(self, stream: object) -> None:
        pass

    def synchronize(self) -> None:
        pass


def cupy_without_driver(surface: Any) -> Any:
    """CuPy's arrays; `surface` is what DLPack gives, for nothing."""
    import cupy

    def alloc(size_bytes: int) -> Any:
        memory = np.empty(size_bytes, np.uint8)
        return cupy.cuda.MemoryPointer(cupy.cuda.UnownedMemory(memory.ctypes.data, size_bytes, memory, 0), 0)

    runtime = SimpleNamespace(memcpy2DAsync=lambda *_: None)
    return SimpleNamespace(
        ndarray=cupy.ndarray,
        lib=cupy.lib,
        from_dlpack=lambda _: surface,
        cuda=SimpleNamespace(alloc=alloc, Event=NullEvent, runtime=runtime),
    )


@pytest.mark.parametrize("direction", ["decoder", "encoder"])
def test_host_time_beside_a_codec(benchmark: BenchmarkFixture, direction: str) -> None:
    """Of a frame from NVDEC's surface into memory of its own, and of one handed to NVENC where it lies."""
    if find_spec("cupy") is None:
        pytest.skip("no CuPy here")  # an optional extra: these rows need its arrays, the others do not
    format_ = VideoFormat(width=1920, height=1080, pixel_format=pixel_format("yuv420p"))
    surface = CupyEngine().empty((1620, 1920), np.dtype(np.uint8))
    cupy = cupy_without_driver(surface)
    decoder, encoder = DecodedMemory(cupy, NullStream()), EncodedMemory(cupy, NullStream())
    frame = Frame(planes=decoder.planes(surface, format_), format=format_)
    found: list[float] = []

    def decode() -> None:
        decoder.planes(surface, format_)

    def encode() -> None:
        encoder.surface(frame)
        encoder.taken(frame)

    work = decode if direction == "decoder" else encode

    def run() -> None:
        begin = time.thread_time()
        for _ in range(FRAMES):
            work()
        found.append((time.thread_time() - begin) / FRAMES)

    run()
    found.clear()
    pedantic: Callable[..., object] = benchmark.pedantic
    pedantic(run, rounds=7, iterations=1)
    beside = "DLPack, copy and events" if direction == "decoder" else "events"
    what = f"processor time of one 1080p NV12 frame in the {direction}'s DeviceMemory beside the codec, {beside}"
    _keep(f"host-time-{direction}-cupy", what, found)


def _keep(name: str, what: str, found: list[float]) -> None:
    median_s = sorted(found)[len(found) // 2]
    rounds = [round(seconds, 9) for seconds in found]
    row: dict[str, object] = {"name": name, "what": what, "ours_s": round(median_s, 9), "goal": GOAL_S}
    if name.endswith("-cupy"):
        row["cupy"] = importlib.import_module("cupy").__version__
    keep({**row, "ours_rounds_s": rounds})
