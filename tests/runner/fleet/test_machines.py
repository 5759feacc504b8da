"""Several instances of one run: two laptops, late ones, those that come back, and those that cost more than offered."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from runner.accounts import Accounts
from runner.errors import OfferGoneError, PlanError, UnansweredError
from runner.journal import deadline_in
from runner.machines import Machines
from runner.spending import Rent
from runner.standing import Choice, Outcome
from runner.watch import Kind, Patience, Sight, Watch, step
from tests.runner.fleet.market import OURS, Create, Life, Look, MemoryMarket
from tests.runner.fleet.stage import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from runner.provider import Instance


class Laptop:
    """One of those that carry the same run."""

    def __init__(self, stage: Stage, memory: MemoryMarket) -> None:
        self.stage, self.memory = stage, memory
        self.job = stage.conductor(end_reserve_s=300.0).job
        self.accounts = Accounts(stage.run, stage.ticket.budget_usd, memory.life, reserve_s=300.0)
        self.machines = Machines(self.job, stage.market, self.accounts, tell=lambda _: None)

    def rents(self, slot: int, *, usd_per_h: str = "1") -> Instance:
        """As the conductor does."""
        label = f"framehaul-{self.stage.plan.run}-0-{slot}"
        now_s = self.memory.life.now()
        rent = Rent(
            label=label, provider="memory", machine=f"m{slot}", price_usd_per_h=Decimal(usd_per_h), asked_s=now_s,
            deadline_s=now_s + 3600,
        )  # fmt: skip
        self.accounts.begin(rent)
        return self.memory.add(label, OURS)


@pytest.fixture
def memory() -> MemoryMarket:
    return MemoryMarket(Life())


@pytest.fixture
def stage(tmp_path: Path, memory: MemoryMarket) -> Stage:
    return Stage(tmp_path, memory, clock=memory.life, budget="1", deadline_s=36_000)


def test_of_two_laptops_machines_the_first_goes_on(stage: Stage, memory: MemoryMarket) -> None:
    one, two = Laptop(stage, memory), Laptop(stage, memory)
    first = one.rents(1)
    memory.life.now_s += 5
    second = two.rents(2)
    assert two.machines.sweep(second.id)  # and it is given up
    assert set(memory.existing) == {first.id, second.id}
    assert not one.machines.sweep(first.id)
    assert set(memory.existing) == {first.id}
    assert [found.id for found in two.machines.alive()] == [first.id]  # and the other laptop follows it


def test_nothing_is_rented_where_nothing_can_be_listed(stage: Stage, memory: MemoryMarket) -> None:
    memory.looks = [Look.LOST]
    with pytest.raises(UnansweredError):
        stage.conductor().conduct()
    assert memory.asked == []


def test_what_is_known_to_live_is_followed_though_the_provider_falls_silent(stage: Stage, memory: MemoryMarket) -> None:
    laptop = Laptop(stage, memory)
    rented = laptop.rents(1)
    laptop.accounts.begin(
        Rent(
            label=f"framehaul-{stage.plan.run}-0-2", provider="memory", machine="m", price_usd_per_h=Decimal(1),
            asked_s=1.0, deadline_s=2.0, instance="77",
        )
    )  # fmt: skip
    memory.looks = [Look.LOST]
    assert laptop.machines.alive([rented]) == [rented]


def test_what_was_not_had_and_comes_late_is_ended(stage: Stage, memory: MemoryMarket) -> None:
    laptop = Laptop(stage, memory)
    late = laptop.rents(1)
    laptop.machines.disarm(late.label)
    assert laptop.machines.alive() == []
    assert memory.existing == {}


def test_another_image_under_a_label_of_the_run_is_somebody_elses(stage: Stage, memory: MemoryMarket) -> None:
    laptop = Laptop(stage, memory)
    own = laptop.rents(1)
    foreign = memory.add(f"framehaul-{stage.plan.run}-0-9", "else/x:1")
    assert laptop.machines.alive() == [own]
    assert not laptop.machines.sweep(own.id)
    assert set(memory.existing) == {own.id, foreign.id}


def test_offers_that_others_take_are_no_machines_that_failed(stage: Stage, memory: MemoryMarket) -> None:
    memory.creates = [Create.GONE] * 99
    with pytest.raises(OfferGoneError, match=r"8 searches in a row led to no machine .*gone.*runner resume") as failed:
        stage.conductor().conduct()
    assert "did no segment" not in str(failed.value)
    assert len(memory.asked) == 8 * 4


def test_waiting_costs_what_the_next_machine_may(stage: Stage, memory: MemoryMarket) -> None:
    """Each request has the end that budget and time allow when it is sent, and no machine is rented for nothing."""
    memory.creates = [Create.LOST_BEFORE] * 99
    conductor = stage.conductor(least_s=60.0)
    with pytest.raises((OfferGoneError, PlanError)):
        conductor.conduct()
    for label in memory.asked:
        rent = conductor.accounts.get(label)
        assert rent is not None
        told = deadline_in(label)
        assert told is not None
        assert rent.deadline_s <= told < rent.deadline_s + 2
        assert rent.deadline_s >= rent.asked_s + 60
    assert len(memory.asked) > 1


def test_what_was_asked_for_and_lost_can_do_nothing(stage: Stage, memory: MemoryMarket) -> None:
    """The answer is lost and nothing is listed: the next machine is the only one that finds its bootstrap."""
    memory.creates = [Create.LOST_BEFORE]
    stage.on_show = lambda standing: stage.stop.make() if standing.instance is not None else None
    stage.choices = [Choice.DETACH]
    assert stage.conductor().conduct() is Outcome.DETACHED
    lost, had = memory.asked
    assert not (stage.root / f"boot-{lost}.json").exists()
    assert (stage.root / f"boot-{had}.json").exists()


def test_what_another_laptop_spends_is_counted(stage: Stage, memory: MemoryMarket) -> None:
    one, two = Laptop(stage, memory), Laptop(stage, memory)
    one.rents(1)
    memory.life.now_s += 1800
    assert two.accounts.spent_usd() == 0
    two.machines.alive()
    assert two.accounts.spent_usd() == Decimal("0.5")
    assert not two.accounts.is_used_up()
    memory.life.now_s += 1500  # half an hour is left, less what ending it may take
    assert two.accounts.is_used_up()


def test_what_costs_more_than_it_was_offered_for_is_counted_so_and_not_kept(stage: Stage, memory: MemoryMarket) -> None:
    laptop = Laptop(stage, memory)
    rented = laptop.rents(1, usd_per_h="0.5")
    memory.life.now_s += 3600
    laptop.accounts.reprice(rented.label, Decimal(1))
    assert laptop.accounts.spent_usd() == 1
    laptop.accounts.reprice(rented.label, Decimal("0.2"))
    assert laptop.accounts.spent_usd() == 1
    watch = Watch(created_s=0, deadline_s=100, max_usd_per_h=Decimal("0.9"))
    _, verdict = step(watch, Sight(now_s=1, answered=True, instance=rented), Patience())
    assert (verdict.kind, verdict.blame) == (Kind.REPLACE, True)
    assert "$1.0000/h" in verdict.reason


@pytest.mark.parametrize(("heard_s", "blame"), [(None, True), (1.0, False)])
def test_a_machine_that_went_without_a_word_is_left_alone(heard_s: float | None, *, blame: bool) -> None:
    watch = Watch(created_s=0, deadline_s=100, heard_s=heard_s)
    _, verdict = step(watch, Sight(now_s=2, answered=True, instance=None), Patience())
    assert (verdict.kind, verdict.blame) == (Kind.REPLACE, blame)
