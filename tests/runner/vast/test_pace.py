"""Calls come no faster than the service allows, and what it refuses all the same is asked again when it says."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from runner.errors import RateLimitError, UnansweredError
from runner.vast.search import Search
from tests.runner.vast.test_client import config

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.vast.api import VastClient
    from tests.runner.vast.clocks import VirtualClock
    from tests.runner.vast.fake import FakeVast


def refused(vast: FakeVast) -> int:
    return sum(call.status == 429 for call in vast.journal)


def test_one_client_is_never_refused(vast: FakeVast, client: VastClient) -> None:
    for offer in client.search(Search())[:3]:
        client.create(offer.offer_id, config())
    for _ in range(12):
        client.search(Search())
    for _ in range(3):
        for instance in client.instances():
            client.show(instance.instance_id)
            client.label(instance.instance_id, "ours")
    for instance in client.instances():
        client.destroy(instance.instance_id)
    assert refused(vast) == 0


def test_the_first_calls_of_different_kinds_do_not_wait(clock: VirtualClock, client: VastClient) -> None:
    client.search(Search())
    client.user()
    client.instances()
    assert clock.slept == []


def test_threads_share_one_client(vast: FakeVast, client: VastClient) -> None:
    answered = []

    def ask() -> None:
        client.user()
        answered.append(client.instances())
        client.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert answered == [[]] * 6
    times_s = [call.time_s for call in vast.calls("list") if call.status == 200]
    assert all(after - before >= 1.0 for before, after in pairwise(times_s))


@pytest.mark.parametrize("tells", [True, False])
def test_two_programs_with_one_key_get_through(vast: FakeVast, client: VastClient, *, tells: bool) -> None:
    vast.tells_retry_after = tells
    for _ in range(3):
        with vast.client() as other:  # knows nothing of the calls of the first one
            client.show(1)
            other.show(1)
    assert refused(vast) > 0


def test_what_the_service_asks_to_wait_is_waited(vast: FakeVast, clock: VirtualClock, client: VastClient) -> None:
    vast.break_next("user", status=429, headers={"Retry-After": "17"})
    client.user()
    assert max(clock.slept) == 17


def test_what_it_asks_to_wait_too_long_for_is_an_error(vast: FakeVast, client: VastClient) -> None:
    vast.break_next("user", status=429, headers={"Retry-After": "4000"})
    with pytest.raises(RateLimitError) as caught:
        client.user()
    assert caught.value.retry_after_s == 4000
    assert len(vast.calls("user")) == 1


def test_all_searches_of_the_day_are_used_up(vast: FakeVast, client: VastClient) -> None:
    body = {"success": False, "error": "search_quota_exceeded", "msg": "Daily search quota exceeded"}
    vast.break_next("search", status=429, body=body, headers={"X-RateLimit-Reset": "1800057600"})
    with pytest.raises(RateLimitError, match="after midnight UTC"):
        client.search(Search())
    assert len(vast.calls("search")) == 1


def test_renting_too_soon_is_refused_once_and_held_back(
    vast: FakeVast, clock: VirtualClock, client: VastClient
) -> None:
    with vast.client() as other:
        other.create(27400000, config("theirs"))
    with pytest.raises(RateLimitError, match="try again later"):
        client.create(27400001, config())
    assert len(vast.calls("create")) == 2
    client.create(27400001, config())
    assert sum(clock.slept) >= 12
    assert [one.label for one in client.instances()] == ["theirs", "ours-1"]


@pytest.mark.parametrize("call", ["user", "show", "list", "destroy", "change", "search"])
@pytest.mark.parametrize("fault", [{"status": 502}, {"drop": True}, {"after": True, "status": 500}, {"lose": True}])
def test_a_server_that_breaks_twice_is_asked_a_third_time(
    vast: FakeVast, client: VastClient, call: str, fault: dict[str, object]
) -> None:
    number = client.create(27400000, config()).instance_id
    vast.break_next(call, times=2, **fault)
    actions: dict[str, Callable[[], object]] = {
        "user": client.user,
        "show": lambda: client.show(number),
        "list": client.instances,
        "destroy": lambda: client.destroy(number),
        "change": lambda: client.label(number, "ours"),
        "search": lambda: client.search(Search()),
    }
    actions[call]()
    assert len(vast.calls(call)) == 3
    assert vast.billing() == ([] if call == "destroy" else [number])


def test_silence_is_sat_out(vast: FakeVast, clock: VirtualClock, client: VastClient) -> None:
    vast.silence(50)
    client.user()
    assert sum(clock.slept) >= 50


def test_patience_ends(vast: FakeVast, clock: VirtualClock, client: VastClient) -> None:
    vast.silence(10_000)
    with pytest.raises(UnansweredError):
        client.user()
    assert sum(clock.slept) <= 120


def test_waits_grow(vast: FakeVast, clock: VirtualClock, client: VastClient) -> None:
    vast.break_next("user", drop=True, times=4)
    client.user()
    assert [wait_s for wait_s in clock.slept if wait_s >= 1] == [1.0, 5.0, 15.0, 60.0]
