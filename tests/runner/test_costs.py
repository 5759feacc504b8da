"""Estimates go the right way: more work and dearer machines cost more; and measured jobs come out right."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.catalogue import CATALOGUE
from kernels.io.encode import ENCODERS
from runner.costs import Share, estimate, output_frame_bytes, success_chance
from runner.gpus import GPUS
from runner.speeds import Abilities, JobRate, Speed, shipped_table, speed_of
from runner.workload import StageLoad
from tests.runner.jobs import offer_of, workload_of

NOTHING = Abilities()
ALL = Abilities(cuda=True, nvdec=True, nvenc=True)
TABLE = shipped_table()
SHARE = Share(frames=3000, lead_frames=100, segments=4, source_bytes=120e6, copied_bytes=120e6, whole_frames=3000)
SPEED = Speed(frame_s=0.05, lead_frame_s=0.001, limit="processor", measured=False)
dollars = st.decimals(Decimal("0.001"), 5, places=3)


@given(price=dollars, more=dollars)
def test_a_dearer_machine_costs_more(price: Decimal, more: Decimal) -> None:
    one, other = (
        estimate(offer_of(price_usd_per_h=p), SPEED, workload_of(), SHARE).cost for p in (price, price + more)
    )
    assert one.low < other.low
    assert one.likely < other.likely
    assert one.high < other.high
    assert one.expected < other.expected


@given(
    frames=st.integers(1, 10**6),
    lead=st.integers(0, 10**4),
    size=st.floats(0, 1e12),
    frame_s=st.floats(1e-5, 10),
    reliability=st.floats(0, 1),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_low_likely_and_high_are_in_order(
    frames: int, lead: int, size: float, frame_s: float, reliability: float, flags: tuple[bool, bool]
) -> None:
    measured, is_bid = flags
    speed = Speed(frame_s=frame_s, lead_frame_s=frame_s / 10, limit="processor", measured=measured)
    share = replace(SHARE, frames=frames, lead_frames=lead, source_bytes=size, copied_bytes=size, whole_frames=frames)
    one = estimate(offer_of(reliability=reliability, is_bid=is_bid), speed, workload_of(), share)
    assert 0 < one.cost.low <= one.cost.likely <= one.cost.high
    assert one.cost.likely <= one.cost.expected
    assert 0 < one.wall_s <= one.high_wall_s
    assert one.traffic_high <= one.cost.high


@given(st.integers(1, 10**5), st.integers(1, 10**5))
def test_more_frames_take_longer_and_cost_more(frames: int, more: int) -> None:
    def of(count: int) -> tuple[float, Decimal]:
        one = estimate(offer_of(), SPEED, workload_of(), replace(SHARE, frames=count, whole_frames=count))
        return one.wall_s, one.cost.likely

    assert of(frames) < of(frames + more)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 1e6))
def test_a_host_that_is_there_more_is_trusted_more(some: float, more: float, wall_s: float) -> None:
    low, high = sorted((some, more))
    chances = [success_chance(offer_of(reliability=r), wall_s) for r in (low, high)]
    assert 0 < chances[0] <= chances[1] <= 1
    assert success_chance(offer_of(reliability=low, is_bid=True), wall_s) <= chances[0]


@given(st.floats(1, 64), st.floats(1, 64))
def test_more_cores_are_never_slower(some: float, more: float) -> None:
    low, high = sorted((some, more))
    one, other = (speed_of(offer_of(cpu_cores=c), workload_of(), TABLE, abilities=NOTHING) for c in (low, high))
    assert other.fps >= one.fps


def test_everything_is_billed() -> None:
    free = offer_of(down_usd_per_gb=Decimal(0), up_usd_per_gb=Decimal(0))
    bare = estimate(free, SPEED, workload_of(), SHARE)
    down = estimate(replace(free, down_usd_per_gb=Decimal(1)), SPEED, workload_of(), SHARE)
    up = estimate(replace(free, up_usd_per_gb=Decimal(1)), SPEED, workload_of(), SHARE)
    assert float(down.cost.likely - bare.cost.likely) == pytest.approx(bare.down_gb)
    assert float(up.cost.likely - bare.cost.likely) == pytest.approx(bare.up_gb)
    assert bare.down_gb == pytest.approx(4 + 0.24)  # the image, and the source twice
    output_gb = SHARE.frames * output_frame_bytes(workload_of()) / 1e9
    assert float(down.traffic_high) > 8 + 0.24 + 2 * output_gb  # another image, and every segment twice
    assert float(bare.cost.likely) == pytest.approx(bare.wall_s / 3600 * 0.35)


def test_the_measured_job_comes_out_as_measured() -> None:
    """150 frames of 1080p to 2160p, x264 veryfast, took 26.25 s on two cores (benchmarks/results, job_scale_2x)."""
    here = offer_of(cpu_cores=2.0, gpu_name="", price_usd_per_h=Decimal(0), down_mbps=None, up_mbps=None)
    speed = speed_of(here, workload_of(preset="veryfast"), TABLE, abilities=NOTHING)
    assert 150 * speed.frame_s == pytest.approx(26.25, rel=0.1)
    sharpened = workload_of(
        preset="veryfast",
        stages=(
            *workload_of().stages,
            StageLoad(operations=("cas",), mixes=False, megapixels=8.2944, moved_bytes=24_883_200),
        ),
    )
    speed = speed_of(here, sharpened, TABLE, abilities=NOTHING)
    assert 90 * speed.frame_s == pytest.approx(17.68, rel=0.1)


def test_every_operation_codec_and_preset_has_a_rate() -> None:
    for name in CATALOGUE:
        stage = StageLoad(operations=(name,), mixes=False, megapixels=2.0, moved_bytes=6_000_000)
        for abilities in (NOTHING, ALL):
            assert speed_of(offer_of(), workload_of(stages=(stage,)), TABLE, abilities=abilities).fps > 0
    for codec, encoder in ENCODERS.items():
        fps = [
            speed_of(offer_of(), workload_of(target_codec=codec, preset=preset), TABLE, abilities=NOTHING).fps
            for preset in encoder.presets
        ]
        assert fps == sorted(fps) or fps == sorted(fps, reverse=True)
        assert output_frame_bytes(workload_of(target_codec=codec)) > 0


def test_the_slowest_part_decides_and_is_named() -> None:
    gpu = GPUS["RTX 4090"]

    def limit(encoder: str = "software", source_frame_bytes: float = 0.0, **offer: Any) -> str:
        return speed_of(
            offer_of(**offer),
            workload_of(),
            TABLE,
            encoder=encoder,
            abilities=ALL,
            gpu=gpu,
            source_frame_bytes=source_frame_bytes,
        ).limit

    assert limit() == "processor"
    assert limit("nvenc-ada") == "encoder"
    assert limit("nvenc-ada", source_frame_bytes=1e8) == "download"
    assert limit("nvenc-ada", memory_gb_per_s=1.0) == "GPU"


def test_a_gpu_without_an_engine_for_the_source_decodes_on_the_processor() -> None:
    hopper = {"gpu": GPUS["H100 SXM"], "abilities": ALL}
    one = speed_of(offer_of(gpu_name="H100 SXM"), workload_of(source_codec="av1"), TABLE, **hopper)  # type: ignore[arg-type]
    other = speed_of(offer_of(gpu_name="H100 SXM"), workload_of(source_codec="hevc"), TABLE, **hopper)  # type: ignore[arg-type]
    assert one.lead_frame_s > other.lead_frame_s


def test_a_measured_job_is_believed() -> None:
    row = JobRate(
        gpu_name="RTX 4090",
        encoder="software",
        operations=("scale",),
        target_codec="h264",
        preset="medium",
        megapixels_per_s=829.44,
    )
    speed = speed_of(offer_of(), workload_of(), TABLE.model_copy(update={"jobs": (row,)}), abilities=NOTHING)
    assert speed.measured
    assert speed.fps == pytest.approx(100)


def test_measured_rows_name_what_they_were_measured_on() -> None:
    assert all((row.device is None) == (row.origin is None) for row in TABLE.cpu)
    assert all((row.device is None) == (row.origin is None) for row in TABLE.gpu)
    assert sum(row.device is not None for row in TABLE.cpu) >= 7
