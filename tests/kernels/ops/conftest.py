"""Two ways to run a filter on bare arrays: ours, one plane at a time, and FFmpeg's inside PyAV."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import av
import av.filter
import numpy as np
import pytest

from kernels.frame import VideoFormat
from kernels.operation import PlaneFormat
from kernels.pixel_format import pixel_format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.frame import Plane
    from kernels.operation import Operation
    from kernels.options import Params


class FFmpegFilter(Protocol):
    """`run(planes, pix_fmt, chain)`: the planes that FFmpeg's filter chain makes of one frame."""

    def __call__(self, planes: Sequence[Plane], pix_fmt: str, chain: str) -> list[Plane]: ...


class PlaneRunner(Protocol):
    """`run(operation, params, plane, pix_fmt, …)`: what a plane operation makes of `plane`."""

    def __call__(
        self,
        operation: Operation,
        params: Params,
        plane: Plane,
        pix_fmt: str = "gray",
        *,
        component: int = 0,
        shift: tuple[int, int] = (0, 0),
        depth_out: int | None = None,
        bands: Sequence[int] = (),
        spare: int = 5,
    ) -> Plane | None: ...


class NoiseMaker(Protocol):
    """`noise(height, width, depth)`: a plane of evenly spread codes."""

    def __call__(self, height: int, width: int, depth: int = 8) -> Plane: ...


@pytest.fixture
def noise(rng: np.random.Generator) -> NoiseMaker:
    def make(height: int, width: int, depth: int = 8) -> Plane:
        codes = rng.integers(0, 1 << depth, (height, width))
        return codes.astype(np.uint8) if depth == 8 else codes.astype(np.uint16)

    return make


@pytest.fixture(scope="session")
def ffmpeg_filter() -> FFmpegFilter:
    """FFmpeg's own filters, the ones in PyAV's wheel."""
    return _ffmpeg_filter


@pytest.fixture(scope="session")
def run_plane() -> PlaneRunner:
    return _run_plane


def _ffmpeg_filter(planes: Sequence[Plane], pix_fmt: str, chain: str) -> list[Plane]:
    height, width = planes[0].shape
    graph = av.filter.Graph()
    name, _, arguments = chain.partition("=")
    source = graph.add_buffer(width=width, height=height, format=av.VideoFormat(pix_fmt), time_base=Fraction(1, 25))
    step = graph.add(name, arguments)
    sink = graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    frame = av.VideoFrame(width, height, pix_fmt)
    frame.pts = 0
    for plane, samples in zip(frame.planes, planes, strict=True):
        _view(plane, samples)[:] = samples
    graph.push(frame)
    graph.push(None)
    result = graph.pull()
    assert isinstance(result, av.VideoFrame)
    assert result.format.name == pix_fmt
    return [_view(plane, samples).copy() for plane, samples in zip(result.planes, planes, strict=True)]


def _view(plane: av.video.plane.VideoPlane, like: Plane) -> Plane:
    """The samples of an FFmpeg plane, as an array of the shape and type of `like`."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    samples: Plane = rows.view(like.dtype)
    return samples[: like.shape[0], : like.shape[1]]


def _run_plane(
    operation: Operation,
    params: Params,
    plane: Plane,
    pix_fmt: str = "gray",
    *,
    component: int = 0,
    shift: tuple[int, int] = (0, 0),
    depth_out: int | None = None,
    bands: Sequence[int] = (),
    spare: int = 5,
) -> Plane | None:
    """The operation on one plane of codes of `pix_fmt`; None when it passes the plane on.

    `shift` is the exchange shift in and out (`plane` holds codes, the result is as stored). Rows carry `spare`
    columns of rubbish that must not matter. `bands` are rows at which the work is cut.
    """
    layout = pixel_format(pix_fmt)
    height, width = plane.shape
    form = VideoFormat(width=width, height=height, pixel_format=layout)
    depths = layout.depth, depth_out or layout.depth
    formats = [
        PlaneFormat(component=component, width=width, height=height, depth=depth, shift=up)
        for depth, up in zip(depths, shift, strict=True)
    ]
    kernel = operation.cpu(params, form, form, *formats)
    if kernel is None:
        return None
    types = [np.uint8 if each.bits <= 8 else np.uint16 for each in formats]
    padded = np.full((height, width + spare), np.iinfo(types[0]).max, types[0])
    padded[:, :width] = plane.astype(np.int32) << shift[0]
    padded.flags.writeable = False  # as the executor hands planes over
    target = np.zeros((height, width + spare + 1), types[1])
    edges = [0, *bands, height]
    for first, last in pairwise(edges):
        kernel(padded, target, first, last)
    assert not target[:, width:].any(), "the kernel wrote beyond the plane's width"
    return target[:, :width]
