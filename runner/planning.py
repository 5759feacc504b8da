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

from kernels.io.span import Span
from runner.costs import Share
from runner.errors import PlanError
from runner.gpus import GPUS
from runner.judging import Choice, Part, Refusal, gpu_problem, hours, judge, planned_way, ways, which
from runner.records import Segment, WorkPlan
from runner.source_index import index_digest
from runner.spec import MAX_SEGMENT_S
from runner.speeds import SOFTWARE, shipped_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from kernels.io.frame_index import FrameIndex
    from runner.gpus import Gpu
    from runner.inspection import SourceFacts
    from runner.provider import Offer
    from runner.spec import JobSpec
    from runner.speeds import Abilities, SpeedTable

SHOWN_REASONS: Final = 3
LONELY_FACTOR: Final = Decimal("1.5")
"""What it is worth that another machine of the same encoder family is on offer."""
SOFTWARE_FACTOR: Final = Decimal("1.25")
"""How much more a job may cost with a software encoder, which needs fewer bits for the same picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Where some jobs can be done by one machine after the other."""

    works: tuple[WorkPlan, ...]
    """Those jobs, in the order they were given, with the encoder of each."""
    choices: tuple[Choice, ...]
    """At least one; the first is the best."""
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]

    @property
    def best(self) -> Choice:
        return self.choices[0]


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
    return _plan_of(rank([part_of(work, facts)], offers, now=now), facts, ())


def replan(
    work: WorkPlan, facts: SourceFacts, offers: Sequence[Offer], *, now: Conditions, done: Collection[int]
) -> JobPlan:
    """The rest of a job whose machine was lost: the same work and encoder, for the segments that are not `done`."""
    return _plan_of(rank([part_of(work, facts, done)], offers, now=now, is_planned=True), facts, done)


def rank(parts: Sequence[Part], offers: Sequence[Offer], *, now: Conditions, is_planned: bool = False) -> Ranking:
    """Offers that can do all of `parts` within the limits of the first, ranked by expected dollars for all of them.

    They are all of one encoder family: that of the best, or with `is_planned` what the parts were planned with. Time,
    traffic and dollars are those of all parts together; the machine starts once. Raises `PlanError` where none can.
    """
    for one in parts if is_planned else ():
        if index_digest(one.facts.index) != one.work.index_digest or one.facts.id != one.work.source:
            raise PlanError(f"{one.work.source.location} has changed since the job was planned; submit it again")
    limits = now.limits_of(parts[0].work.spec)
    _check_limits(limits, now)
    found: list[Choice] = []
    refused: list[Refusal] = []
    for offer in offers:
        able = (planned_way if is_planned else ways)(parts, offer, now)
        if not able:
            refused.append(Refusal(offer=offer, reason=_no_way(parts, is_planned=is_planned)))
        for family, encoders in able.items():
            judged = judge(parts, offer, family, encoders, now)
            (found if isinstance(judged, Choice) else refused).append(judged)  # type: ignore[arg-type]
    found.sort(key=_rank)
    if not found:
        raise PlanError(_why_none(parts, offers, refused))
    family = found[0].encoder if is_planned else _family(found)
    choices = tuple(choice for choice in found if choice.encoder == family)
    encoders = (planned_way if is_planned else ways)(parts, choices[0].offer, now)[family]
    works = [one.work.model_copy(update={"encoder": name}) for one, name in zip(parts, encoders, strict=True)]
    return Ranking(
        works=tuple(works),
        choices=choices,
        refused=(*refused, *_of_other_families(found, choices, family)),
        warnings=(*_of_bid(choices[0].offer), *_warnings(choices[0], limits, now)),
    )


def together(parts: Sequence[Part], offers: Sequence[Offer], now: Conditions) -> list[list[int]]:
    """The numbers of `parts`, in groups that one machine of `offers` is able to do: as few as there is need for,
    mostly one. Whether that is within the limits is another question, which `rank` answers.
    """
    groups: list[tuple[list[int], list[Offer]]] = []
    for number, part in enumerate(parts):
        able = [one for one in offers if ways([part], one, now) and not gpu_problem([part], one, now)]
        for members, common in groups:
            both = [one for one in common if one in able]
            if both:
                members.append(number)
                common[:] = both
                break
        else:
            groups.append(([number], able))
    return [members for members, _ in groups]


def part_of(work: WorkPlan, facts: SourceFacts, done: Collection[int] = ()) -> Part:
    """What is left of `work` when the segments `done` are."""
    return Part(work=work, facts=facts, share=share_of(work, facts, done))


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


def _plan_of(found: Ranking, facts: SourceFacts, done: Collection[int]) -> JobPlan:
    (work,) = found.works
    return JobPlan(
        work=work,
        share=share_of(work, facts, done),
        choices=found.choices,
        refused=found.refused,
        warnings=(*facts.warnings, *found.warnings),
    )


def _no_way(parts: Sequence[Part], *, is_planned: bool) -> str:
    """Why an offer has no encoder for `parts`."""
    why = next(filter(None, (one.facts.workload.nvenc_problem for one in parts)), "")
    wanted = {one.work.encoder for one in parts} if is_planned else {"NVENC as asked"}
    return why or f"it cannot encode with {' and '.join(sorted(wanted))}"


def _of_other_families(found: Iterable[Choice], choices: Sequence[Choice], family: str) -> list[Refusal]:
    known = {one.offer.id for one in choices}
    refused = []
    for choice in found:
        if choice.offer.id not in known:
            known.add(choice.offer.id)
            reason = f"it would encode with {choice.encoder}, and this plan with {family}"
            refused.append(Refusal(offer=choice.offer, reason=reason))
    return refused


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


def _rank(choice: Choice) -> tuple[Decimal, float, str]:
    return choice.estimate.cost.expected, choice.estimate.wall_s, choice.offer.id


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
    left, worst = hours(best.deadline_s - now.now_s), hours(best.estimate.high_wall_s)
    return (f"{which(best.deadline_s, limits)} leaves {left}; at worst the job takes {worst} and would be cut off",)


def _why_none(parts: Sequence[Part], offers: Sequence[Offer], refused: Sequence[Refusal]) -> str:
    if not offers:
        return (
            "no machine on offer meets the requirements: ask for less (--gpu, --min-vram, --country ...) or raise "
            "--max-price"
        )
    what = f"{parts[0].work.spec.input} within its" if len(parts) == 1 else f"these {len(parts)} files within their"
    reasons = "; ".join(f"{one.offer}: {one.reason}" for one in refused[:SHOWN_REASONS])
    more = f" and {len(refused) - SHOWN_REASONS} more" if len(refused) > SHOWN_REASONS else ""
    return f"none of {len(offers)} offers can do {what} limits: {reasons}{more}"
