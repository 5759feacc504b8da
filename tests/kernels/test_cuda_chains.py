"""Whole chains as a GPU runs them, against the CPU: the same plan, executor and kernels, on the strict engine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kernels.backends.cpu import CpuExecutor
from kernels.backends.device import DeviceExecutor
from kernels.backends.device_program import Program
from kernels.backends.device_ring import Ring, Slot
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.color import ChromaLocation, Color
from kernels.device_plan import codec_layout, plan_device
from kernels.errors import ChainError, FormatError, UnavailableError
from kernels.frame import VideoFormat
from kernels.io.nvenc import common_pitch
from kernels.launch import Queue
from kernels.operation import Kind
from kernels.pixel_format import pixel_format
from kernels.plan import plan_chain
from kernels.surface import Layout, surface_of
from tests.kernels.cuda.frames import DeviceArray, StrictFrameEngine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.device_plan import DevicePlan
    from kernels.frame import Frame, Plane
    from kernels.plan import Plan
    from tests.kernels.conftest import FrameMaker

pytestmark = pytest.mark.usefixtures("compiler")

SAMPLES = [
    sample
    for _, operation in sorted(CATALOGUE.items())
    for sample in operation.samples
    if operation.kind is not Kind.PLANE or operation.cuda is not None  # what lacks it, test_parity.py says
]
FORMATS = ("yuv420p", "yuv420p10", "yuv422p10", "yuv444p16", "gray12", "gbrp")
CHAINS = (
    "eq=contrast=1.1,eq=brightness=0.02,colorspace=range=pc,eq=saturation=1.2,eq=gamma=1.1",
    "eq=gamma=1.3:gamma_r=1.2",  # leaves Cb alone
    "colorspace=space=bt2020nc,eq=contrast=1.1,colorspace=all=bt2020",
    "scale=iw*2:ih*2:flags=lanczos,cas=0.6",
    "cas=planes=1,hflip",
    "cas=0.5:planes=2,eq=saturation=1.2,unsharp=la=0.5:ca=0",
    "cas=planes=4",
    "crop=iw-6:ih-4:2:2,vflip,eq=brightness=-0.1,pad=iw+5:ih+3:2:1",
    "transpose,format=yuv444p,eq=contrast=1.2,unsharp,format=yuv420p",
    "format=gray,unsharp,format=yuv444p",
    "format=gbrp,cas,format=yuv420p10",
)


def as_stored(frame: Frame, shift: int) -> Frame:
    """The same picture in samples of `code << shift`."""
    pixel = replace(frame.format.pixel_format, shift=shift)
    planes = tuple((plane.astype(np.int32) << shift).astype(pixel.dtype) for plane in frame.planes)
    return replace(frame, planes=planes, format=replace(frame.format, pixel_format=pixel))


def on_device(frame: Frame, layout: Layout, engine: StrictFrameEngine, pad: int = 3) -> Frame:
    """`frame` in device memory, chroma side by side where `layout` says so, rows longer than the picture."""
    if layout is not Layout.SEMIPLANAR:
        return replace(frame, planes=tuple(device_copy(plane, engine, pad) for plane in frame.planes))
    luma, *chroma = frame.planes
    pairs = device_copy(np.stack(chroma, axis=-1).reshape(chroma[0].shape[0], -1), engine, 2 * pad)
    return replace(frame, planes=(device_copy(luma, engine, pad), pairs[:, 0::2], pairs[:, 1::2]))


def device_copy(plane: Plane, engine: StrictFrameEngine, pad: int) -> Any:
    memory = engine.empty((plane.shape[0], plane.shape[1] + pad), plane.dtype)
    memory[:, : plane.shape[1]] = plane
    return memory[:, : plane.shape[1]]


def assert_alike(given: Frame, expected: Frame, limit: int, what: str) -> None:
    assert given.format == expected.format
    assert (given.pts, given.index) == (expected.pts, expected.index)
    shift = given.format.pixel_format.shift
    for c, (a, b) in enumerate(zip(given.planes, expected.planes, strict=True)):
        difference = np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)) >> shift
        assert difference.max() <= limit, f"{what}: component {c} differs by {difference.max()} codes"


def planned(chain: str, frame: Frame) -> Plan | None:
    """None where the chain refuses such frames, which it must say before a frame is touched."""
    try:
        return plan_chain(frame.format, parse_chain(chain, CATALOGUE))
    except (FormatError, ChainError):
        return None


def tolerance(plan: Plan) -> int:
    """Codes that an output may differ by: one for what rounds between stages, or the operations' own."""
    operations = {node.step.operation for stage in plan.stages for node in stage.nodes}
    return max((operation.tolerance.max_codes for operation in operations), default=0) + (len(plan.stages) > 1)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_operation_equals_the_cpu(sample: str, layout: str, make_frame: FrameMaker) -> None:
    frame = make_frame(layout, 67, 35).replace(pts=5, index=9)
    plan = planned(sample, frame)
    if plan is None:
        return
    with CpuExecutor(plan, threads=1) as cpu, DeviceExecutor(plan, StrictFrameEngine(order=2)) as device:
        assert_alike(device.run(frame), cpu.run(frame), tolerance(plan), sample)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv420p10", "yuv422p"])
