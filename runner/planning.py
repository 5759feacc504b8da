"""From a job to a plan: which segments, which machines, how many dollars, until when.

Pure: a function of the job, the source, the offers, the clock and the table of speeds. Nothing is read, nothing
written, and the same values always give the same plan. Limits are the user's: what does not fit is refused, with
the number that would do, and nothing is ever relaxed here.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Final

from kernels.io.capabilities import HARDWARE_DECODED
from kernels.io.span import Span
from runner.costs import DESTROY_S, Share, estimate, output_frame_bytes
from runner.errors import PlanError
from runner.gpus import GPUS
from runner.records import Segment, WorkPlan
from runner.source_index import index_digest
from runner.spec import MAX_SEGMENT_S
from runner.speeds import SOFTWARE, Abilities, shipped_table, speed_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kernels.io.frame_index import FrameIndex
    from runner.costs import Estimate
    from runner.gpus import Gpu
    from runner.inspection import SourceFacts
    from runner.provider import Offer
    from runner.spec import JobSpec
    from runner.speeds import Speed, SpeedTable
    from runner.workload import Workload

SHOWN_REASONS: Final = 3
LONELY_FACTOR: Final = Decimal("1.5")
"""What it is worth that another machine of the same encoder family is on offer."""
SOFTWARE_FACTOR: Final = Decimal("1.25")
"""How much more a job may cost with a software encoder, which needs fewer bits for the same picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One offer that can do the job within its limits."""

    offer: Offer
    encoder: str
    """Encoder family it would use."""
    speed: Speed
    estimate: Estimate
    deadline_s: float | None
    """Seconds since 1970 after which nothing of the job may run there: the job's own deadline or what the budget
    pays for, whichever is first. None where neither is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One offer that cannot, and why."""

    offer: Offer
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """What will be done, and where it can be."""

    work: WorkPlan
    share: Share
    """What is still to be done."""
    choices: tuple[Choice, ...]
    """At least one; the first is the best."""
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]

    @property
    def best(self) -> Choice:
        return self.choices[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be spent, and until when. A job's own, or those that its owner has set since."""

    max_price_usd_per_h: Decimal | None
    budget_usd: Decimal | None
    """For the whole job, what was spent before included."""
    deadline_s: float | None
    """Seconds since 1970."""

    @classmethod
    def of(cls, spec: JobSpec, started_s: float) -> Limits:
        deadline_s = None if spec.deadline_s is None else started_s + spec.deadline_s
        return cls(max_price_usd_per_h=spec.max_price_usd_per_h, budget_usd=spec.budget_usd, deadline_s=deadline_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Everything that a plan depends on beside the job, its source and the offers."""

    now_s: float
    """Seconds since 1970."""
    started_s: float
    """When the run began, on the same clock: what the job's deadline counts from."""
    abilities: Abilities
    """What the worker of this version has; `runner.speeds.worker_abilities()`."""
    spent_usd: Decimal = Decimal(0)
    """By this run so far."""
    costs: bool = True
    """Whether the provider's machines cost money."""
    limits: Limits | None = None
    """None takes the job's own."""
    table: SpeedTable = field(default_factory=shipped_table)
    gpus: Mapping[str, Gpu] = field(default_factory=lambda: GPUS)
    """By the name in offers: what is known of their codec engines."""

    def limits_of(self, spec: JobSpec) -> Limits:
        return self.limits or Limits.of(spec, self.started_s)


def plan_job(
    spec: JobSpec, facts: SourceFacts, offers: Sequence[Offer], *, run: str, code_version: str, now: Conditions
) -> JobPlan:
    """The plan of a new job. Raises `PlanError` where no offer can do it within its limits."""
    _check_limits(now.limits_of(spec), now)
    segments = cut(facts.index, spec, facts.context)
    work = WorkPlan(
        run=run,
        spec=spec,
        source=facts.id,
        index_digest=index_digest(facts.index),
        frames=sum(segment.last - segment.first for segment in segments),
        segments=segments,
        encoder=SOFTWARE,
        code_version=code_version,
    )
    return _choose(work, facts, offers, now=now, done=(), family=None)


def replan(
    work: WorkPlan, facts: SourceFacts, offers: Sequence[Offer], *, now: Conditions, done: Collection[int]
) -> JobPlan:
    """The rest of a job whose machine was lost: the same work and encoder, for the segments that are not `done`."""
    if index_digest(facts.index) != work.index_digest or facts.id != work.source:
        raise PlanError(f"{work.source.location} has changed since the job was planned; submit it again")
    _check_limits(now.limits_of(work.spec), now)
    return _choose(work, facts, offers, now=now, done=done, family=work.encoder)


def cut(index: FrameIndex, spec: JobSpec, context: tuple[int, int] = (0, 0)) -> tuple[Segment, ...]:
    """The frames of the job's span in segments of about equal time, none longer than `segment_s`.

    Every frame is in exactly one. Cuts are between frames of the index, wherever the source has its keyframes.
    Context ends where the span does: a run of the whole span sees no more.
    """
    if spec.segment_s > MAX_SEGMENT_S:
        raise PlanError(f"segments of {spec.segment_s:g} s: must be {MAX_SEGMENT_S} s or less")
    first, last = index.range_of(Span.of(spec.start_s, spec.duration_s))
    if first == last:
        start = float(spec.start_s or 0)
        raise PlanError(f"{spec.input} has no frame from {start:g} s on; it is {float(index.duration_s):.3f} s long")
    begin, end = index.pts[first], index.pts[last - 1] + index.duration_of(last - 1)
    count = max(1, ceil((end - begin) * index.time_base / Fraction(repr(spec.segment_s))))
    times = (begin + Fraction(end - begin) * n / count for n in range(count + 1))
    edges = sorted({min(max(first, bisect_left(index.pts, time)), last) for time in times} | {first, last})
    before, after = context
    return tuple(
        Segment(number=number, first=a, last=b, before=min(before, a - first), after=min(after, last - b))
        for number, (a, b) in enumerate(pairwise(edges))
    )


def share_of(work: WorkPlan, facts: SourceFacts, done: Collection[int] = ()) -> Share:
    """What is still to be done of `work`, in frames and bytes."""
    left = [segment for segment in work.segments if segment.number not in done]
    frames = sum(segment.last - segment.first for segment in left)
    lead = sum(facts.index.lead_in(s.first - s.before) + s.before + s.after for s in left)
    frame_bytes = facts.id.size_bytes / len(facts.index)
    return Share(
        frames=frames,
        lead_frames=lead,
        segments=len(left),
        source_bytes=(frames + lead) * frame_bytes,
        copied_bytes=work.frames * frame_bytes,
        whole_frames=work.frames,
    )


def _check_limits(limits: Limits, now: Conditions) -> None:
    """Money is only spent under both limits."""
    if not now.costs:
        return
    if limits.max_price_usd_per_h is None:
        raise PlanError("no price limit: give --max-price in dollars per hour, or set max_price in framehaul.toml")
    if limits.budget_usd is None:
        raise PlanError("no budget: give --budget in dollars for the whole job, or set budget in framehaul.toml")
    if now.spent_usd >= limits.budget_usd:
        raise PlanError(f"the budget of ${limits.budget_usd} is spent (${now.spent_usd:.4f}); raise it with --budget")


def _choose(
    work: WorkPlan,
    facts: SourceFacts,
    offers: Sequence[Offer],
    *,
    now: Conditions,
    done: Collection[int],
    family: str | None,
) -> JobPlan:
    """Offers ranked by expected dollars, all of one encoder family: the given one, or the best offer's."""
    share = share_of(work, facts, done)
    found: list[Choice] = []
    refused: list[Refusal] = []
    for offer in offers:
        able = families(facts.workload, work.spec.encode.encoder, offer, now)
        usable = [one for one in able if family in (None, one)]
        if not usable:
            why = facts.workload.nvenc_problem or f"it cannot encode with {family or 'NVENC as asked'}"
            refused.append(Refusal(offer=offer, reason=why))
        for encoder in usable:
            judged = _judge(offer, encoder, work.spec, facts, share, now)
            (found if isinstance(judged, Choice) else refused).append(judged)  # type: ignore[arg-type]
    found.sort(key=_rank)
    if not found:
        raise PlanError(_why_none(work.spec, offers, refused))
    encoder = family or _family(found)
    work = work.model_copy(update={"encoder": encoder})
    choices = tuple(choice for choice in found if choice.encoder == encoder)
    others: dict[str, Choice] = {}
    for choice in found:
        if choice.offer.id not in {one.offer.id for one in choices}:
            others.setdefault(choice.offer.id, choice)
    for choice in others.values():
        reason = f"it would encode with {choice.encoder}, and this plan with {encoder}"
        refused.append(Refusal(offer=choice.offer, reason=reason))
    return JobPlan(
        work=work,
        share=share,
        choices=choices,
        refused=tuple(refused),
        warnings=(*facts.warnings, *_of_bid(choices[0].offer), *_warnings(choices[0], now.limits_of(work.spec), now)),
    )


def _family(found: Sequence[Choice]) -> str:
    """The encoder family of the best choice in `found`, which is ranked.

    When a machine is lost, only the same family can go on: a generation with a single machine has to be that much
    cheaper than one with more.
    """
    machines: dict[str, set[str]] = {}
    for choice in found:
        machines.setdefault(choice.encoder, set()).add(choice.offer.machine)
    has_more = any(name != SOFTWARE and len(those) > 1 for name, those in machines.items())

    def worth(choice: Choice) -> Decimal:
        if choice.encoder == SOFTWARE:
            return choice.estimate.cost.expected / SOFTWARE_FACTOR
        is_lonely = has_more and len(machines[choice.encoder]) == 1
        return choice.estimate.cost.expected * (LONELY_FACTOR if is_lonely else 1)

    return min(found, key=worth).encoder


def families(work: Workload, wanted: str, offer: Offer, now: Conditions) -> tuple[str, ...]:
    """Encoder families that `offer` could use for frames of `work`: `software`, `nvenc-ada`, ...

    Generations are kept apart: their streams have other headers, and segments of one job are joined untouched.
    """
    found = [] if wanted == "nvenc" else [SOFTWARE]
    gpu = now.gpus.get(offer.gpu_name)
    can = gpu is not None and gpu.encodes(work.target_codec, depth=work.target_depth, chroma=work.target_chroma)
    if gpu is not None and can and wanted != SOFTWARE and now.abilities.nvenc and not work.nvenc_problem:
        found.append(f"nvenc-{gpu.generation.name.lower()}")
    return tuple(found)


def _judge(
    offer: Offer, encoder: str, spec: JobSpec, facts: SourceFacts, share: Share, now: Conditions
) -> Choice | Refusal:
    limits = now.limits_of(spec)
    problem = _gpu_problem(offer, spec, facts.workload, now.gpus.get(offer.gpu_name))
    if problem:
        return Refusal(offer=offer, reason=problem)
    limit = limits.max_price_usd_per_h
    if limit is not None and offer.price_usd_per_h > limit:
        return Refusal(offer=offer, reason=f"${offer.price_usd_per_h:.3f}/h is above the limit of ${limit}/h")
    speed = speed_of(
        offer,
        facts.workload,
        now.table,
        encoder=encoder,
        backend=spec.backend,
        abilities=now.abilities,
        gpu=now.gpus.get(offer.gpu_name),
        source_frame_bytes=facts.id.size_bytes / len(facts.index),
        target_frame_bytes=output_frame_bytes(facts.workload),
    )
    one = estimate(offer, speed, facts.workload, share)
    deadline_s = _deadline_s(offer, one, limits, now)
    if deadline_s is not None and now.now_s + one.wall_s > deadline_s:
        left = _hours(max(0.0, deadline_s - now.now_s))
        reason = (
            f"needs about {_hours(one.wall_s)} (${one.cost.likely:.3f}), {_which(deadline_s, limits)} leaves {left}"
        )
        return Refusal(offer=offer, reason=reason)
    if offer.ends_in_s is not None and offer.ends_in_s < one.wall_s:
        return Refusal(offer=offer, reason=f"the host leaves in {_hours(offer.ends_in_s)}")
    return Choice(offer=offer, encoder=encoder, speed=speed, estimate=one, deadline_s=deadline_s)


def _gpu_problem(offer: Offer, spec: JobSpec, work: Workload, gpu: Gpu | None) -> str:
    """Why the GPU of `offer` cannot do what it would have to; empty where it can, or has nothing to do."""
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


def _rank(choice: Choice) -> tuple[Decimal, float, str]:
    return choice.estimate.cost.expected, choice.estimate.wall_s, choice.offer.id


def _deadline_s(offer: Offer, one: Estimate, limits: Limits, now: Conditions) -> float | None:
    """When everything must be over: traffic at its worst and the time of destroying are put aside first."""
    own = limits.deadline_s
    if limits.budget_usd is None or not offer.price_usd_per_h:
        return own
    left = limits.budget_usd - now.spent_usd - one.traffic_high
    paid_s = now.now_s + float(left / offer.price_usd_per_h) * 3600 - DESTROY_S
    return paid_s if own is None else min(own, paid_s)


def _which(deadline_s: float, limits: Limits) -> str:
    """The limit that `deadline_s` comes from."""
    return "the deadline" if deadline_s == limits.deadline_s else f"the budget of ${limits.budget_usd}"


def _of_bid(offer: Offer) -> tuple[str, ...]:
    """What nothing here can prevent: a machine that is outbid is stopped with its watchdog, and not destroyed."""
    if not offer.is_bid:
        return ()
    usd_per_day = 24 * offer.disk_usd_per_h
    warning = (
        "somebody may bid more: the disk of a machine that is stopped while nothing follows the run costs "
        f"${usd_per_day:.2f} a day until `runner resume` or `cancel`, or past the deadline `runner reap`, ends it"
    )
    return (warning,)


def _warnings(best: Choice, limits: Limits, now: Conditions) -> tuple[str, ...]:
    if best.deadline_s is None or now.now_s + best.estimate.high_wall_s <= best.deadline_s:
        return ()
    left, worst = _hours(best.deadline_s - now.now_s), _hours(best.estimate.high_wall_s)
    return (f"{_which(best.deadline_s, limits)} leaves {left}; at worst the job takes {worst} and would be cut off",)


def _why_none(spec: JobSpec, offers: Sequence[Offer], refused: Sequence[Refusal]) -> str:
    if not offers:
        return (
            "no machine on offer meets the requirements: ask for less (--gpu, --min-vram, --country ...) or raise "
            "--max-price"
        )
    reasons = "; ".join(f"{one.offer}: {one.reason}" for one in refused[:SHOWN_REASONS])
    more = f" and {len(refused) - SHOWN_REASONS} more" if len(refused) > SHOWN_REASONS else ""
    return f"none of {len(offers)} offers can do {spec.input} within its limits: {reasons}{more}"


def _hours(seconds: float) -> str:
    """`1 h 05 min`, `12 min` or `40 s`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
