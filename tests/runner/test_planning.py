"""A plan cuts every frame into exactly one segment, keeps every limit, and depends on nothing but what it is given."""

from __future__ import annotations

import copy
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.io.frame_index import FrameIndex
from kernels.io.span import Span
from runner.errors import PlanError
from runner.planning import Limits, cut, plan_job, replan
from runner.records import WorkPlan
from runner.spec import EncodeSpec
from runner.speeds import Abilities
from tests.runner.jobs import NOW_S, conditions, facts_of, index_of, offer_of, spec_of, workload_of

RUN: Any = {"run": "20260101-000000-abcdef", "code_version": "0.1.0"}


@st.composite
def variable_indexes(draw: st.DrawFn) -> FrameIndex:
    steps = draw(st.lists(st.integers(1, 40_000), min_size=1, max_size=80))
    pts = tuple(accumulate(steps, initial=draw(st.integers(-5000, 5000))))
    return FrameIndex(
        time_base=Fraction(1, 1000),
        start_s=Fraction(draw(st.integers(-5000, 0)), 1000),
        pts=pts,
        last_duration=draw(st.integers(0, 100)),
        keyframes=(0,),
        keyframe_dts=(pts[0],),
    )


@given(variable_indexes(), st.floats(0.1, 60), st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_segments_hold_every_frame_exactly_once(index: FrameIndex, segment_s: float, context: tuple[int, int]) -> None:
    segments = cut(index, spec_of(segment_s=segment_s), context)
    assert [segment.number for segment in segments] == list(range(len(segments)))
    assert [n for s in segments for n in range(s.first, s.last)] == list(range(len(index)))
    for segment in segments:
        length = index.pts[segment.last - 1] - index.pts[segment.first]
        assert length * index.time_base < Fraction(repr(segment_s))
        assert segment.first - segment.before >= 0
        assert segment.last + segment.after <= len(index)
        assert segment.before == min(context[0], segment.first)
        assert segment.after == min(context[1], len(index) - segment.last)


@given(variable_indexes(), st.integers(0, 60_000), st.integers(1, 60_000))
def test_a_span_is_cut_and_nothing_beside_it(index: FrameIndex, start_ms: int, length_ms: int) -> None:
    start_s, duration_s = Fraction(start_ms, 1000), Fraction(length_ms, 1000)
    span = Span.of(start_s, duration_s)
    wanted = [n for n in range(len(index)) if index.time_s(n) in span]
    spec = spec_of(start_s=start_s, duration_s=duration_s)
    if not wanted:
        with pytest.raises(PlanError, match="has no frame from"):
            cut(index, spec)
        return
    segments = cut(index, spec, (2, 2))
    assert [n for s in segments for n in range(s.first, s.last)] == wanted
    assert min(s.first - s.before for s in segments) == wanted[0]
    assert max(s.last + s.after for s in segments) == wanted[-1] + 1


def test_segments_are_about_equally_long() -> None:
    lengths = [s.last - s.first for s in cut(index_of(3100), spec_of(segment_s=30))]
    assert sum(lengths) == 3100
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= 30 * 25


def test_a_plan_is_pure() -> None:
    values = (spec_of(), facts_of(), [offer_of(1), offer_of(2, price_usd_per_h=Decimal("0.20"))])
    before = copy.deepcopy(values)
    first = plan_job(*values, **RUN, now=conditions())
    assert first == plan_job(*values, **RUN, now=conditions())
    assert values == before
    swapped = plan_job(values[0], values[1], values[2][::-1], **RUN, now=conditions())
    assert [choice.offer for choice in swapped.choices] == [choice.offer for choice in first.choices]


def test_a_bid_says_what_it_costs_once_it_is_lost() -> None:
    bid = offer_of(is_bid=True, disk_usd_per_h=Decimal("0.0025"))
    (said,) = plan_job(spec_of(), facts_of(), [bid], **RUN, now=conditions()).warnings
    assert "$0.06 a day" in said
    assert plan_job(spec_of(), facts_of(), [offer_of()], **RUN, now=conditions()).warnings == ()


def test_a_plan_survives_being_written() -> None:
    work = plan_job(spec_of(), facts_of(), [offer_of()], **RUN, now=conditions()).work
    again = WorkPlan.model_validate_json(work.model_dump_json())
    assert again == work
    assert again.digest == work.digest


def test_the_cheapest_for_the_job_comes_first_not_the_cheapest_by_the_hour() -> None:
    slow = offer_of(1, price_usd_per_h=Decimal("0.20"), cpu_cores=2.0)
    fast = offer_of(2, price_usd_per_h=Decimal("0.40"), cpu_cores=16.0)
    plan = plan_job(spec_of(), facts_of(), [slow, fast], **RUN, now=conditions())
    assert [choice.offer for choice in plan.choices] == [fast, slow]
    assert plan.best.speed.limit == "processor"


def test_dear_traffic_and_bad_hosts_cost_their_place() -> None:
    plain, dear, shaky = (
        offer_of(1),
        offer_of(2, up_usd_per_gb=Decimal("0.05"), price_usd_per_h=Decimal("0.34")),
        offer_of(3, reliability=0.6, price_usd_per_h=Decimal("0.34")),
    )
    plan = plan_job(spec_of(), facts_of(), [dear, shaky, plain], **RUN, now=conditions())
    assert plan.best.offer == plain


def test_nothing_above_the_price_limit_is_chosen() -> None:
    offers = [offer_of(1, price_usd_per_h=Decimal("0.59")), offer_of(2, price_usd_per_h=Decimal("0.61"))]
    plan = plan_job(spec_of(), facts_of(), offers, **RUN, now=conditions())
    assert [choice.offer.id for choice in plan.choices] == ["1"]
    assert "above the limit" in plan.refused[0].reason


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_price_usd_per_h": None}, "--max-price"),
        ({"budget_usd": None}, "--budget"),
        ({"max_price_usd_per_h": Decimal("0.10")}, "above the limit of \\$0.10/h"),
        ({"budget_usd": Decimal("0.02")}, "the budget of \\$0.02 leaves"),
        ({"deadline_s": 60.0}, "the deadline leaves 60 s"),
        ({"segment_s": 600}, "60 s or less"),
    ],
)
def test_what_cannot_be_within_its_limits_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        plan_job(spec_of(**changes), facts_of(), [offer_of()], **RUN, now=conditions())


