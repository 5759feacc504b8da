"""Whether one offer can do some work within the limits, and what that would take and cost. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernels.io.capabilities import HARDWARE_DECODED
from runner.costs import DESTROY_S, Task, estimate_all, output_frame_bytes
from runner.speeds import SOFTWARE, speed_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.costs import Estimate, Share
    from runner.gpus import Gpu
    from runner.inspection import SourceFacts
    from runner.planning import Conditions, Limits
    from runner.provider import Offer
    from runner.records import WorkPlan
    from runner.spec import JobSpec
    from runner.speeds import Speed
    from runner.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One offer that can do the work within its limits."""

    offer: Offer
    encoder: str
    """Encoder family it would use: where there are several jobs, for those that NVENC can do."""
    speed: Speed
    """Over all jobs."""
    estimate: Estimate
    deadline_s: float | None
    """Seconds since 1970 after which nothing of the work may run there: the job's own deadline or what the budget
    pays for, whichever is first. None where neither is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One offer that cannot, and why."""

    offer: Offer
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is left of one of the jobs that one machine is to do."""

    work: WorkPlan
    facts: SourceFacts
    share: Share


def families(work: Workload, wanted: str, offer: Offer, now: Conditions) -> tuple[str, ...]:
    """Encoder families that `offer` could use for frames of `work`: `software`, `nvenc-ada`, ...

    Generations are kept apart: their streams have other headers, and segments of one job are joined untouched.
    """
    found = [] if wanted == "nvenc" else [SOFTWARE]
    gpu = now.gpus.get(offer.gpu_name)
    can = gpu is not None and gpu.encodes(work.target_codec, depth=work.target_depth, chroma=work.target_chroma)
    if gpu is not None and can and wanted != SOFTWARE and now.abilities.nvenc and not work.nvenc_problem:
        found.append(gpu.generation.family)
    return tuple(found)


def ways(parts: Sequence[Part], offer: Offer, now: Conditions) -> dict[str, tuple[str, ...]]:
    """How `offer` could encode all of `parts`: for each family it would be said to use, that of each part.

    A part that NVENC cannot do is done in software beside those that it can. Empty where one of them cannot be done.
    """
    able = [families(one.facts.workload, one.work.spec.encode.encoder, offer, now) for one in parts]
    found = {}
    for family in sorted({name for names in able for name in names}):
        used = [family if family in names else SOFTWARE if SOFTWARE in names else "" for names in able]
        if all(used):
            found[family] = tuple(used)
    return found


def planned_way(parts: Sequence[Part], offer: Offer, now: Conditions) -> dict[str, tuple[str, ...]]:
    """As `ways`, only as the parts were planned: empty where `offer` has not every family that they need."""
    used = tuple(one.work.encoder for one in parts)
    for one, family in zip(parts, used, strict=True):
        if family not in families(one.facts.workload, one.work.spec.encode.encoder, offer, now):
            return {}
    return {next((family for family in used if family != SOFTWARE), SOFTWARE): used}


def judge(
    parts: Sequence[Part], offer: Offer, family: str, encoders: Sequence[str], now: Conditions
) -> Choice | Refusal:
    """All of `parts` on `offer`, one after the other, each with its own one of `encoders`."""
    limits = now.limits_of(parts[0].work.spec)
    problem = gpu_problem(parts, offer, now)
    if problem:
        return Refusal(offer=offer, reason=problem)
    limit = limits.max_price_usd_per_h
    if limit is not None and offer.price_usd_per_h > limit:
        return Refusal(offer=offer, reason=f"${offer.price_usd_per_h:.3f}/h is above the limit of ${limit}/h")
    tasks = [_task(part, offer, encoder, now) for part, encoder in zip(parts, encoders, strict=True)]
    one = estimate_all(offer, tasks)
    deadline_s = _deadline_s(offer, one, limits, now)
    if deadline_s is not None and now.now_s + one.wall_s > deadline_s:
        left = hours(max(0.0, deadline_s - now.now_s))
        reason = f"needs about {hours(one.wall_s)} (${one.cost.likely:.3f}), {which(deadline_s, limits)} leaves {left}"
        return Refusal(offer=offer, reason=reason)
    if offer.ends_in_s is not None and offer.ends_in_s < one.wall_s:
        return Refusal(offer=offer, reason=f"the host leaves in {hours(offer.ends_in_s)}")
    return Choice(offer=offer, encoder=family, speed=_overall(tasks), estimate=one, deadline_s=deadline_s)


def gpu_problem(parts: Sequence[Part], offer: Offer, now: Conditions) -> str:
    """Why the GPU of `offer` cannot do what it would have to; empty where it can, or has nothing to do."""
    gpu = now.gpus.get(offer.gpu_name)
    found = (_gpu_problem(offer, one.work.spec, one.facts.workload, gpu) for one in parts)
    return next(filter(None, found), "")


def _gpu_problem(offer: Offer, spec: JobSpec, work: Workload, gpu: Gpu | None) -> str:
    if spec.backend == "cuda":  # which means everything on the GPU, or an error
        if not offer.gpu_name:
            return "it has no GPU"
        if work.cuda_problem:
            return work.cuda_problem
        codec, depth, chroma = work.source_codec, work.source_depth, work.source_chroma
        knows = gpu is None or gpu.decodes(codec, depth=depth, chroma=chroma)
        if not knows or codec not in HARDWARE_DECODED:
            return f"its GPU does not decode {depth}-bit {chroma} {codec}"
    needs_gb = work.gpu_memory_gb
    if offer.gpu_name and spec.backend != "cpu" and offer.vram_gb is not None and offer.vram_gb < needs_gb:
        return f"its GPU has {offer.vram_gb:.1f} GB, the job needs about {needs_gb:.1f}"
    return ""


def _task(part: Part, offer: Offer, encoder: str, now: Conditions) -> Task:
    facts = part.facts
    speed = speed_of(
        offer,
        facts.workload,
        now.table,
        encoder=encoder,
        backend=part.work.spec.backend,
        abilities=now.abilities,
        gpu=now.gpus.get(offer.gpu_name),
        source_frame_bytes=facts.id.size_bytes / len(facts.index),
        target_frame_bytes=output_frame_bytes(facts.workload),
    )
    return Task(speed=speed, workload=facts.workload, share=part.share)


def _overall(tasks: Sequence[Task]) -> Speed:
    """The speed over all of them; what limits it is what limits the longest."""
    frames = sum(one.share.frames for one in tasks)
    times = [one.share.frames * one.speed.frame_s for one in tasks]
    longest = tasks[times.index(max(times))].speed
    if len(tasks) == 1 or not frames:
        return longest
    return replace(longest, frame_s=sum(times) / frames, measured=all(one.speed.measured for one in tasks))


def _deadline_s(offer: Offer, one: Estimate, limits: Limits, now: Conditions) -> float | None:
    """When everything must be over: traffic at its worst and the time of destroying are put aside first."""
    own = limits.deadline_s
    if limits.budget_usd is None or not offer.price_usd_per_h:
        return own
    left = limits.budget_usd - now.spent_usd - one.traffic_high
    paid_s = now.now_s + float(left / offer.price_usd_per_h) * 3600 - DESTROY_S
    return paid_s if own is None else min(own, paid_s)


def which(deadline_s: float, limits: Limits) -> str:
    """The limit that `deadline_s` comes from."""
    return "the deadline" if deadline_s == limits.deadline_s else f"the budget of ${limits.budget_usd}"


def hours(seconds: float) -> str:
    """`1 h 05 min`, `12 min` or `40 s`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
