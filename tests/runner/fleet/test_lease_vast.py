"""Leases with the fake Vast.ai over HTTP: every way in which a reply can be wrong, and nothing is left afterwards."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from runner.clock import StopRequest
from runner.errors import Interrupted, OfferGoneError, OrphanedInstanceError, RateLimitError
from runner.journal import Journal, deadline_in
from runner.lease import RATE_LIMIT_TRIES, Market, lease
from runner.provider import InstanceRequest
from runner.reap import RunState, reap
from runner.spec import Requirements
from runner.vast.provider import VastProvider
from tests.runner.vast.clocks import VirtualClock
from tests.runner.vast.fake import IMAGE, FakeVast, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.provider import Offer

RUN = "20261122-134501-a1b2c3"


class Ticking:
    """The market's clock as the runner takes it."""

    def __init__(self, clock: VirtualClock) -> None:
        self.now = clock.time
        self.sleep: Callable[[float], None] = clock.sleep


class Runs:
    """One run, which goes on until it is said to be finished."""

    def __init__(self) -> None:
        self.finished = False

    def state(self, run: str) -> RunState:
        if run != RUN:
            return RunState.UNSEEN
        return RunState.FINISHED if self.finished else RunState.GOING

    def deadline_s(self, run: str, label: str) -> float | None:
        del run, label
        return None

    def image(self, run: str) -> str | None:
        del run
        return None


class Bench:
    """A market on the fake, and what it takes to rent there."""

    def __init__(self, vast: FakeVast, clock: VirtualClock, folder: Path) -> None:
        self.vast = vast
        self.provider = VastProvider(vast.client(patience_s=30.0))
        self.clock = Ticking(clock)
        self.journal = Journal(folder / "journal.jsonl")
        self.stop = StopRequest()
        self.market = Market(provider=self.provider, journal=self.journal, clock=self.clock, stop=self.stop)
        self.runs = Runs()

    def offers(self) -> list[Offer]:
        return list(self.provider.offers(Requirements(), max_price_usd_per_h=None))[:4]

    def lease(self) -> Any:
        return lease(self.market, self.offers(), request, run=RUN)

    def reap(self) -> int:
        found = reap(self.provider, self.journal, self.runs, images={IMAGE}, clock=self.clock)
        assert found.failures == ()
        return len(found.destroyed)


def request(offer: Offer, label: str) -> InstanceRequest:
    del offer
    return InstanceRequest(label=label, image=IMAGE, command=(), boot_url="https://x/boot")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = VirtualClock()
    (tmp_path / "vast").mkdir()
    with FakeVast(tmp_path / "vast", clock=clock) as vast:
        vast.images[IMAGE] = Image(entrypoint=(sys.executable, "-S", "-E", "-c", "import time; time.sleep(1000)"))
        yield Bench(vast, clock, tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"lose": True},
        {"drop": True},
        {"status": 500, "after": True},
        {"status": 502, "after": True, "contract": True},
        {"cut": True},
        {"status": 429},
        {"status": 404, "body": {"success": False, "error": "no_such_ask", "msg": "gone"}},
    ],
    ids=lambda fault: "-".join(map(str, fault)) or "well",
)
def test_however_a_rent_is_answered_one_machine_is_had_and_none_is_left(bench: Bench, fault: dict[str, Any]) -> None:
    if fault:
        bench.vast.break_next("create", **fault)
    with bench.lease() as leased:
        assert bench.vast.billing() == [int(leased.instance.id)]
    assert bench.vast.billing() == []
    bench.clock.sleep(1000)
    assert bench.reap() == 0
    assert not any(one.open for one in bench.journal.rentals())


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 500, "after": True}, {"lose": True}, {"drop": True}])
def test_an_end_is_asked_for_until_it_is_proven(bench: Bench, fault: dict[str, Any]) -> None:
    with bench.lease():
        bench.vast.break_next("destroy", times=3, **fault)
        bench.vast.break_next("show", status=502, times=2)
    assert bench.vast.billing() == []


TOO_OFTEN: Final = {"success": False, "error": "rate_limit", "msg": "API requests too frequent"}


def test_a_day_that_renting_shall_wait_is_a_minute(bench: Bench) -> None:
    """Asked again under another label, with the end that is true by then."""
    bench.vast.break_next("create", times=2, status=429, headers={"Retry-After": "86400"}, body=TOO_OFTEN)
    offers, began_s, ends = bench.offers(), bench.clock.now(), []

    def end_of(_: Offer) -> float:
        ends.append(bench.clock.now() + 600)
        return ends[-1]

    with lease(bench.market, offers, request, run=RUN, ends=end_of) as leased:
        assert bench.clock.now() - began_s < 150
        assert leased.offer == offers[0]
        assert deadline_in(leased.instance.label) == math.ceil(ends[-1])
    asked = [call.body["label"] for call in bench.vast.calls("create")]
    assert len(asked) == len(set(asked)) == 3
    assert ends[-1] - ends[0] > 100
    assert not any(one.open for one in bench.journal.rentals())


