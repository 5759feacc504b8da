"""What a chain becomes: stages, formats between them, where rounding and dither happen."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.color import Color, Matrix, Primaries, Range
from kernels.errors import ChainError
from kernels.frame import VideoFormat
from kernels.pixel_format import pixel_format
from kernels.plan import Plan, plan_chain


def planned(chain: str, source: str = "yuv420p", out: str | None = None, **facts: object) -> Plan:
    form = VideoFormat(width=64, height=48, pixel_format=pixel_format(source), **facts)  # type: ignore[arg-type]
    return plan_chain(form, parse_chain(chain, CATALOGUE), pixel_format=pixel_format(out) if out else None)


def shape(plan: Plan) -> list[tuple[str, str, str]]:
    return [(s.name, str(s.source.pixel_format), str(s.target.pixel_format)) for s in plan.stages]


def test_empty_chain_has_no_stage() -> None:
    assert planned("").stages == ()


def test_one_stage_goes_from_source_to_output_depth() -> None:
    assert shape(planned("unsharp")) == [("unsharp", "yuv420p", "yuv420p")]


def test_arithmetic_stages_exchange_16_bits_and_round_once() -> None:
    assert shape(planned("unsharp,scale=32:24,eq=contrast=1.1")) == [
        ("unsharp", "yuv420p", "yuv420p<<8"),
        ("scale", "yuv420p<<8", "yuv420p<<8"),
        ("eq", "yuv420p<<8", "yuv420p"),
    ]


def test_moving_stages_keep_what_they_get() -> None:
    assert shape(planned("hflip,unsharp,vflip", "yuv420p10")) == [
        ("hflip", "yuv420p10", "yuv420p10"),
        ("unsharp", "yuv420p10", "yuv420p10"),
        ("vflip", "yuv420p10", "yuv420p10"),
    ]


def test_pointwise_steps_fuse_into_one_stage() -> None:
    plan = planned("eq=contrast=1.1,eq=brightness=0.1,format=yuv420p10")
    assert [s.name for s in plan.stages] == ["eq+eq+format"]
    gbr = planned("format=gbrp,colorspace=trc=linear,format=gbrp10", "yuv444p")
    assert [s.name for s in gbr.stages] == ["format+colorspace+format"]


def test_colour_brings_halved_chroma_up_on_load_and_shows_the_way_down() -> None:
    assert shape(planned("colorspace=space=bt709")) == [
        ("colorspace", "yuv420p", "yuv444p<<8"),
        ("scale", "yuv444p<<8", "yuv420p"),
    ]
    assert shape(planned("format=gbrp")) == [("format", "yuv420p", "gbrp")]
    assert shape(planned("format=gbrp", "yuv410p")) == [
        ("scale", "yuv410p", "yuv444p<<8"),
        ("format", "yuv444p<<8", "gbrp"),
    ]


def test_two_conversions_resample_chroma_once() -> None:
    plan = planned("colorspace=space=bt709,colorspace=space=bt2020nc")
    assert [s.name for s in plan.stages] == ["colorspace+colorspace", "scale"]


def test_nothing_to_do_is_no_stage() -> None:
    assert planned("format=yuv420p,scale=iw:ih,crop=iw:ih,pad=iw:ih,transpose=passthrough=landscape").stages == ()


def test_dither_only_where_the_output_is_shallower() -> None:
    assert [s.dither for s in planned("format=yuv420p10").stages] == [False]
    assert [s.dither for s in planned("format=yuv420p", "yuv420p10").stages] == [True]
    assert [s.dither for s in planned("unsharp,eq=contrast=2").stages] == [False, False]
    assert [s.dither for s in planned("format=yuv420p:dither=0", "yuv420p10").stages] == [False]


def test_a_deeper_format_after_a_plane_stage_costs_no_pass() -> None:
    assert shape(planned("unsharp,format=yuv420p10")) == [("unsharp", "yuv420p", "yuv420p10")]
    assert shape(planned("unsharp", out="yuv420p12")) == [("unsharp", "yuv420p", "yuv420p12")]
    full = planned("unsharp,format=yuv420p10", color=Color(range=Range.FULL))
    assert [s.name for s in full.stages] == ["unsharp", "format"]
    assert [s.name for s in planned("hflip,format=yuv420p10").stages] == ["hflip", "format"]


def test_a_plane_stage_hands_over_to_a_dithering_store() -> None:
    plan = planned("format=yuv420p,unsharp", "yuv420p10")
    assert shape(plan) == [
        ("format", "yuv420p10", "yuv420p<<8"),
        ("unsharp", "yuv420p<<8", "yuv420p<<8"),
        ("format", "yuv420p<<8", "yuv420p"),
    ]
    assert [s.dither for s in plan.stages] == [False, False, True]


def test_encoder_format_is_appended() -> None:
    plan = planned("unsharp", "yuv422p", out="yuv420p10")
    assert shape(plan)[-1][2] == "yuv420p10"
    assert plan.target.pixel_format.name == "yuv420p10"


def test_untagged_colour_is_settled_at_the_source_size() -> None:
    plan = planned("scale=3840:2160")
    assert plan.target.color.matrix is Matrix.SMPTE170M
    assert plan.target.color.range is Range.LIMITED


def test_tags_that_are_there_stay() -> None:
    plan = planned("scale=32:-2", color=Color(matrix=Matrix.BT2020_NCL, range=Range.FULL))
    assert plan.target.color.matrix is Matrix.BT2020_NCL
    assert plan.target.color.range is Range.FULL


def test_display_aspect_is_kept_by_scale_and_turned_by_transpose() -> None:
    assert planned("scale=32:48", sample_aspect_ratio=Fraction(1)).target.sample_aspect_ratio == 2
    assert planned("transpose", sample_aspect_ratio=Fraction(4, 3)).target.sample_aspect_ratio == Fraction(3, 4)
    turned = planned("transpose", "yuv422p").target
    assert (turned.width, turned.height, turned.pixel_format.name) == (48, 64, "yuv440p")


def test_impossible_size_points_at_its_step() -> None:
    with pytest.raises(ChainError, match="does not fit") as caught:
        planned("hflip,crop=1000:10")
    assert caught.value.position == 6


@pytest.mark.parametrize(
    ("chain", "position"), [("hflip,scale=w=foo:h=2", 14), ("crop=10:ih/0", 8), ("pad=80:60:x='1+'", 13)]
)
def test_an_expression_without_a_value_is_pointed_at(chain: str, position: int) -> None:
    with pytest.raises(ChainError) as caught:
        planned(chain)
    assert caught.value.position == position


def test_new_tags_alone_resample_no_chroma() -> None:
    plan = planned("colorspace=primaries=bt2020:fast=1")
    assert plan.target.color.primaries is Primaries.BT2020
    assert not any(stage.mixes for stage in plan.stages)
    assert all(stage.target.pixel_format.is_subsampled for stage in plan.stages)


def test_eq_refuses_rgb_and_says_what_to_do() -> None:
    with pytest.raises(ChainError, match="put format=yuv444p before it"):
        planned("eq=contrast=2", "gbrp")


def test_description_counts_bytes_per_pixel() -> None:
    stage = planned("unsharp").stages[0].describe()
    assert stage["read_bytes_per_pixel"] == stage["write_bytes_per_pixel"] == 1.5