@pytest.mark.parametrize("chain", [*CHAINS, *("eq=contrast=1.2", "cas=planes=4,format=gbrp", "unsharp", "")])
def test_chain_between_codecs_equals_the_cpu(chain: str, layout: str, make_frame: FrameMaker) -> None:
    """From NV12 or P010 to what an encoder takes, all on the device; the second and third time as a graph."""
    frame = make_frame(layout, 67, 35)
    if frame.format.pixel_format.depth == 10:
        frame = as_stored(frame, 6)
    plan = planned(chain, frame)
    assert plan is not None
    engine = StrictFrameEngine(order=1)
    incoming = on_device(frame, codec_layout(plan.source), engine)
    target = codec_layout(plan.target)
    device = DeviceExecutor(plan, engine, source=codec_layout(plan.source), target=target, ring=2)
    with CpuExecutor(plan, threads=1) as cpu, device:
        expected = cpu.run(frame)
        for _ in range(6):
            out = device.run(incoming)
            assert all(isinstance(plane, DeviceArray) for plane in out.planes)
            assert_alike(out, expected, tolerance(plan), chain)
            if target is Layout.SEMIPLANAR:
                assert out.planes[2].ctypes.data - out.planes[1].ctypes.data == out.planes[1].itemsize
            del out
        assert engine.replays > 0


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 17), (130, 3)])
@pytest.mark.parametrize("chain", CHAINS)
def test_chain_on_tiny_frames(chain: str, size: tuple[int, int], make_frame: FrameMaker) -> None:
    plan = planned(chain, frame := make_frame("yuv420p", *size))
    if plan is None:
        return
    with CpuExecutor(plan, threads=1) as cpu, DeviceExecutor(plan, StrictFrameEngine()) as device:
        assert_alike(device.run(frame), cpu.run(frame), tolerance(plan), chain)


@pytest.mark.parametrize("location", list(ChromaLocation)[1:])
@pytest.mark.parametrize(
    ("layout", "chain"),
    [
        ("yuv420p", "colorspace=all=bt2020"),
        ("yuv420p10", "eq=contrast=1.1:saturation=1.2,colorspace=all=bt2020:format=yuv422p,eq=saturation=0.9"),
        ("yuv422p10", "colorspace=all=bt2020:format=yuv420p10"),
        ("gbrp", "format=yuv420p10"),
    ],
)
def test_chroma_comes_up_and_goes_down_in_one_kernel(
    layout: str, chain: str, location: ChromaLocation, make_frame: FrameMaker
) -> None:
    for size in ((261, 35), (130, 18), (3, 17), (1, 1)):
        frame = make_frame(layout, *size, color=Color(chroma_location=location))
        plan = planned(chain, frame)
        assert plan is not None
        with CpuExecutor(plan, threads=1) as cpu, DeviceExecutor(plan, StrictFrameEngine(order=2)) as device:
            assert device.describe()["launches"] == 1
            assert_alike(device.run(frame), cpu.run(frame), 1, f"{chain} at {size}")


