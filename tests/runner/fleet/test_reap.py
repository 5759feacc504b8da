"""Reaping on a machine that has not rented what it finds."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from runner.census import Note
from runner.journal import Entry, Journal, deadline_in, new_label
from runner.reap import GRACE_S, RunState, Verdict, judge, look, reap
from runner.runs import Buckets, KnownRuns
from runner.spending import Rent
from tests.runner.fleet.market import OURS, Life, MemoryMarket
from tests.runner.fleet.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

HOUR_S = 3600


@pytest.fixture
def memory() -> MemoryMarket:
    return MemoryMarket(Life())


@pytest.fixture
def stage(tmp_path: Path, memory: MemoryMarket, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Stage(tmp_path, memory, clock=memory.life, deadline_s=24 * HOUR_S)


def verdict(stage: Stage, memory: MemoryMarket) -> Verdict:
    """Of the one instance there is, on a machine that knows the bucket alone."""
    runs = KnownRuns(Buckets([str(stage.bucket)]))
    (found,) = look(memory, stage.journal, runs, images={OURS}, clock=memory.life).found
    return found.verdict


def named(stage: Stage) -> str:
    return f"framehaul-{stage.plan.run}-0-a"


def test_an_image_that_the_run_names_is_ours(stage: Stage, memory: MemoryMarket) -> None:
    memory.add(named(stage), "registry.test/own/worker:2")
    assert verdict(stage, memory) is Verdict.FOREIGN
    spec = stage.plan.spec.model_copy(update={"image": "registry.test/own/worker:2"})
    stage.run.write(stage.run.folder.plan, stage.plan.model_copy(update={"spec": spec}))
    assert verdict(stage, memory) is Verdict.NEEDED
    memory.life.now_s += 25 * HOUR_S
    assert verdict(stage, memory) is Verdict.OVERDUE


def test_an_instance_whose_money_is_used_up_is_overdue(stage: Stage, memory: MemoryMarket) -> None:
    memory.add(named(stage), OURS)
    now_s = memory.life.now()
    rent = Rent(
        label=named(stage), provider="memory", machine="m", price_usd_per_h=Decimal(1), asked_s=now_s,
        deadline_s=now_s + HOUR_S,
    )  # fmt: skip
    stage.run.write(stage.run.folder.rent(rent.label), rent)
    assert verdict(stage, memory) is Verdict.NEEDED
    memory.life.now_s += HOUR_S + 61
    assert verdict(stage, memory) is Verdict.OVERDUE


def test_what_was_asked_for_here_is_ours_before_its_image_is_known(stage: Stage, memory: MemoryMarket) -> None:
    memory.add(named(stage), "")
    assert verdict(stage, memory) is Verdict.FOREIGN
    line = Entry(event="intent", time_s=memory.life.now(), label=named(stage), provider="memory", image=OURS)
    Journal(stage.journal.path).write(line)
    assert verdict(stage, memory) is Verdict.NEEDED


@pytest.mark.parametrize(
    ("image", "verdict"), [(OURS, Verdict.OVERDUE), ("registry.test/own/worker:2", Verdict.UNSEEN)]
)
def test_its_own_deadline_bounds_what_nobody_can_look_at(memory: MemoryMarket, image: str, verdict: Verdict) -> None:
    """The label tells it. What may be somebody else's is left alone even then."""
    now_s = memory.life.now()
    found = memory.add(new_label("20270115-080000-abcdef", 0, deadline_s=now_s + HOUR_S), image)
    facts: dict[str, Any] = {"images": {OURS}, "rental": None, "state": RunState.UNSEEN, "deadline_s": None}
    assert judge(found, now_s=now_s + HOUR_S, **facts) is Verdict.UNSEEN
    assert judge(found, now_s=now_s + HOUR_S + GRACE_S + 2, **facts) is verdict


@pytest.mark.parametrize(
    ("label", "deadline_s"),
    [
        (new_label("20270115-080000-abcdef", 0, deadline_s=1_800_003_600.2), 1_800_003_601.0),
        (new_label("20270115-080000-abcdef", 0), None),
        ("framehaul-20270115-080000-abcdef-0-x9", None),
        ("somebody-else-0-01234567x99", None),
    ],
    ids=["told", "without", "short", "foreign"],  # labels are random, and pytest's processes have to agree
)
def test_a_label_tells_when_its_instance_ends(label: str, deadline_s: float | None) -> None:
    assert deadline_in(label) == deadline_s


def test_a_rent_of_another_laptop_is_looked_for(stage: Stage, memory: MemoryMarket) -> None:
    """Each is noted in the run's folder alone: one lives and is not listed, one is gone, one was never answered."""
    runs, now_s = KnownRuns(Buckets([str(stage.bucket)])), memory.life.now()

    def rent(slot: str, **facts: Any) -> None:
        label = f"framehaul-{stage.plan.run}-0-{slot}"
        given = {"label": label, "provider": "memory", "machine": "m", "price_usd_per_h": 1, "asked_s": now_s - 60}
        written = Rent.model_validate({**given, "deadline_s": now_s + HOUR_S, **facts})
        stage.run.write(stage.run.folder.rent(label), written)

    hidden = memory.add(f"framehaul-{stage.plan.run}-0-a", OURS)
    memory.hidden.add(hidden.id)
    rent("a", instance=hidden.id)
    rent("b", instance="77")
    rent("c")
    rent("d", asked_s=now_s - HOUR_S)
    rent("e", instance="78", ended_s=now_s)
    rents = runs.open_rents(now_s)
    assert [one.rent.label[-1] for one in rents] == ["a", "b", "c", "d"]
    notes = [Note.of_rent(one.rent) for one in rents]
    stage.run.write_bytes(stage.run.folder.end, b'{"state": "finished", "time_s": 1}')
    done = reap(memory, stage.journal, runs, images={OURS}, clock=memory.life, noted=notes)
    assert [one.instance.id for one in done.destroyed] == [hidden.id]
    assert sorted(label[-1] for label in done.gone) == ["b", "d"]
    (failure,) = done.failures
    assert "run `runner reap` again in 14 minutes" in failure
    assert memory.existing == {}


def test_what_was_forgotten_long_ago_is_not_looked_for(stage: Stage, memory: MemoryMarket) -> None:
    """The folder of a run that ended days ago is not read again by every command."""
    runs, now_s = KnownRuns(Buckets([str(stage.bucket)])), time.time()
    rent = Rent(
        label=named(stage), provider="memory", machine="m", price_usd_per_h=Decimal(1), asked_s=now_s, deadline_s=now_s
    )
    stage.run.write(stage.run.folder.rent(rent.label), rent)
    stage.run.write_bytes(stage.run.folder.end, b'{"state": "finished", "time_s": 1}')
    assert len(runs.open_rents(now_s)) == 1
    assert runs.open_rents(now_s + 2 * 24 * HOUR_S) == []
