"""Launches, memory and figures of chains on a device: arithmetic, without running anything."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.device_plan import SOURCE, TARGET, DevicePlan, codec_layout, describe_device, plan_device, shared_frames
from kernels.frame import VideoFormat
from kernels.pixel_format import pixel_format
from kernels.plan import Plan, plan_chain
from kernels.sample_kernels import generated_kernels
from kernels.surface import Layout, surface_of

FIVE_POINTWISE = "eq=contrast=1.1,eq=brightness=0.02,colorspace=range=pc,eq=saturation=1.2,eq=gamma=1.1"


def plan_of(chain: str, layout: str = "yuv420p", width: int = 1920, height: int = 1080) -> Plan:
    source = VideoFormat(width=width, height=height, pixel_format=pixel_format(layout))
    return plan_chain(source, parse_chain(chain, CATALOGUE))


def between_codecs(chain: str, layout: str = "yuv420p") -> DevicePlan:
    plan = plan_of(chain, layout)
    return plan_device(plan, source=codec_layout(plan.source), target=codec_layout(plan.target))


def test_five_pointwise_steps_are_one_kernel_of_three_bytes_per_pixel() -> None:
    plan = between_codecs(FIVE_POINTWISE)
    figures = plan.describe()
    assert (figures["launches"], figures["graph_nodes"], figures["bytes_per_pixel"]) == (1, 1, 3.0)
    assert plan.blocks == ()


def test_upscaling_and_sharpening_nv12_are_four_launches() -> None:
    """Luma and both chroma planes of scale, then of cas: 1.5 bytes of NV12 in, 16 bits between, 1.5 bytes out."""
    plan = between_codecs("scale=iw*2:ih*2:flags=lanczos,cas,format=yuv420p")
    figures = plan.describe()
    assert [(launch.name, launch.planes) for launch in plan.launches] == [
        ("scale", 1), ("scale", 2), ("cas", 1), ("cas", 2),
    ]  # fmt: skip
    assert figures["graph_nodes"] == 4
    assert figures["bytes_per_pixel"] == 1.5 / 4 + 3 + 3 + 1.5
    macros = [dict(launch.kernel.defines) for launch in plan.launches]
    assert [(m["STEP_IN"], m["STEP_OUT"]) for m in macros] == [(1, 1), (2, 1), (1, 1), (1, 2)]
    assert [(m["SAMPLE_IN"], m["SAMPLE_OUT"]) for m in macros[:3:2]] == [
        ("unsigned char", "unsigned short"), ("unsigned short", "unsigned char"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "chain",
    [
        "colorspace=all=bt2020",
        "eq=contrast=1.1,colorspace=all=bt2020,eq=saturation=1.1,eq=gamma=0.9,colorspace=range=pc",
    ],
)
def test_colour_steps_on_halved_chroma_are_one_kernel_too(chain: str) -> None:
    """Chroma comes up and goes down on chip: the CPU's plan has up to four passes and 16 bits between them."""
    figures = between_codecs(chain).describe()
    assert (figures["launches"], figures["bytes_per_pixel"]) == (1, 3.0)


def test_ten_bits_move_twice_the_bytes() -> None:
    assert between_codecs(FIVE_POINTWISE, "yuv420p10").describe()["bytes_per_pixel"] == 6.0


def test_equal_planes_share_a_launch_and_unequal_ones_do_not() -> None:
    assert [launch.planes for launch in between_codecs("cas", "gbrp").launches] == [3]
    assert [launch.planes for launch in between_codecs("cas", "yuv420p").launches] == [1, 2]
    apart = plan_device(plan_of("cas"), source=Layout.PLANAR)
    assert [launch.planes for launch in apart.launches] == [1, 1, 1]
    batch = plan_device(plan_of("cas"), source=Layout.SEMIPLANAR, frames=4)
    assert [launch.planes for launch in batch.launches] == [1, 1, 1]