def test_renting_that_is_refused_without_end_is_an_error(bench: Bench) -> None:
    bench.vast.break_next("create", times=99, status=429, headers={"Retry-After": "86400"}, body=TOO_OFTEN)
    with pytest.raises(RateLimitError), bench.lease():
        pass
    assert len(bench.vast.calls("create")) == RATE_LIMIT_TRIES
    assert not any(one.open for one in bench.journal.rentals())


def test_a_request_to_stop_is_heard_while_renting_has_to_wait(bench: Bench) -> None:
    bench.vast.break_next("create", times=99, status=429, headers={"Retry-After": "600"}, body=TOO_OFTEN)
    began_s = bench.clock.now()

    def sleep(seconds: float) -> None:
        bench.vast.clock.sleep(seconds)
        if bench.clock.now() > began_s + 20:
            bench.stop.make()

    bench.clock.sleep = sleep
    with pytest.raises(Interrupted), bench.lease():
        pass
    assert bench.clock.now() < began_s + 30
    assert len(bench.vast.calls("create")) == 1


@pytest.mark.parametrize("stops", [True, False])
def test_what_was_never_answered_is_looked_for_longer_than_whoever_stops_waits(bench: Bench, *, stops: bool) -> None:
    bench.vast.break_next("create", lose=True)
    lost = bench.vast.break_next("list", status=503, times=10_000)
    began_s = bench.clock.now()

    def sleep(seconds: float) -> None:
        bench.vast.clock.sleep(seconds)
        if stops and bench.clock.now() > began_s + 20:
            bench.stop.make()

    bench.clock.sleep = sleep
    with pytest.raises(OrphanedInstanceError, match="runner reap"), bench.lease():
        pass
    assert (bench.clock.now() < began_s + 120) == stops
    lost.times = 0
    bench.runs.finished = True
    assert bench.reap() == 1
    assert bench.vast.billing() == []


def test_what_was_refused_for_coming_too_often_and_is_there_is_used(bench: Bench) -> None:
    bench.vast.break_next("create", status=429, after=True, body=TOO_OFTEN)
    with bench.lease() as leased:
        assert bench.vast.billing() == [int(leased.instance.id)]
    assert bench.vast.billing() == []


def test_an_offer_that_leaves_too_little_time_is_not_asked_for(bench: Bench) -> None:
    offers = bench.offers()

    def end_of(offer: Offer) -> float:
        if offer == offers[0]:
            raise OfferGoneError(f"{offer} costs more than is left")
        return bench.clock.now() + 600

    with lease(bench.market, offers, request, run=RUN, ends=end_of) as leased:
        assert leased.offer == offers[1]
    assert len(bench.vast.calls("create")) == 1


def test_minutes_of_silence_at_the_end(bench: Bench) -> None:
    with bench.lease():
        bench.vast.silence(200)
    assert bench.vast.billing() == []


def test_silence_that_does_not_end_is_loud_and_reaped_later(bench: Bench) -> None:
    with pytest.raises(OrphanedInstanceError, match="runner reap"), bench.lease():
        bench.vast.silence(100_000)
    bench.vast.silent_until_s = 0.0
    assert len(bench.vast.billing()) == 1
    bench.runs.finished = True
    assert bench.reap() == 1
    assert bench.vast.billing() == []


def test_one_that_comes_back_is_reaped(bench: Bench) -> None:
    with bench.lease() as leased:
        pass
    bench.vast.resurrect(int(leased.instance.id))
    assert bench.reap() == 1
    assert bench.vast.billing() == []


def test_a_lost_reply_and_a_list_that_is_empty(bench: Bench) -> None:
    """What is listed late is found by the reaper at the latest."""
    bench.vast.break_next("create", lose=True)
    bench.vast.break_next("list", empty=True, lie=True, times=6)
    with bench.lease():
        pass
    bench.vast.faults.clear()
    bench.runs.finished = True
    bench.reap()
    assert bench.vast.billing() == []


def test_others_are_never_touched(bench: Bench) -> None:
    foreign = [bench.vast.add_foreign(), bench.vast.add_foreign(label=f"framehaul-{RUN}-0-aaaa", image="other/x:1")]
    with bench.lease():
        pass
    bench.runs.finished = True
    bench.reap()
    assert all(one.exists for one in foreign)


def test_a_lost_reply_takes_over_nobody_elses(bench: Bench) -> None:
    """Of two instances under the label, the one with another image is somebody else's."""
    foreign = []

    def copied(offer: Offer, label: str) -> InstanceRequest:
        foreign.append(bench.vast.add_foreign(label=label, image="other/x:1"))
        return request(offer, label)

    bench.vast.break_next("create", lose=True)
    with lease(bench.market, bench.offers(), copied, run=RUN) as leased:
        assert leased.instance.id != str(foreign[0].id)
    assert foreign[0].exists
    assert bench.vast.billing() == []


def test_a_request_to_stop_comes_first(bench: Bench) -> None:
    bench.stop.make()
    with pytest.raises(Interrupted), bench.lease():
        pass
    assert bench.vast.calls("create") == []


def test_no_offer_is_left(bench: Bench) -> None:
    offers = bench.offers()
    for offer in bench.vast.offers:
        offer["rentable"] = False
    with pytest.raises(OfferGoneError), lease(bench.market, offers, request, run=RUN):
        pass
    assert not any(one.open for one in bench.journal.rentals())
