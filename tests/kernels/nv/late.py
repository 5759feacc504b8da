"""A CUDA stream that is far behind what is asked of it: what does not wait for it is seen to be wrong."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Generator

    from kernels.frame import Frame

_WAIT: Final = """extern "C" __global__ void wait(long long cycles) {
    for (long long begin = clock64(); clock64() - begin < cycles;) {
    }
}"""
CYCLES: Final = 20_000_000
"""About 10 ms."""


@contextmanager
def late_stream() -> Generator[None]:
    """The current stream, which waits for no other, with 10 ms of work in it."""
    import cupy

    with cupy.cuda.Stream(non_blocking=True) as stream:
        cupy.RawKernel(_WAIT, "wait")((1,), (1,), (cupy.int64(CYCLES),))
        yield
    stream.synchronize()


def made_late(frame: Frame, reader: Any) -> Frame:
    """`frame` on the GPU, whose samples come only when the current stream gets to it; `reader` waits for that."""
    import cupy

    sources = [cupy.asarray(plane) for plane in frame.planes]
    made = tuple(cupy.zeros_like(source) for source in sources)
    cupy.cuda.get_current_stream().synchronize()
    cupy.RawKernel(_WAIT, "wait")((1,), (1,), (cupy.int64(CYCLES // 4),))
    for source, plane in zip(sources, made, strict=True):
        plane[...] = source
    reader.wait_event(cupy.cuda.get_current_stream().record())
    return frame.replace(planes=made)