def test_no_offer_says_what_could_be_asked_for() -> None:
    with pytest.raises(PlanError, match="no machine on offer"):
        plan_job(spec_of(), facts_of(), [], **RUN, now=conditions())


def test_what_costs_nothing_needs_no_limits() -> None:
    spec = spec_of(max_price_usd_per_h=None, budget_usd=None, provider="local")
    here = offer_of(price_usd_per_h=Decimal(0), gpu_name="", reliability=None, down_mbps=None, up_mbps=None)
    here = replace(here, down_usd_per_gb=Decimal(0), up_usd_per_gb=Decimal(0))
    plan = plan_job(spec, facts_of(), [here], **RUN, now=conditions(costs=False))
    assert plan.best.estimate.cost.high == 0
    assert plan.best.deadline_s is None


@given(
    budget=st.decimals(Decimal("0.05"), 5, places=2),
    spent=st.decimals(0, 2, places=2),
    price=st.decimals(Decimal("0.01"), Decimal("0.60"), places=3),
)
def test_running_until_the_deadline_never_breaks_the_budget(budget: Decimal, spent: Decimal, price: Decimal) -> None:
    offer = offer_of(price_usd_per_h=price)
    try:
        plan = plan_job(spec_of(budget_usd=budget), facts_of(), [offer], **RUN, now=conditions(spent_usd=spent))
    except PlanError:
        return
    best = plan.best
    assert best.deadline_s is not None
    hours = Decimal(repr(best.deadline_s - NOW_S)) / 3600
    assert spent + hours * price + best.estimate.traffic_high <= budget


