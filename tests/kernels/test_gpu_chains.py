"""Chains on a real GPU against the CPU: what `test_cuda_chains.py` shows on the strict engine, through CuPy.

Skipped where there is no GPU, unless REQUIRE_GPU says that there must be one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import kernels
from kernels.backends.cpu import CpuExecutor
from kernels.device_plan import codec_layout
from kernels.io.nvdec_memory import surface_planes
from kernels.surface import Layout
from tests.kernels import test_surfaces as surfaces
from tests.kernels.test_cuda_chains import CHAINS, FORMATS, SAMPLES, as_stored, assert_alike, planned, tolerance

if TYPE_CHECKING:
    from kernels.frame import Frame
    from tests.kernels.conftest import FrameMaker

pytestmark = pytest.mark.gpu

SIZES = ((131, 77), (640, 360), (1, 1))


def executor_of(plan: Any, **layouts: Any) -> Any:
    from kernels.backends.cuda import CudaExecutor

    return CudaExecutor(plan, **layouts)


def on_gpu(frame: Frame, layout: Layout) -> Frame:
    """`frame` in the GPU's memory, chroma side by side where `layout` says so."""
    import cupy

    if layout is not Layout.SEMIPLANAR:
        return frame.replace(planes=tuple(map(cupy.asarray, frame.planes)))
    luma, *chroma = frame.planes
    pairs = cupy.asarray(np.stack(chroma, axis=-1).reshape(chroma[0].shape[0], -1))
    return frame.replace(planes=(cupy.asarray(luma), pairs[:, 0::2], pairs[:, 1::2]))


def on_host(frame: Frame) -> Frame:
    planes: tuple[Any, ...] = frame.planes
    return frame.replace(planes=tuple(plane.get() for plane in planes))


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_operation_equals_the_cpu(sample: str, layout: str, make_frame: FrameMaker) -> None:
    for size in SIZES:
        frame = make_frame(layout, *size)
        plan = planned(sample, frame)
        if plan is None:
            continue
        with CpuExecutor(plan) as cpu, executor_of(plan, batch=1) as gpu:
            expected = cpu.run(frame)
            for _ in range(20):  # the ring goes round: launches one by one, then graphs
                assert_alike(gpu.run(frame), expected, tolerance(plan), sample)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv420p10", "yuv422p"])
@pytest.mark.parametrize("chain", CHAINS)
def test_chain_between_codecs_equals_the_cpu(chain: str, layout: str, make_frame: FrameMaker) -> None:
    frame = make_frame(layout, 322, 182)
    if frame.format.pixel_format.depth == 10:
        frame = as_stored(frame, 6)
    plan = planned(chain, frame)
    assert plan is not None
    ends = {"source": codec_layout(plan.source), "target": codec_layout(plan.target)}
    incoming = on_gpu(frame, codec_layout(plan.source))
    with CpuExecutor(plan) as cpu, executor_of(plan, **ends) as gpu:
        expected = cpu.run(frame)
        for _ in range(20):
            assert_alike(on_host(gpu.run(incoming)), expected, tolerance(plan), chain)


@pytest.mark.parametrize("layout", surfaces.DEEP)
@pytest.mark.parametrize("chain", [*surfaces.MOVED, *surfaces.PASSES])
def test_deep_frames_between_codecs_are_those_of_low_codes(chain: str, layout: str, make_frame: FrameMaker) -> None:
    frame = make_frame(layout, 322, 182)
    held = surfaces.surface(frame)
    low, between = surfaces.planned(chain, frame, lifted=False), surfaces.planned(chain, held, lifted=True)
    ends = {"source": codec_layout(between.source), "target": codec_layout(between.target)}
    incoming = on_gpu(held, codec_layout(between.source))
    with CpuExecutor(low) as cpu, executor_of(between, **ends) as gpu:
        expected = cpu.run(frame)
        for _ in range(20):
            surfaces.assert_codes(on_host(gpu.run(incoming)), expected, tolerance(low) if low.stages else 0)


def test_frames_of_a_stream_come_out_in_order(make_frame: FrameMaker) -> None:
    frames = [make_frame("yuv420p", 320, 180).replace(pts=i, index=i) for i in range(45)]
    plan = planned(CHAINS[3], frames[0])
    assert plan is not None
    with CpuExecutor(plan) as cpu, executor_of(plan) as gpu:
        assert gpu.batch > 1
        count = 0
        for out, frame in zip(gpu.stream(iter(frames)), frames, strict=True):
            assert_alike(out, cpu.run(frame), tolerance(plan), CHAINS[3])
            count += 1
        assert count == len(frames)


def test_arrays_of_the_gpu_come_back_there(make_frame: FrameMaker) -> None:
    import cupy

    planes = make_frame("yuv420p", 322, 182).planes
    expected = kernels.apply("unsharp,cas", planes, pixel_format="yuv420p")
    out = kernels.apply("unsharp,cas", tuple(map(cupy.asarray, planes)), pixel_format="yuv420p")
    assert all(isinstance(plane, cupy.ndarray) for plane in out)
    assert all(np.abs(a.get().astype(int) - b).max() <= 2 for a, b in zip(out, expected, strict=True))


def test_decoded_frames_of_one_block_share_launches(make_frame: FrameMaker) -> None:
    import cupy

    frames = [make_frame("yuv420p", 320, 180).replace(pts=i, index=i) for i in range(21)]
    plan = planned(CHAINS[3], frames[0])
    assert plan is not None
    block = cupy.empty((len(frames), 270, 320), np.uint8)
    held = [frame.replace(planes=surface_planes(own, frame.format)) for frame, own in zip(frames, block, strict=True)]
    for frame, there in zip(frames, held, strict=True):
        for plane, given in zip(there.planes, frame.planes, strict=True):
            plane[...] = cupy.asarray(given)
    ends = {"source": codec_layout(plan.source), "target": codec_layout(plan.target)}
    with CpuExecutor(plan) as cpu, executor_of(plan, **ends) as gpu:
        assert gpu.batch > 1
        for _ in range(3):
            for out, frame in zip(gpu.stream(iter(held)), frames, strict=True):
                assert_alike(on_host(out), cpu.run(frame), tolerance(plan), CHAINS[3])
