"""What a frame costs the host between the device's codecs: the executor on an engine that does nothing.

A GPU adds the engine's own calls: three waits, two events, one graph and one array for each plane.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.conftest import keep
from kernels.backends.device import DeviceExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import pixel_format
from kernels.plan import plan_chain
from kernels.surface import Layout

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


@pytest.mark.parametrize("chain", sorted(CHAINS))
def test_host_time(benchmark: BenchmarkFixture, chain: str) -> None:
    source = VideoFormat(width=1920, height=1080, pixel_format=pixel_format("yuv420p"))
    plan = plan_chain(source, parse_chain(CHAINS[chain], CATALOGUE))
    engine = NullEngine()
    frames = []
    for index in range(SURFACES):
        luma, pairs = np.empty((1080, 1920), np.uint8), np.empty((540, 1920), np.uint8)
        planes = (luma, pairs[:, 0::2], pairs[:, 1::2])
        engine.addresses |= {id(plane): plane.ctypes.data for plane in planes}
        frames.append(Frame(planes=planes, format=plan.source, index=index))
    executor = DeviceExecutor(plan, engine, source=Layout.SEMIPLANAR, target=Layout.SEMIPLANAR)
    found: list[float] = []

    def run() -> None:
        begin = time.thread_time()
        for i in range(FRAMES):
            executor.run(frames[i % SURFACES])
        found.append((time.thread_time() - begin) / FRAMES)

    run()
    found.clear()
    pedantic: Callable[..., object] = benchmark.pedantic
    pedantic(run, rounds=7, iterations=1)
    assert engine.replays > FRAMES, "graphs are replayed"
    median_s = sorted(found)[len(found) // 2]
    keep(
        {
            "name": f"host-time-{chain.lower()}",
            "what": f"processor time of one NV12 frame in DeviceExecutor beside the engine's calls: {CHAINS[chain]}",
            "ours_s": round(median_s, 9),
            "goal": GOAL_S,
            "ours_rounds_s": [round(seconds, 9) for seconds in found],
        }
    )