def test_a_tight_budget_is_said() -> None:
    likely = plan_job(spec_of(), facts_of(), [offer_of()], **RUN, now=conditions()).best.estimate.cost.likely
    tight = (likely * Decimal("1.7")).quantize(Decimal("0.001"))
    plan = plan_job(spec_of(budget_usd=tight), facts_of(), [offer_of()], **RUN, now=conditions())
    assert any("would be cut off" in warning for warning in plan.warnings)


def test_the_rest_is_planned_with_what_is_left() -> None:
    facts, offers = facts_of(), [offer_of(1), offer_of(2)]
    whole = plan_job(spec_of(), facts, offers, **RUN, now=conditions())
    done = {0, 1, 2}
    later = conditions(now_s=NOW_S + 900, started_s=NOW_S, spent_usd=Decimal("0.10"))
    rest = replan(whole.work, facts, offers, now=later, done=done)
    assert rest.work == whole.work
    assert rest.share.segments == whole.share.segments - 3
    assert rest.share.frames == sum(s.last - s.first for s in whole.work.segments[3:])
    assert rest.best.estimate.cost.likely < whole.best.estimate.cost.likely


def test_the_rest_is_not_planned_beyond_the_budget() -> None:
    facts = facts_of()
    whole = plan_job(spec_of(), facts, [offer_of()], **RUN, now=conditions())
    with pytest.raises(PlanError, match="is spent"):
        replan(whole.work, facts, [offer_of()], now=conditions(spent_usd=Decimal("2.00")), done=())


def test_limits_that_were_raised_since_hold_for_the_rest() -> None:
    facts = facts_of()
    work = plan_job(spec_of(), facts, [offer_of()], **RUN, now=conditions()).work
    more = Limits(max_price_usd_per_h=Decimal("0.60"), budget_usd=Decimal(3), deadline_s=NOW_S + 9000)
    rest = replan(work, facts, [offer_of()], now=conditions(spent_usd=Decimal("2.00"), limits=more), done=())
    assert rest.best.deadline_s == NOW_S + 9000
    assert rest.work == work


def test_the_encoder_is_fixed_by_the_plan() -> None:
    facts = facts_of()
    ada, ampere, hopper = (
        offer_of(1, gpu_name="RTX 4090"),
        offer_of(2, gpu_name="RTX 3090"),
        offer_of(3, gpu_name="H100 SXM"),
    )
    able = conditions(abilities=Abilities(cuda=True, nvdec=True, nvenc=True))
    plan = plan_job(spec_of(), facts, [ada, ampere, hopper], **RUN, now=able)
    assert plan.work.encoder == "nvenc-ada"
    assert [choice.offer for choice in plan.choices] == [ada]
    reasons = {one.offer.id: one.reason for one in plan.refused}
    assert set(reasons) == {"2", "3"}
    assert reasons["3"] == "it would encode with software, and this plan with nvenc-ada"
    rest = replan(plan.work, facts, [hopper, ampere, offer_of(4, gpu_name="RTX 4080")], now=able, done={0})
    assert [choice.offer.id for choice in rest.choices] == ["4"]
    assert {one.offer.id for one in rest.refused} == {"2", "3"}
    with pytest.raises(PlanError, match="cannot encode with nvenc-ada"):
        replan(plan.work, facts, [hopper], now=able, done={0})
    software = spec_of(encode=EncodeSpec(codec="h264", encoder="software"))
    assert plan_job(software, facts, [ada, hopper], **RUN, now=able).work.encoder == "software"
    nvenc = spec_of(encode=EncodeSpec(codec="h264", encoder="nvenc"))
    with pytest.raises(PlanError, match="cannot encode with NVENC"):
        plan_job(nvenc, facts, [hopper], **RUN, now=able)
    with pytest.raises(PlanError, match="cannot encode with NVENC"):
        plan_job(nvenc, facts, [ada], **RUN, now=conditions())


