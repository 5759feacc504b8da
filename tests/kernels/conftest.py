"""Whole frames through chains: ours, and FFmpeg's program as the oracle."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pytest

from kernels.backends.cpu import CpuExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.color import Color
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import pixel_format
from kernels.plan import plan_chain

if TYPE_CHECKING:
    from kernels.pixel_format import PixelFormat


class ChainRunner(Protocol):
    """`run(chain, frame)`: the frame that our chain makes."""

    def __call__(self, chain: str, frame: Frame, *, out: str | None = None, threads: int = 2) -> Frame: ...


class FFmpegChain(Protocol):
    """`run(chain, frame, out)`: the planes, in pixel format `out`, that the ffmpeg program makes of `frame`."""

    def __call__(self, chain: str, frame: Frame, out: VideoFormat) -> list[np.ndarray]: ...


class FrameMaker(Protocol):
    """`make(name, width, height)`: a frame of seeded, smooth-and-noisy content.

    `reach` is the part of the code range around its middle that the content stays in.
    """

    def __call__(
        self, name: str, width: int = 61, height: int = 37, color: Color | None = None, reach: float = 1.0
    ) -> Frame: ...


@pytest.fixture(scope="session")
def compiler() -> str:
    """Path of g++, which runs CUDA kernels on the CPU (see `cuda/module.py`)."""
    found = shutil.which("g++")
    if found is None:
        pytest.skip("no g++ (Debian and Ubuntu: apt-get install g++)")
    return found


@pytest.fixture
def make_frame(rng: np.random.Generator) -> FrameMaker:
    def make(name: str, width: int = 61, height: int = 37, color: Color | None = None, reach: float = 1.0) -> Frame:
        layout = pixel_format(name)
        form = VideoFormat(width=width, height=height, pixel_format=layout, color=color or Color())
        planes = tuple(_content(rng, layout, form.plane_size(i), reach) for i in range(layout.plane_count))
        return Frame(planes=planes, format=form)

    return make


def _content(rng: np.random.Generator, layout: PixelFormat, size: tuple[int, int], reach: float) -> np.ndarray:
    """Ramps with noise on them, and the extremes in the corners."""
    peak = (1 << layout.depth) - 1
    y, x = np.mgrid[: size[0], : size[1]]
    ramp = (x / max(size[1] - 1, 1) + y / max(size[0] - 1, 1)) / 2
    plane = np.clip(ramp + rng.normal(0, 1 / 8, size), 0, 1)
    plane[0, 0], plane[-1, -1] = 0, 1
    codes: np.ndarray = ((0.5 + (plane - 0.5) * reach) * peak).round().astype(layout.dtype)
    return codes


@pytest.fixture(scope="session")
def run_chain() -> ChainRunner:
    def run(chain: str, frame: Frame, *, out: str | None = None, threads: int = 2) -> Frame:
        wanted = pixel_format(out) if out else None
        plan = plan_chain(frame.format, parse_chain(chain, CATALOGUE), pixel_format=wanted)
        with CpuExecutor(plan, threads=threads) as executor:
            return executor.run(frame)

    return run


@pytest.fixture(scope="session")
def ffmpeg_chain(ffmpeg: str) -> FFmpegChain:
    def run(chain: str, frame: Frame, out: VideoFormat) -> list[np.ndarray]:
        names = [_ffmpeg_name(f.pixel_format) for f in (frame.format, out)]
        size = f"{frame.width}x{frame.height}"
        command = [ffmpeg, "-v", "error", "-f", "rawvideo", "-pix_fmt", names[0], "-s", size, "-i", "-"]
        command += ["-vf", f"{chain},format={names[1]}", "-f", "rawvideo", "-pix_fmt", names[1], "-"]
        data = b"".join(plane.tobytes() for plane in frame.planes)
        done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return _planes(done.stdout, out)

    return run


def _ffmpeg_name(layout: PixelFormat) -> str:
    return layout.name if layout.depth == 8 else f"{layout.name}le"


def _planes(data: bytes, form: VideoFormat) -> list[np.ndarray]:
    planes, at = [], 0
    dtype = form.pixel_format.dtype
    for i in range(form.pixel_format.plane_count):
        rows, columns = form.plane_size(i)
        count = rows * columns
        planes.append(np.frombuffer(data, dtype, count, at).reshape(rows, columns))
        at += count * dtype.itemsize
    assert at == len(data)
    return planes
