"""What a job costs on an offer: machine, disk, traffic both ways and the image, with how sure that is."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from runner.speeds import bits_per_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.provider import Offer
    from runner.speeds import Speed
    from runner.workload import Workload

IMAGE_GB: Final = 4.0
"""The worker's image as it is pulled; hosts may bill the traffic."""
PROBE_S: Final = 30.0
"""From the container's start to the first frame: probes, compilation of kernels."""
START_S: Final = 3.0
"""Of a worker on this machine."""
SEGMENT_S: Final = 1.0
"""Around each segment: opening, checking, committing."""
CREATE_S: Final = 60.0
"""From renting to the container's start, without pulling the image."""
DESTROY_S: Final = 120.0
"""How long destroying and proving it may take while the machine is billed."""

ESTIMATE_FACTOR: Final = 2.0
"""A speed that was estimated may be wrong by this much either way."""
MEASURED_FACTOR: Final = 1.25
SMALL_OUTPUT: Final = 0.4
LARGE_OUTPUT: Final = 2.5
"""What the output may take, as parts of what is likely: nobody knows how well a picture compresses."""

ASSUMED_RELIABILITY: Final = 0.9
"""Of a host of which nothing is known."""
BID_SURVIVES: Final = 0.8
"""Chance that a bid is not outbid while a job runs."""
LEAST_CHANCE: Final = 0.05

# Bits per pixel of a clip of ordinary detail at the codec's default quality; every 6 steps of crf halve or double it.
_BITS_PER_PIXEL: Final = {"h264": 0.16, "hevc": 0.10, "av1": 0.06, "vp9": 0.09}
_DEFAULT_CRF: Final = {"h264": 18.0, "hevc": 20.0, "av1": 25.0, "vp9": 25.0}
OTHER_STREAMS: Final = 0.1
"""Part of a source that is sound and whatever else is copied."""
LOSSLESS: Final = 0.5
"""Part of the raw picture that a lossless codec keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The part of a job that is still to be done."""

    frames: int
    """To be written."""
    lead_frames: int
    """To be decoded and thrown away, context included."""
    segments: int
    source_bytes: float
    """Of the source that will be read for them, lead-in included."""
    copied_bytes: float
    """Of the source that is read once more when everything is joined."""
    whole_frames: int
    """Of the output: all of it is read and written when it is joined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One of the jobs that a machine does one after the other."""

    speed: Speed
    workload: Workload
    share: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Dollars for some work on one offer; low <= likely <= high."""

    low: Decimal
    likely: Decimal
    high: Decimal
    expected: Decimal
    """What is likely, divided by the chance that this host lasts: what offers are ranked by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one offer means for some work."""

    cost: Cost
    wall_s: float
    """From renting to the end, likely."""
    high_wall_s: float
    down_gb: float
    up_gb: float
    traffic_high: Decimal
    """Dollars for traffic at worst: what must be left of a budget when time runs out."""
    chance: float
    """That the host lasts as long as the work."""


def output_frame_bytes(work: Workload) -> float:
    """What a frame of the output is likely to take."""
    if work.target_codec not in _BITS_PER_PIXEL:
        return work.target_frame_bytes * LOSSLESS
    crf = _DEFAULT_CRF[work.target_codec] if work.crf is None else work.crf
    bits = _BITS_PER_PIXEL[work.target_codec] * 2 ** ((_DEFAULT_CRF[work.target_codec] - crf) / 6)
    return min(bits * work.target_megapixels * 1e6 / 8, float(work.target_frame_bytes))


def success_chance(offer: Offer, wall_s: float) -> float:
    """The chance that `offer` lasts `wall_s`.

    A provider's reliability is the part of the time that a host was there; it is taken as the chance to last a day,
    and at least once for a job of any length.
    """
    reliability = ASSUMED_RELIABILITY if offer.reliability is None else offer.reliability
    chance = float(reliability ** max(1.0, wall_s / 86_400)) * (BID_SURVIVES if offer.is_bid else 1.0)
    return max(LEAST_CHANCE, min(1.0, chance))


def estimate(offer: Offer, speed: Speed, work: Workload, share: Share) -> Estimate:
    """What the rest of a job would take and cost on `offer`."""
    return estimate_all(offer, (Task(speed=speed, workload=work, share=share),))


def estimate_all(offer: Offer, tasks: Sequence[Task]) -> Estimate:
    """What several jobs would take and cost on `offer`, which is rented once for all of them."""
    likely = _one(offer, tasks, pulls=1, output=1.0, slowness=0)
    low = _one(offer, tasks, pulls=0, output=SMALL_OUTPUT, slowness=-1)
    high = _one(offer, tasks, pulls=2, output=LARGE_OUTPUT, slowness=1)
    chance = success_chance(offer, likely.wall_s)
    return Estimate(
        cost=Cost(
            low=low.dollars,
            likely=likely.dollars,
            high=high.dollars,
            expected=likely.dollars / Decimal(repr(chance)),
        ),
        wall_s=likely.wall_s,
        high_wall_s=high.wall_s,
        down_gb=likely.down_gb,
        up_gb=likely.up_gb,
        traffic_high=high.traffic,
        chance=chance,
    )


@dataclass(frozen=True, slots=True)
class _Case:
    wall_s: float
    down_gb: float
    up_gb: float
    traffic: Decimal
    dollars: Decimal


def _one(offer: Offer, tasks: Sequence[Task], *, pulls: int, output: float, slowness: int) -> _Case:
    """One case: the image is pulled `pulls` times, outputs take `output` times what is likely, and the time of the
    work is off by the factor of its speed to the power of `slowness`.

    A host may have the image already; and a machine may be lost once it runs, so that another one has to start.
    """
    down_bits_per_s, up_bits_per_s = bits_per_s(offer, offer.down_mbps), bits_per_s(offer, offer.up_mbps)
    if not offer.price_usd_per_h:  # what costs nothing is this machine
        image_gb, wall_s = 0.0, START_S
    else:
        image_gb = pulls * IMAGE_GB
        wall_s = pulls * CREATE_S + image_gb * 8e9 / down_bits_per_s + max(1, pulls) * PROBE_S
    down_gb, up_gb = image_gb, 0.0
    for task in tasks:
        share, speed = task.share, task.speed
        frame_bytes = output_frame_bytes(task.workload) * output
        written, joined = share.frames * frame_bytes, share.whole_frames * frame_bytes
        sent = joined + share.copied_bytes * OTHER_STREAMS
        # What other machines made is read to be joined. At worst nothing of this one's stays in memory: it is read back
        # before it counts, and once more to be joined.
        joined_down = written + joined if slowness > 0 else joined - written
        down_gb += (share.source_bytes + joined_down + share.copied_bytes) / 1e9
        up_gb += (written + sent) / 1e9
        work_s = share.frames * speed.frame_s + share.lead_frames * speed.lead_frame_s + share.segments * SEGMENT_S
        join_s = max((joined_down + share.copied_bytes) * 8 / down_bits_per_s, sent * 8 / up_bits_per_s)
        wall_s += (work_s + join_s) * (MEASURED_FACTOR if speed.measured else ESTIMATE_FACTOR) ** slowness
    traffic = _dollars(down_gb) * offer.down_usd_per_gb + _dollars(up_gb) * offer.up_usd_per_gb
    return _Case(wall_s, down_gb, up_gb, traffic, _dollars(wall_s / 3600) * offer.price_usd_per_h + traffic)


def _dollars(value: float) -> Decimal:
    """A float as the decimal it is written as: money is never added up in binary."""
    return Decimal(repr(value))
