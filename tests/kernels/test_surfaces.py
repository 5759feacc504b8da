"""Samples as hardware codecs hold them, deep codes at the top of 16 bits: the same pictures, and no pass more."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from kernels.backends.cpu import CpuExecutor
from kernels.backends.device import DeviceExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.device_plan import codec_layout, plan_device
from kernels.pixel_format import pixel_format
from kernels.plan import plan_chain
from tests.kernels.cuda.frames import StrictFrameEngine
from tests.kernels.test_cuda_chains import CHAINS, as_stored, on_device, tolerance

if TYPE_CHECKING:
    from kernels.frame import Frame
    from kernels.plan import Plan
    from tests.kernels.conftest import FrameMaker

DEEP: Final = ("yuv420p10", "yuv422p10", "yuv444p10", "yuv420p12")
MOVED: Final = ("", "hflip", "crop=40:20,transpose=clock")
PASSES: Final = (
    *("eq=contrast=1.2", "unsharp", "cas=0.6:planes=1", "scale=40:24,cas=0.4:planes=1,hflip"),
    *("format=gbrp,cas,format=yuv420p10", "eq=contrast=1.1,colorspace=all=bt2020,eq=saturation=1.1"),
    *("format=gray,unsharp,format=yuv420p10", "nlmeans=s=3:p=3:r=5"),
)


def planned(chain: str, frame: Frame, *, lifted: bool) -> Plan:
    """The plan between `frame` and an encoder on the device, or in software."""
    steps = parse_chain(chain, CATALOGUE)
    pixel = plan_chain(replace(frame.format, pixel_format=frame.format.pixel_format.codes()), steps).target.pixel_format
    return plan_chain(frame.format, steps, pixel_format=pixel.as_surface() if lifted else pixel)


def surface(frame: Frame) -> Frame:
    return as_stored(frame, frame.format.pixel_format.as_surface().shift)


def assert_codes(found: Frame, expected: Frame, limit: int) -> None:
    """Whole codes, each within `limit` of those expected in the low bits."""
    shift = found.format.pixel_format.shift
    for one, other in zip(found.planes, expected.planes, strict=True):
        given = np.asarray(one)
        assert not (given & ((1 << shift) - 1)).any(), "fractions of codes, which an encoder would cut off"
        assert np.abs((given >> shift).astype(int) - np.asarray(other)).max() <= limit


@pytest.mark.parametrize("layout", DEEP)
@pytest.mark.parametrize("chain", [*MOVED, *PASSES])
@pytest.mark.long
def test_deep_frames_between_codecs_are_those_of_low_codes(chain: str, layout: str, make_frame: FrameMaker) -> None:
    frame = make_frame(layout, 66, 34)
    low, held = planned(chain, frame, lifted=False), surface(frame)
    with CpuExecutor(low, threads=1) as executor:
        expected = executor.run(frame)
    for is_surface_in, is_surface_out in product((True, False), repeat=2):
        given = held if is_surface_in else frame
        plan = planned(chain, given, lifted=is_surface_out)
        limit = tolerance(low) if plan.stages else 0
        engine = StrictFrameEngine(order=1)
        layouts: dict[str, Any] = {}
        if is_surface_in:
            layouts["source"] = codec_layout(plan.source)
            given = on_device(held, codec_layout(plan.source), engine)
        if is_surface_out:
            layouts["target"] = codec_layout(plan.target)
        with DeviceExecutor(plan, engine, **layouts) as device:
            out = device.run(given)
            pixel = low.target.pixel_format
            assert out.format.pixel_format == (pixel.as_surface() if is_surface_out else pixel)
            assert_codes(out, expected, limit)
            del out, given


@pytest.mark.parametrize("layout", DEEP)
@pytest.mark.parametrize("chain", [*MOVED, *PASSES])
def test_the_cpu_stores_the_same_codes(chain: str, layout: str, make_frame: FrameMaker) -> None:
    """As it has to, where frames of NVDEC were planned for a GPU that then had no memory."""
    frame = make_frame(layout, 66, 74)
    low = planned(chain, frame, lifted=False)
    with CpuExecutor(low, threads=1) as executor:
        expected = executor.run(frame)
    for given, lifted in product((frame, surface(frame)), (False, True)):
        plan = planned(chain, given, lifted=lifted)
        with CpuExecutor(plan, threads=2) as executor:
            executor.warm_up()
            assert_codes(executor.run(given), expected, tolerance(low) if low.stages else 0)


@pytest.mark.parametrize("layout", DEEP)
@pytest.mark.parametrize("chain", [*MOVED, *PASSES, *CHAINS])
def test_no_pass_is_added_between_codecs(chain: str, layout: str, make_frame: FrameMaker) -> None:
    frame = make_frame(layout, 66, 34)
    low, between = planned(chain, frame, lifted=False), planned(chain, surface(frame), lifted=True)
    assert [stage.name for stage in between.stages] == [stage.name for stage in low.stages]
    counts = [
        len(plan_device(plan, source=codec_layout(plan.source), target=codec_layout(plan.target)).launches)
        for plan in (low, between)
    ]
    assert counts[1] <= counts[0]


def test_frames_of_8_bits_are_surfaces_as_they_are() -> None:
    assert pixel_format("yuv420p").as_surface() == pixel_format("yuv420p")
    assert pixel_format("yuv420p12").as_surface().shift == 4
    assert pixel_format("yuv444p16").as_surface() == pixel_format("yuv444p16")
    assert pixel_format("yuv420p10").as_surface().codes() == pixel_format("yuv420p10")