def test_every_barrier_of_that_kernel_is_needed(make_frame: FrameMaker) -> None:
    """Without either of them the strict engine's threads meet what is not there yet."""
    frame = make_frame("yuv420p", 261, 35)
    plan = planned("colorspace=all=bt2020", frame)
    assert plan is not None
    whole = plan_device(plan)
    (launch,) = whole.launches
    text = launch.kernel.source
    barriers = [at for at in range(len(text)) if text.startswith("__syncthreads();", at)]
    assert len(barriers) == 2
    with CpuExecutor(plan, threads=1) as cpu:
        expected = cpu.run(frame)
    for at in barriers:
        worse = text[:at] + text[at + len("__syncthreads();") :]
        changed = replace(launch, kernel=replace(launch.kernel, source=worse))
        differ = [
            not alike(run_plan(replace(whole, launches=(changed,)), frame, StrictFrameEngine(order=order)), expected)
            for order in (0, 1, 2)
        ]
        assert any(differ)


def run_plan(plan: DevicePlan, frame: Frame, engine: StrictFrameEngine) -> list[Any]:
    """The planes that the launches of `plan` make of one frame."""
    incoming, outgoing = (Slot(engine, surface, on_host=True) for surface in plan.surfaces[:2])
    for staged, plane in zip(incoming.host_frames[0], frame.planes, strict=True):
        staged[...] = plane
    with engine.current():
        engine.copy(incoming.host, incoming.device, Queue.UPLOAD)
        engine.finish(engine.record(Queue.UPLOAD))
        Program(plan, engine).queue(incoming.bound, outgoing.bound)
        engine.finish(engine.record(Queue.COMPUTE))
    return list(outgoing.bound.frames[0])


def alike(planes: list[Any], expected: Frame) -> bool:
    pairs = zip(planes, expected.planes, strict=True)
    return all(np.abs(np.asarray(a).astype(int) - b).max() <= 1 for a, b in pairs)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("chain", CHAINS[:5])
def test_frames_of_a_stream_come_out_in_order(chain: str, batch: int, make_frame: FrameMaker) -> None:
    """Copies and launches of several frames at once, in batches, through a ring that is used again."""
    frames = [make_frame("yuv420p", 35, 19).replace(pts=3 * i, index=i) for i in range(11)]
    plan = planned(chain, frames[0])
    assert plan is not None
    engine = StrictFrameEngine(order=2)
    with CpuExecutor(plan, threads=1) as cpu, DeviceExecutor(plan, engine, batch=batch, ring=3) as device:
        count = 0
        for out, frame in zip(device.stream(iter(frames)), frames, strict=True):
            assert_alike(out, cpu.run(frame), tolerance(plan), chain)
            count += 1
        assert count == len(frames)
        assert engine.replays > 0 or batch > 1


def test_a_frame_that_is_held_keeps_its_picture(make_frame: FrameMaker) -> None:
    frames = [make_frame("yuv420p", 35, 19) for _ in range(9)]
    plan = planned("hflip", frames[0])
    assert plan is not None
    engine = StrictFrameEngine()
    with DeviceExecutor(plan, engine, target=Layout.SEMIPLANAR, ring=4) as device:
        held = [device.run(frame) for frame in frames[:3]]
        view = device.run(frames[3]).planes[1][1:, 1:]  # a part of one plane holds the whole frame
        del held[2]
        for frame in frames[4:]:
            device.run(frame)
        for out, frame in zip(held, frames, strict=False):
            assert all(np.array_equal(a, b[:, ::-1]) for a, b in zip(out.planes, frame.planes, strict=True))
        assert np.array_equal(view, frames[3].planes[1][:, ::-1][1:, 1:])


