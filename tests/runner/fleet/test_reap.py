"""Reaping on a machine that has not rented what it finds."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from runner.journal import Entry, Journal
from runner.reap import Verdict, look
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
    (found,) = look(memory, stage.journal, runs, images={OURS}, clock=memory.life)
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
