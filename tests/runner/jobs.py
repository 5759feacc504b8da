"""Jobs, sources and offers that tests plan with: plain values, no file behind them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

from kernels.io.frame_index import FrameIndex
from runner.inspection import SourceFacts
from runner.planning import Conditions
from runner.provider import Offer
from runner.records import SourceId
from runner.spec import EncodeSpec, JobSpec
from runner.speeds import Abilities
from runner.workload import StageLoad, Workload

NOW_S = 1_800_000_000.0


def index_of(frames: int = 3000, *, rate: int = 25, group: int = 50) -> FrameIndex:
    """A constant rate, in ticks of one frame."""
    keyframes = tuple(range(0, frames, group))
    return FrameIndex(
        time_base=Fraction(1, rate),
        start_s=Fraction(0),
        pts=tuple(range(frames)),
        last_duration=1,
        keyframes=keyframes,
        keyframe_dts=keyframes,
    )


def spec_of(**changes: Any) -> JobSpec:
    values: dict[str, Any] = {
        "input": "b2://bucket/in.mp4",
        "output": "b2://bucket/out.mp4",
        "chain": "scale=w=iw*2:h=-2",
        "container": "mp4",
        "encode": EncodeSpec(codec="h264"),
        "max_price_usd_per_h": Decimal("0.60"),
        "budget_usd": Decimal("2.00"),
    }
    return JobSpec(**(values | changes))


def workload_of(**changes: Any) -> Workload:
    values: dict[str, Any] = {
        "source_codec": "h264",
        "source_megapixels": 2.0736,
        "source_depth": 8,
        "source_chroma": "4:2:0",
        "stages": (StageLoad(operations=("scale",), mixes=False, megapixels=8.2944, moved_bytes=15_552_000),),
        "target_codec": "h264",
        "preset": "medium",
        "crf": 18.0,
        "target_megapixels": 8.2944,
        "target_depth": 8,
        "target_chroma": "4:2:0",
        "target_frame_bytes": 12_441_600,
    }
    return Workload(**(values | changes))


def facts_of(index: FrameIndex | None = None, *, size_bytes: int = 120_000_000, **changes: Any) -> SourceFacts:
    values: dict[str, Any] = {
        "id": SourceId(location="b2://bucket/in.mp4", size_bytes=size_bytes, etag="e", version="v1"),
        "index": index or index_of(),
        "chain": "scale=w=iw*2:h=-2",
        "context": (0, 0),
        "workload": workload_of(),
    }
    return SourceFacts(**(values | changes))


def offer_of(number: int = 1, **changes: Any) -> Offer:
    values: dict[str, Any] = {
        "id": str(number),
        "machine": f"m{number}",
        "gpu_name": "RTX 4090",
        "num_gpus": 1,
        "vram_gb": 24.0,
        "price_usd_per_h": Decimal("0.35"),
        "down_usd_per_gb": Decimal("0.002"),
        "up_usd_per_gb": Decimal("0.004"),
        "reliability": 0.99,
        "cpu_cores": 16.0,
        "memory_gb_per_s": 1008.0,
        "down_mbps": 900.0,
        "up_mbps": 500.0,
    }
    return Offer(**(values | changes))


def conditions(**changes: Any) -> Conditions:
    values: dict[str, Any] = {"now_s": NOW_S, "started_s": NOW_S, "abilities": Abilities()}
    return Conditions(**(values | changes))