def test_frames_come_back_to_where_they_came_from(make_frame: FrameMaker) -> None:
    frame = make_frame("yuv420p", 33, 21)
    plan = planned("vflip", frame)
    assert plan is not None
    engine = StrictFrameEngine()
    with DeviceExecutor(plan, engine) as device:
        assert not isinstance(device.run(frame).planes[0], DeviceArray)
        for layout in (Layout.PLANAR, Layout.SEMIPLANAR):
            out = device.run(on_device(frame, layout, engine))
            assert all(isinstance(plane, DeviceArray) for plane in out.planes)
            assert all(np.array_equal(a, b[::-1]) for a, b in zip(out.planes, frame.planes, strict=True))


@pytest.mark.parametrize("ends", [(Layout.SEMIPLANAR, None), (None, Layout.SEMIPLANAR)], ids=["decoder", "encoder"])
def test_one_codec_on_the_device_and_one_on_the_host(
    ends: tuple[Layout | None, Layout | None], make_frame: FrameMaker
) -> None:
    """NVDEC with a software encoder, as on GPUs without NVENC; and the other way round."""
    frames = [make_frame("yuv420p", 34, 22) for _ in range(3)] * 8  # a decoder's surfaces come round too
    plan = planned("hflip,eq=contrast=1.1", frames[0])
    assert plan is not None
    engine = StrictFrameEngine(order=1)
    decoded_there = ends[0] is not None
    incoming = [on_device(frame, Layout.SEMIPLANAR, engine) for frame in frames[:3]] * 8 if decoded_there else frames
    device = DeviceExecutor(plan, engine, source=ends[0], target=ends[1], ring=4)
    with CpuExecutor(plan, threads=1) as cpu, device:
        for out, frame in zip(device.stream(iter(incoming)), frames, strict=True):
            assert all(isinstance(plane, DeviceArray) is not decoded_there for plane in out.planes)
            assert_alike(out, cpu.run(frame), 1, "stream")
        assert_alike(device.run(incoming[0]), cpu.run(frames[0]), 1, "run")
        assert engine.replays > 0


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv444p"])
def test_frames_for_nvenc_lie_as_it_wants_them(layout: str, make_frame: FrameMaker) -> None:
    """One after another, each in one piece: it encodes them where they are."""
    frames = [make_frame(layout, 34, 22) for _ in range(5)]
    plan = planned("hflip", frames[0])
    assert plan is not None
    target = codec_layout(plan.target)
    with CpuExecutor(plan, threads=1) as cpu, DeviceExecutor(plan, StrictFrameEngine(), target=target, batch=4) as gpu:
        for out, frame in zip(gpu.stream(iter(frames)), frames, strict=True):
            assert common_pitch(out) == 64
            assert_alike(out, cpu.run(frame), 0, layout)


def test_planes_that_no_kernel_can_read_are_refused(make_frame: FrameMaker) -> None:
    frame = make_frame("yuv444p", 32, 20)
    plan = planned("vflip", frame)
    assert plan is not None
    engine = StrictFrameEngine()
    device_frame = on_device(frame, Layout.PLANAR, engine)
    with DeviceExecutor(plan, engine) as device:
        wide = engine.empty((20, 96), np.dtype(np.uint8))
        with pytest.raises(FormatError, match="contiguous along rows"):
            device.run(replace(device_frame, planes=(wide[:, ::3], *device_frame.planes[1:])))
        mixed: Sequence[Any] = (frame.planes[0], *device_frame.planes[1:])
        with pytest.raises(UnavailableError, match="all their planes there"):
            device.run(replace(device_frame, planes=tuple(mixed)))


