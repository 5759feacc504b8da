"""Many files on one machine: time, traffic and dollars of all of them, and a machine that can do every one."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.costs import IMAGE_GB
from runner.errors import PlanError
from runner.planning import part_of, plan_job, rank, together
from runner.spec import EncodeSpec
from runner.speeds import Abilities
from tests.runner.jobs import NOW_S, conditions, facts_of, index_of, offer_of, spec_of, workload_of

if TYPE_CHECKING:
    from runner.judging import Part

ALL: Final = Abilities(cuda=True, nvdec=True, nvenc=True)
DEAR: Final[dict[str, Any]] = {"down_usd_per_gb": Decimal("0.5"), "up_usd_per_gb": Decimal("0.5")}


def part(frames: int = 3000, *, depth: int = 8, codec: str = "h264", spec: dict[str, Any] | None = None) -> Part:
    work = workload_of(target_depth=depth, source_depth=depth, source_codec=codec)
    facts = facts_of(index_of(frames), size_bytes=frames * 40_000, workload=work)
    job = spec_of(**({"budget_usd": Decimal(500), "max_price_usd_per_h": Decimal(2)} | (spec or {})))
    offers = [offer_of(1, gpu_name="RTX 3090"), offer_of(2, gpu_name="H100 SXM", vram_gb=80.0)]
    plan = plan_job(job, facts, offers, run="r", code_version="1", now=conditions(abilities=ALL))
    return part_of(plan.work, facts)


@given(st.lists(st.integers(100, 5000), min_size=2, max_size=5))
def test_everything_but_the_start_is_counted_once_per_file(frames: list[int]) -> None:
    offer = offer_of(**DEAR)
    parts = [part(count) for count in frames]
    whole = rank(parts, [offer], now=conditions()).best.estimate
    each = [rank([one], [offer], now=conditions()).best.estimate for one in parts]
    repeated = (len(each) - 1) * IMAGE_GB
    assert whole.down_gb == pytest.approx(sum(one.down_gb for one in each) - repeated)
    assert whole.up_gb == pytest.approx(sum(one.up_gb for one in each))
    likely = float(sum(one.traffic_high for one in each)) - 2 * repeated * 0.5  # a second pull is the worst case
    assert float(whole.traffic_high) == pytest.approx(likely)
    start_s = rank([part(1)], [offer], now=conditions()).best.estimate.wall_s
    assert max(one.wall_s for one in each) < whole.wall_s < sum(one.wall_s for one in each)
    assert whole.wall_s > sum(one.wall_s for one in each) - (len(each) - 1) * start_s - 1e-6


def test_one_more_file_costs_more_and_leaves_less_time() -> None:
    found = [rank([part()] * count, [offer_of(**DEAR)], now=conditions()).best for count in (1, 2, 4)]
    for some, more in pairwise(found):
        assert some.estimate.traffic_high < more.estimate.traffic_high
        assert some.estimate.cost.likely < more.estimate.cost.likely
        assert some.deadline_s is not None
        assert more.deadline_s is not None
        assert more.deadline_s < some.deadline_s
    best = found[-1]
    assert best.deadline_s is not None
    hours = Decimal(repr(best.deadline_s - NOW_S)) / 3600
    assert hours * best.offer.price_usd_per_h + best.estimate.traffic_high <= 500


def test_a_budget_that_pays_for_each_but_not_for_all_is_refused() -> None:
    one = rank([part()], [offer_of()], now=conditions()).best.estimate.cost.likely
    tight = {"budget_usd": (one * 2).quantize(Decimal("0.001"))}
    rank([part(spec=tight)], [offer_of()], now=conditions())
    with pytest.raises(PlanError, match=r"can do these 6 files within their limits: .* the budget of"):
        rank([part(spec=tight)] * 6, [offer_of()], now=conditions())


def test_an_8_bit_film_beside_a_longer_10_bit_one() -> None:
    """NVENC of this generation takes no 10-bit H.264: such a machine does it in software, and no other will do."""
    eight, ten = part(150_000), part(160_000, depth=10)
    ampere = [offer_of(n, gpu_name="RTX 3090", price_usd_per_h=Decimal("0.22")) for n in (5, 6)]
    bare = [offer_of(n, gpu_name="A100 SXM4", price_usd_per_h=Decimal("0.05")) for n in (3, 4)]
    now = conditions(abilities=ALL)
    planned = [
        replace(one, work=one.work.model_copy(update={"encoder": name}))
        for one, name in ((eight, "nvenc-ampere"), (ten, "software"))
    ]
    for parts in (planned, planned[::-1]):
        again = rank(parts, [*bare, *ampere], now=now, is_planned=True)
        assert {one.offer.gpu_name for one in again.choices} == {"RTX 3090"}
        assert [one.encoder for one in again.works] == [one.work.encoder for one in parts]
        assert {one.offer.id for one in again.refused} == {"3", "4"}
        assert "cannot encode with nvenc-ampere and software" in again.refused[0].reason
    with pytest.raises(PlanError, match="nvenc-ampere"):
        rank(planned, bare, now=now, is_planned=True)


def test_one_machine_means_one_generation() -> None:
    """Short files alone would take the cheapest machine, long ones the fastest: together they take one of both."""
    parts = [part(200), part(100_000), part(100_000, depth=10)]
    offers = [
        offer_of(1, gpu_name="RTX 3060", price_usd_per_h=Decimal("0.05"), cpu_cores=2.0),
        offer_of(2, gpu_name="RTX 4090", price_usd_per_h=Decimal("0.30")),
        offer_of(3, gpu_name="A100 SXM4", price_usd_per_h=Decimal("0.80")),
    ]
    found = rank(parts, offers, now=conditions(abilities=ALL))
    used = {one.encoder for one in found.works} - {"software"}
    assert len(used) <= 1
    assert found.works[2].encoder == "software"
    assert {one.encoder for one in found.choices} == (used or {"software"})
    assert rank([replace(p, work=w) for p, w in zip(parts, found.works, strict=True)], offers,
                now=conditions(abilities=ALL), is_planned=True).best.offer == found.best.offer  # fmt: skip


def test_what_no_single_machine_can_do_is_done_by_two() -> None:
    """On the GPU alone: one source that Hopper cannot decode, and one whose frames need a Hopper's memory."""
    spec = {"backend": "cuda", "encode": EncodeSpec(codec="h264", encoder="software")}
    small, large = offer_of(1, gpu_name="RTX 3090"), offer_of(2, gpu_name="H100 SXM", vram_gb=80.0)
    narrow = part(codec="av1", spec=spec)
    heavy = part(spec=spec)
    heavy = replace(heavy, facts=facts_of(heavy.facts.index, workload=workload_of(filter_memory_bytes=40 * 10**9)))
    now = conditions(abilities=ALL)
    assert together([narrow, heavy, narrow], [small, large], now) == [[0, 2], [1]]
    assert together([narrow, part(spec=spec)], [small, large], now) == [[0, 1]]
    assert together([part(), part(depth=10)], [small, large], now) == [[0, 1]]