def test_a_generation_with_a_second_machine_is_worth_a_little_more() -> None:
    able = conditions(abilities=Abilities(cuda=True, nvdec=True, nvenc=True))
    spec = spec_of(encode=EncodeSpec(codec="h264", encoder="nvenc"))
    lone = offer_of(1, gpu_name="RTX 4090", price_usd_per_h=Decimal("0.30"))
    pair = [offer_of(n, gpu_name="RTX 5080", price_usd_per_h=Decimal("0.32")) for n in (2, 3)]
    assert plan_job(spec, facts_of(), [lone, *pair], **RUN, now=able).work.encoder == "nvenc-blackwell"
    lone = replace(lone, price_usd_per_h=Decimal("0.05"))
    assert plan_job(spec, facts_of(), [lone, *pair], **RUN, now=able).work.encoder == "nvenc-ada"


def test_another_source_is_another_job() -> None:
    facts = facts_of()
    work = plan_job(spec_of(), facts, [offer_of()], **RUN, now=conditions()).work
    with pytest.raises(PlanError, match="has changed"):
        replan(work, facts_of(index_of(2999)), [offer_of()], now=conditions(), done=())
    with pytest.raises(PlanError, match="has changed"):
        replan(work, facts_of(size_bytes=5), [offer_of()], now=conditions(), done=())


def test_asking_for_cuda_means_a_gpu() -> None:
    with pytest.raises(PlanError, match="it has no GPU"):
        plan_job(spec_of(backend="cuda"), facts_of(), [offer_of(gpu_name="")], **RUN, now=conditions())


def test_a_gpu_has_to_hold_the_frames() -> None:
    large = facts_of(workload=workload_of(filter_memory_bytes=9 * 10**9))
    with pytest.raises(PlanError, match=r"its GPU has 8.0 GB, the job needs about 10"):
        plan_job(spec_of(), large, [offer_of(vram_gb=8.0)], **RUN, now=conditions())
    assert plan_job(spec_of(), large, [offer_of(vram_gb=24.0)], **RUN, now=conditions()).choices
    assert plan_job(spec_of(backend="cpu"), large, [offer_of(vram_gb=8.0)], **RUN, now=conditions()).choices


def test_what_no_gpu_can_do_is_done_by_the_processor() -> None:
    odd = facts_of(workload=workload_of(cuda_problem="no CUDA code for this"))
    able = conditions(abilities=Abilities(cuda=True))
    one = plan_job(spec_of(), odd, [offer_of()], **RUN, now=able).best.speed
    assert one == plan_job(spec_of(), facts_of(), [offer_of()], **RUN, now=conditions()).best.speed
    av1 = facts_of(workload=workload_of(source_codec="av1"))
    hopper, ada = offer_of(1, gpu_name="H100 SXM"), offer_of(2)
    plan = plan_job(spec_of(backend="cuda"), av1, [hopper, ada], **RUN, now=able)
    assert [choice.offer for choice in plan.choices] == [ada]
    assert plan.refused[0].reason == "its GPU does not decode 8-bit 4:2:0 av1"
    with pytest.raises(PlanError, match="no CUDA code"):
        plan_job(spec_of(backend="cuda"), odd, [offer_of()], **RUN, now=able)


def test_a_gpu_that_the_worker_cannot_use_makes_nothing_faster() -> None:
    plain = plan_job(spec_of(), facts_of(), [offer_of()], **RUN, now=conditions()).best.speed
    cuda = plan_job(
        spec_of(), facts_of(), [offer_of()], **RUN, now=conditions(abilities=Abilities(cuda=True))
    ).best.speed
    assert cuda.fps >= plain.fps


@given(st.integers(1, 400), st.integers(1, 400))
def test_more_frames_cost_more(some: int, more: int) -> None:
    def likely(frames: int) -> Decimal:
        facts = facts_of(index_of(frames * 10), size_bytes=frames * 400_000)
        spec = spec_of(budget_usd=Decimal(1000), deadline_s=None)
        return plan_job(spec, facts, [offer_of()], **RUN, now=conditions()).best.estimate.cost.likely

    costs = [likely(some), likely(some + more)]
    assert all(a < b for a, b in pairwise(costs))