def test_frames_of_another_format_are_refused_and_harm_nothing(make_frame: FrameMaker) -> None:
    frame = make_frame("yuv420p", 34, 22)
    plan = planned("vflip", frame)
    assert plan is not None
    engine = StrictFrameEngine()
    with DeviceExecutor(plan, engine) as device:
        for other in [make_frame("yuv420p", 36, 22), make_frame("yuv444p", 34, 22)] * 3:
            for given in (other, on_device(other, Layout.PLANAR, engine)):
                with pytest.raises(FormatError, match="planned for 34x22 yuv420p, not"):
                    device.run(given)
        out = device.run(frame)
        assert all(np.array_equal(a, b[::-1]) for a, b in zip(out.planes, frame.planes, strict=True))


def test_frames_of_another_format_are_refused_where_right_ones_have_lain(make_frame: FrameMaker) -> None:
    frame = make_frame("gray", 34, 22)
    plan = planned("vflip", frame)
    assert plan is not None
    engine = StrictFrameEngine()
    tall = on_device(frame, Layout.PLANAR, engine)
    short = replace(tall, planes=(tall.planes[0][:20],), format=replace(frame.format, height=20))
    with DeviceExecutor(plan, engine) as device:
        device.run(tall)
        with pytest.raises(FormatError, match="planned for 34x22 gray, not 34x20 gray"):
            device.run(short)


def test_ring_shrinks_to_the_memory_there_is(make_frame: FrameMaker) -> None:
    plan = planned("hflip", make_frame("yuv420p", 640, 360))
    assert plan is not None
    with DeviceExecutor(plan, StrictFrameEngine()) as device:
        whole, spare = device.memory_bytes, 256 << 20
        assert device.ring == 8
    with DeviceExecutor(plan, StrictFrameEngine(free_bytes=spare + whole // 2)) as device:
        assert device.ring == 4
        assert device.memory_bytes <= whole // 2
    with pytest.raises(UnavailableError, match=r"640x360 yuv420p.*needs 2\d\d MiB of GPU memory and 200 MiB are free"):
        DeviceExecutor(plan, StrictFrameEngine(free_bytes=200 << 20))


def test_ring_says_when_its_frames_are_never_let_go() -> None:
    frame = VideoFormat(width=8, height=8, pixel_format=pixel_format("gray"))
    engine = StrictFrameEngine()
    ring = Ring(lambda: Slot(engine, surface_of(frame, Layout.STACKED), on_host=False), 2, patience_s=0.01)
    first, _ = ring.take(), ring.take()
    with pytest.raises(UnavailableError, match="all 2 frames of the ring"):
        ring.take()
    ring.give_back(first)
    assert ring.take() is first


def test_ring_does_not_count_what_there_was_no_memory_for() -> None:
    frame = VideoFormat(width=8, height=8, pixel_format=pixel_format("gray"))
    engine = StrictFrameEngine()
    lacking = [UnavailableError("no memory")] * 2

    def make() -> Slot:
        if lacking:
            raise lacking.pop()
        return Slot(engine, surface_of(frame, Layout.STACKED), on_host=False)

    ring = Ring(make, 2, patience_s=0.01)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="no memory"):
            ring.take()
    assert ring.take() is not ring.take()


def test_operation_without_cuda_code_is_refused(make_frame: FrameMaker) -> None:
    plan = planned("hflip", make_frame("yuv420p", 64, 48))
    assert plan is not None
    (stage,) = plan.stages
    (node,) = stage.nodes
    step = replace(node.step, operation=replace(node.step.operation, cuda=None))
    plan = replace(plan, stages=(replace(stage, nodes=(replace(node, step=step),)),))
    with pytest.raises(UnavailableError, match="hflip has no CUDA code"):
        DeviceExecutor(plan, StrictFrameEngine())


def test_pixel_format_with_a_shift_is_a_whole_format() -> None:
    """What NVDEC gives for 10 bits."""
    assert replace(pixel_format("yuv420p10"), shift=6).peak == 1023 << 6
