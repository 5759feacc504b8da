"""Renting where what has to be written down cannot be: a full disk, a bucket that does not answer."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from runner.clock import StopRequest
from runner.errors import ProviderError
from runner.journal import Entry, Journal
from runner.lease import Market, lease
from runner.local import LocalProvider
from runner.provider import Instance, InstanceRequest, Offer
from runner.reap import RunState, reap
from runner.spec import Requirements
from runner.standing import Outcome
from tests.runner.fleet.market import OURS, Create, Life, MemoryMarket
from tests.runner.fleet.stage import STUB, Stage
from tests.runner.fleet.test_fleet import Known

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = "20270115-080000-abcdef"


@contextmanager
def full_disk(size_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond `size_bytes`: the write is cut there, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def request(offer: Offer, label: str) -> InstanceRequest:
    del offer
    return InstanceRequest(label=label, image=OURS, command=(), boot_url="x")


def market_of(tmp_path: Path, memory: MemoryMarket) -> Market:
    return Market(provider=memory, journal=Journal(tmp_path / "journal.jsonl"), clock=memory.life, stop=StopRequest())


def test_a_line_that_was_cut_is_no_record(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with full_disk(20), pytest.raises(ProviderError, match="no space left"):
        journal.write(Entry(event="intent", time_s=1.0, label="framehaul-x-0-y"))
    assert journal.rentals() == []


def test_what_cannot_be_noted_is_not_kept(tmp_path: Path) -> None:
    """The disk is full between the line before and the line after: the instance ends."""
    memory = MemoryMarket(Life())
    market = market_of(tmp_path, memory)
    offers = memory.offers(Requirements(), max_price_usd_per_h=None)[:1]
    line = len(
        Entry(
            event="intent", time_s=memory.life.now(), label=f"framehaul-{RUN}-0-01234567", provider="memory",
            image=OURS, run=RUN, machine="m0", price_usd_per_h=Decimal("0.1"),
        ).model_dump_json(exclude_defaults=True)
    )  # fmt: skip
    with (
        full_disk(line + 5),
        pytest.raises(ProviderError, match="no space left"),
        lease(market, offers, request, run=RUN),
    ):
        pass
    assert len(memory.asked) == 1
    assert memory.existing == {}


def test_reaping_goes_on_where_nothing_can_be_noted(tmp_path: Path) -> None:
    memory = MemoryMarket(Life())
    for number in range(3):
        memory.add(f"framehaul-{RUN}-0-{number}", OURS)
    with full_disk(0):
        done = reap(
            memory, Journal(tmp_path / "journal.jsonl"), Known(RunState.FINISHED), images={OURS}, clock=memory.life
        )
    assert len(done.destroyed) == 3
    assert memory.existing == {}


class BucketAway(LocalProvider):
    """Renting takes the bucket away, once; looking at what was rented brings it back."""

    def __init__(self, folder: Path, bucket: Path) -> None:
        super().__init__(folder / "instances", program=STUB)
        self._bucket = bucket
        self._away = bucket.with_name("away")
        self._takes = True

    def create(self, offer: Offer, request: InstanceRequest) -> Instance:
        if self._takes:
            self._takes = False
            self._bucket.rename(self._away)
            self._bucket.write_text("no folder")
        return super().create(offer, request)

    def show(self, instance_id: str) -> Instance | None:
        if self._away.exists():
            self._bucket.unlink()
            self._away.rename(self._bucket)
        return super().show(instance_id)


def test_a_bucket_that_is_away_while_renting_loses_no_machine(tmp_path: Path) -> None:
    (tmp_path / "bucket").mkdir()
    stage = Stage(tmp_path, BucketAway(tmp_path, tmp_path / "bucket"))
    assert stage.conductor().conduct() is Outcome.DONE
    stage.check_output()
    assert stage.provider.instances() == []
    assert not any(one.open for one in stage.journal.rentals())


def test_the_journal_has_each_instances_own_deadline(tmp_path: Path) -> None:
    """What is dear has to end sooner than what is cheap."""
    memory = MemoryMarket(Life(), creates=[Create.GONE])
    market = market_of(tmp_path, memory)

    def ending(offer: Offer, label: str) -> InstanceRequest:
        return replace(request(offer, label), deadline_s=float(1 / offer.price_usd_per_h))

    with lease(market, memory.offers(Requirements(), max_price_usd_per_h=None), ending, run=RUN):
        assert [one.intent.deadline_s for one in market.journal.rentals()] == [10.0, 5.0]
