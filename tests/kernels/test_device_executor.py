"""What an executor on a device asks of it between codecs, and how it ends: on the strict engine, with small chains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kernels.backends.cpu import CpuExecutor
from kernels.backends.device import DeviceExecutor
from kernels.backends.device_ring import Ring, Slot
from kernels.device_plan import codec_layout
from kernels.errors import StoppedError, UnavailableError
from kernels.frame import Frame, VideoFormat
from kernels.io.nvdec_memory import surface_planes
from kernels.launch import Queue
from kernels.pixel_format import pixel_format
from kernels.surface import Layout, surface_of
from tests.kernels.cuda.frames import DeviceArray, StrictFrameEngine
from tests.kernels.test_cuda_chains import assert_alike, on_device, planned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernels.conftest import FrameMaker

pytestmark = pytest.mark.usefixtures("compiler")

ENCODER = "the encoder's stream"


class ScarceEngine(StrictFrameEngine):
    """Has pinned memory for `room` blocks and no more."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def pinned(self, size_bytes: int) -> np.ndarray[Any, Any]:
        if not self.room:
            raise UnavailableError("1 MiB of pinned memory cannot be had")
        self.room -= 1
        return super().pinned(size_bytes)


def decoded(frames: list[Frame], engine: StrictFrameEngine, slots: int) -> list[Frame]:
    """`frames` as a decoder leaves them on the device: `slots` of them in one block after another."""
    height, width = frames[0].height, frames[0].width
    found = []
    for number, frame in enumerate(frames):
        if number % slots == 0:
            block = engine.empty((slots, height * 3 // 2, 64), np.dtype(np.uint8))
        planes = surface_planes(block[number % slots][:, :width], frame.format)
        for plane, given in zip(planes, frame.planes, strict=True):
            plane[...] = given
        found.append(frame.replace(planes=planes))
    return found


def numbered(make_frame: FrameMaker, count: int) -> list[Frame]:
    return [make_frame("yuv420p", 34, 22).replace(pts=3 * i, index=i) for i in range(count)]


def between_codecs(frames: list[Frame], engine: StrictFrameEngine, **options: Any) -> DeviceExecutor:
    plan = planned("hflip", frames[0])
    assert plan is not None
    ends = {"source": codec_layout(plan.source), "target": codec_layout(plan.target)}
    return DeviceExecutor(plan, engine, **{**ends, **options})


def assert_flipped(outs: Iterator[Frame], frames: list[Frame]) -> None:
    plan = planned("hflip", frames[0])
    assert plan is not None
    with CpuExecutor(plan, threads=1) as cpu:
        for out, frame in zip(outs, frames, strict=True):
            assert_alike(out, cpu.run(frame), 0, "hflip")


@pytest.mark.parametrize(("count", "slots", "batches"), [(16, 8, 4), (15, 4, 4), (11, 8, 3), (8, 3, 3), (5, 1, None)])
def test_decoded_frames_of_one_block_share_launches(
    count: int, slots: int, batches: int | None, make_frame: FrameMaker
) -> None:
    frames, engine = numbered(make_frame, count), StrictFrameEngine(order=1)
    held = decoded(frames, engine, slots)
    with between_codecs(frames, engine, batch=4) as device:
        launches = len(device._expected.launches)
        assert_flipped(device.stream(iter(held)), frames)
        if batches is not None:
            assert engine.launches + engine.replays * launches == batches * launches


def test_blocks_that_come_round_are_replayed(make_frame: FrameMaker) -> None:
    frames, engine = numbered(make_frame, 8), StrictFrameEngine()
    held = decoded(frames, engine, 4)
    with between_codecs(frames, engine, batch=4, ring=2) as device:
        for _ in range(6):
            assert_flipped(device.stream(iter(held)), frames)
        assert engine.replays > engine.launches > 0


def test_software_may_take_over_within_a_batch(make_frame: FrameMaker) -> None:
    frames, engine = numbered(make_frame, 10), StrictFrameEngine(order=2)
    held = [*decoded(frames[:6], engine, 4), *frames[6:]]
    with between_codecs(frames, engine, batch=4) as device:
        assert_flipped(device.stream(iter(held)), frames)


def test_ten_bits_and_full_chroma_share_launches(make_frame: FrameMaker) -> None:
    frames = [make_frame("yuv444p", 34, 22).replace(index=i) for i in range(6)]
    engine = StrictFrameEngine()
    block = engine.empty((6, 3 * 22, 64), np.dtype(np.uint8))
    held = []
    for frame, own in zip(frames, block, strict=True):
        planes = surface_planes(own[:, :34], frame.format)
        for plane, given in zip(planes, frame.planes, strict=True):
            plane[...] = given
        held.append(frame.replace(planes=planes))
    with between_codecs(frames, engine, batch=2) as device:
        assert_flipped(device.stream(iter(held)), frames)


def test_between_codecs_nothing_is_waited_for_but_the_encoder(make_frame: FrameMaker) -> None:
    """Its frames are complete, those it gives are ready for the encoder's stream, and events are used again."""
    frames, engine = numbered(make_frame, 12), StrictFrameEngine()
    held = decoded(frames, engine, 1)
    plan = planned("hflip", frames[0])
    assert plan is not None
    with between_codecs(frames, engine, reader=ENCODER, complete=True) as device, CpuExecutor(plan, threads=1) as cpu:
        for out, frame in zip(device.stream(iter(held)), frames, strict=True):
            with engine.current():
                engine.finish(engine.record(ENCODER))
            assert_alike(out, cpu.run(frame), 0, "what the encoder reads once its stream gets there")
        assert set(engine.waits) <= {ENCODER}
        assert len(engine.waits) <= len(frames)
        own = engine.events - len(frames)
        assert own <= 5


def test_an_encoder_waits_for_no_later_frame(make_frame: FrameMaker) -> None:
    frames, engine = numbered(make_frame, 6), StrictFrameEngine()
    held = decoded(frames, engine, 1)
    with between_codecs(frames, engine, reader=ENCODER, complete=True, ring=6) as device:
        outs = device.stream(iter(held), ahead=2)
        first = next(outs)
        with engine.current():
            engine.finish(engine.record(ENCODER))
            assert not engine.happened(engine.record(Queue.COMPUTE)), "two more are under way"
        assert np.array_equal(first.planes[0], frames[0].planes[0][:, ::-1])
        outs.close()


def test_what_is_on_its_way_to_the_host_gets_there_before_its_memory_goes(make_frame: FrameMaker) -> None:
    """A job that is stopped leaves frames behind that nobody has come for."""
    frames = numbered(make_frame, 6)
    plan = planned("hflip", frames[0])
    assert plan is not None
    device = DeviceExecutor(plan, StrictFrameEngine(), ring=4)
    outs = device.stream(iter(frames))
    next(outs)
    outs.close()
    device.close()


def test_memory_that_ends_after_the_first_frames_makes_the_ring_smaller(make_frame: FrameMaker) -> None:
    frames = numbered(make_frame, 14)
    plan = planned("hflip", frames[0])
    assert plan is not None
    for room in range(3, 8):
        engine = ScarceEngine(room)
        with DeviceExecutor(plan, engine, ring=8) as device:
            device.warm_up()
            assert engine.room == room - 3, "two frames on their way out and one on its way in"
            assert_flipped(device.stream(iter(frames)), frames)


@pytest.mark.parametrize("room", [0, 1, 2])
def test_too_little_memory_is_said_before_the_first_frame(room: int, make_frame: FrameMaker) -> None:
    plan = planned("hflip", make_frame("yuv420p", 34, 22))
    assert plan is not None
    with (
        DeviceExecutor(plan, ScarceEngine(room), ring=8) as device,
        pytest.raises(UnavailableError, match="pinned memory cannot be had"),
    ):
        device.warm_up()


def test_who_holds_frames_without_a_limit_is_told_when_there_is_no_memory(make_frame: FrameMaker) -> None:
    frames = numbered(make_frame, 6)
    plan = planned("hflip", frames[0])
    assert plan is not None
    with DeviceExecutor(plan, ScarceEngine(4), ring=None) as device:
        held = [device.run(frame) for frame in frames[:3]]
        with pytest.raises(UnavailableError, match="pinned memory cannot be had"):
            held.append(device.run(frames[3]))
        del held


def test_a_job_that_is_stopped_does_not_wait_for_the_ring() -> None:
    frame = VideoFormat(width=8, height=8, pixel_format=pixel_format("gray"))
    engine = StrictFrameEngine()
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise StoppedError("stopped")

    surface = surface_of(frame, Layout.STACKED)
    ring = Ring(lambda: Slot(engine, surface, on_host=False), 2, check=check)
    held = ring.take(), ring.take()
    with pytest.raises(StoppedError):
        ring.take()
    ring.give_back(held[0])
    assert ring.take() is held[0]


def test_a_stopped_executor_does_not_wait_for_who_holds_its_frames(make_frame: FrameMaker) -> None:
    frames = numbered(make_frame, 6)
    plan = planned("hflip", frames[0])
    assert plan is not None

    def check() -> None:
        raise StoppedError("stopped")

    with DeviceExecutor(plan, StrictFrameEngine(), ring=2, check=check) as device:
        held = [device.run(frames[0]), device.run(frames[1])]
        with pytest.raises(StoppedError):
            device.run(frames[2])
        assert len(held) == 2


def test_frames_of_the_device_are_run_wherever_they_lie(make_frame: FrameMaker) -> None:
    frames, engine = numbered(make_frame, 7), StrictFrameEngine()
    held = [on_device(frame, Layout.SEMIPLANAR, engine) for frame in frames]
    assert all(isinstance(frame.planes[0], DeviceArray) for frame in held)
    with between_codecs(frames, engine, batch=4) as device:
        assert_flipped(device.stream(iter(held)), frames)