def test_memory_between_stages_is_used_again() -> None:
    plan = plan_device(plan_of("cas,unsharp=la=0.5:ca=0.5,cas,unsharp=la=0.5:ca=0.5,cas,unsharp=la=0.5:ca=0.5"))
    assert len(plan.surfaces) == 2 + 5
    assert len(plan.blocks) == 2
    assert plan.work_bytes == 2 * plan.surfaces[2].size_bytes
    for launch, later in zip(plan.launches, plan.launches[1:], strict=False):
        reads = {plan.block_of.get(o.surface, -1) for o in launch.operands if not o.writes}
        writes = {plan.block_of.get(o.surface, -2) for o in launch.operands if o.writes}
        assert not reads & writes
        assert launch.name in {"cas", "unsharp"}
        assert later.operands


def test_planes_that_nobody_changes_are_carried_along_or_copied() -> None:
    carried = between_codecs("eq=contrast=1.2")
    assert [(launch.name, launch.written_bytes) for launch in carried.launches] == [("eq", 1920 * 1080 * 3 // 2)]
    copied = between_codecs("cas=planes=1")
    assert [launch.name for launch in copied.launches] == ["cas", "copy"]
    assert copied.launches[1].written_bytes == 1920 * 1080 // 2
    assert [launch.name for launch in between_codecs("").launches] == ["copy"]


def test_same_steps_with_other_numbers_are_the_same_kernel() -> None:
    first, second = (between_codecs(f"eq=contrast={c}:saturation=1.1") for c in (1.2, 1.3))
    assert first.launches[0].kernel == second.launches[0].kernel
    assert first.launches[0].arguments != second.launches[0].arguments
    smaller = plan_device(plan_of("eq=contrast=1.2:saturation=1.1", width=64, height=48), source=Layout.SEMIPLANAR,
                          target=Layout.SEMIPLANAR)  # fmt: skip
    assert smaller.launches[0].kernel == first.launches[0].kernel


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10", "gray", "gbrp16", "yuv411p"])
def test_planes_of_a_surface_never_overlap(name: str, layout: Layout, frames: int) -> None:
    format_ = VideoFormat(width=67, height=35, pixel_format=pixel_format(name))
    surface = surface_of(format_, layout, frames)
    size = surface.dtype.itemsize
    taken: set[int] = set()
    for place in surface.places:
        for frame in range(frames):
            start = place.offset_bytes // size + frame * place.frame_stride
            rows = (start + y * place.pitch for y in range(place.rows))
            samples = {row + x * place.step for row in rows for x in range(place.columns)}
            assert not samples & taken
            assert max(samples) * size < surface.size_bytes
            taken |= samples
    assert len(taken) * size == frames * format_.bytes_per_frame


def test_small_frames_share_launches() -> None:
    sizes = {(3840, 2160): 1, (1920, 1080): 1, (1280, 720): 2, (640, 360): 8, (64, 48): 8}
    for (width, height), frames in sizes.items():
        plan = plan_of("eq=contrast=1.2", width=width, height=height)
        assert shared_frames(plan.source, plan.target) == frames
        assert describe_device(plan)["frames_per_launch"] == frames
    assert shared_frames(plan.source, plan_of("scale=iw*4:ih*4", width=640, height=360).target) == 1


def test_memory_grows_with_what_is_in_flight() -> None:
    plan = between_codecs("scale=iw*2:ih*2,cas")
    source, target = (plan.surfaces[end].size_bytes for end in (SOURCE, TARGET))
    assert (source, target) == (1920 * 1080 * 3 // 2, 3840 * 2160 * 3 // 2)
    assert plan.memory_bytes(5) - plan.memory_bytes(3) == 2 * (source + target)
    assert Fraction(plan.work_bytes, target) == pytest.approx(2, rel=0.02)  # one frame of 16 bits, and weights


def test_figures_say_why_there_are_none() -> None:
    assert "unavailable" not in describe_device(plan_of("cas"))


def test_samples_generate_a_kernel_each() -> None:
    kernels = generated_kernels()
    assert len(kernels) > 40
    assert all("#include" in kernel.source for kernel in kernels.values())
