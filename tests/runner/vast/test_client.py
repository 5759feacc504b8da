"""Every call, against the fake Vast.ai over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from runner.errors import ProviderKeyError, RefusedError, ReplyError, UnansweredError
from runner.vast.config import InstanceConfig
from runner.vast.refusals import InstanceGoneError
from runner.vast.search import BID, Search
from tests.runner.vast.clocks import EPOCH_S
from tests.runner.vast.fake import ACCOUNT_KEY, IMAGE, FakeVast, Image
from tests.runner.vast.wait import until

if TYPE_CHECKING:
    from runner.vast.api import VastClient

SLEEPER = Image(entrypoint=("/bin/sh", "-c", "echo hello from $CONTAINER_ID; exec sleep 1000"))


def config(label: str = "ours-1", **facts: object) -> InstanceConfig:
    return InstanceConfig.from_wire("test", {"image": IMAGE, "label": label, "disk": 16, **facts})


@pytest.fixture(autouse=True)
def _image(vast: FakeVast) -> None:
    vast.images[IMAGE] = SLEEPER


def rent(vast: FakeVast, client: VastClient, label: str = "ours-1", **facts: object) -> int:
    """The number of an instance that runs."""
    offer = client.search(Search())[0]
    number = client.create(offer.offer_id, config(label, **facts)).instance_id
    until(lambda: (shown := client.show(number)) and shown.is_running)
    return number


def test_life_of_an_instance(vast: FakeVast, client: VastClient) -> None:
    number = rent(vast, client)
    assert until(lambda: client.logs(number)) == f"hello from {number}"
    client.label(number, "ours-2")
    shown = client.show(number)
    assert shown is not None
    assert (shown.label, shown.image, shown.is_running, shown.is_terminated) == ("ours-2", IMAGE, True, False)
    assert str(shown).startswith(f"instance {number}: running, 1x RTX 3060, $0.058/h, ours-2")
    assert client.destroy(number) is True
    assert client.show(number) is None
    assert client.destroy(number) is False
    assert vast.billing() == []
    assert vast.key_leaks() == []


def test_the_container_gets_what_vast_gives_it(vast: FakeVast, client: VastClient) -> None:
    vast.images[IMAGE] = Image(entrypoint=("/usr/bin/env",), env={"FROM_IMAGE": "1"})
    vast.restarts_exited = False
    offer = client.search(Search())[0]
    made = client.create(offer.offer_id, config(env={"B": "two words"}))
    until(lambda: (shown := client.show(made.instance_id)) and shown.is_terminated)
    printed = dict(line.split("=", 1) for line in client.logs(made.instance_id).splitlines())
    assert printed["CONTAINER_ID"] == str(made.instance_id)
    assert printed["CONTAINER_API_KEY"] == made.instance_key
    assert (printed["B"], printed["FROM_IMAGE"], printed["VAST_URL"]) == ("two words", "1", vast.url)
    assert made.instance_key not in repr(made)


def test_pages_of_instances_are_all_read(vast: FakeVast, client: VastClient) -> None:
    vast.page_rows = 2
    numbers = [rent(vast, client, f"ours-{i}") for i in range(5)]
    listed = client.instances()
    assert [one.instance_id for one in listed] == numbers
    assert [one.label for one in listed] == [f"ours-{i}" for i in range(5)]
    assert len(vast.calls("list")) == 3


def test_a_list_that_is_short_once_is_asked_for_again(vast: FakeVast, client: VastClient) -> None:
    number = rent(vast, client)
    vast.break_next("list", empty=True)
    assert [one.instance_id for one in client.instances()] == [number]


def test_a_list_that_stays_short_is_no_answer(vast: FakeVast, client: VastClient) -> None:
    rent(vast, client)
    vast.break_next("list", empty=True, times=9)
    with pytest.raises(ReplyError, match="got 0 of 1 instances"):
        client.instances()


def test_pages_that_turn_in_a_circle_end(vast: FakeVast, client: VastClient) -> None:
    vast.break_next("list", status=200, body={"instances": [], "next_token": "7"}, times=9)
    with pytest.raises(ReplyError, match="do not end"):
        client.instances()


def test_search_asks_with_conditions_and_gets_the_cheapest_first(vast: FakeVast, client: VastClient) -> None:
    found = client.search(Search(where={"gpu_name": {"in": ["RTX 4090", "RTX 3090"]}, "verified": {"eq": True}}))
    assert [offer.gpu_name for offer in found] == ["RTX 3090", "RTX 4090"]
    assert found[0].usd_per_h == Decimal("0.163333")
    assert (found[0].country, found[0].is_verified, found[0].is_datacenter) == ("DE", True, False)


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ({"gpu_ram": {"gte": 80000}}, {"A100 SXM4", "H100 SXM", "GH200 SXM"}),
        ({"dph_total": {"lte": 0.1}}, {"RTX 3060", "RTX 4060 Ti"}),
        ({"datacenter": {"eq": True}}, {"L4", "A100 SXM4", "H100 SXM"}),
        ({"verified": {"eq": False}}, {"RTX 4090"}),
        ({"geolocation": {"in": ["SE", "PL"]}}, {"RTX 4090", "RTX 5090"}),
        ({"geolocation": {"notin": ["NO", "CN", "SE", "DE", "PL", "FI", "IS"]}}, {"H100 SXM"}),
        ({"reliability": {"lt": 0.95}}, {"RTX 3060"}),
        ({"driver_version": {"gt": 570086015}}, set()),
        ({"inet_down_cost": {"gt": 0.01}}, {"RTX 4060 Ti"}),
        ({"cpu_arch": {"neq": "amd64"}}, {"GH200 SXM"}),
        ({"no_such_number": {"gte": 1}}, set()),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_conditions_that_the_service_ignores_are_checked_here(
    vast: FakeVast, client: VastClient, where: dict[str, dict[str, object]], left: set[str]
) -> None:
    """A service that applies no condition changes nothing."""
    if "no_such_number" not in where:
        assert {offer.gpu_name for offer in client.search(Search(where=where))} == left
    rows = [row | {"dph_total": row["dph_base"]} for row in vast.offers]
    vast.break_next("search", status=200, body={"offers": rows})
    assert {offer.gpu_name for offer in client.search(Search(where=where))} == left


def test_more_offers_than_one_reply_holds(vast: FakeVast, client: VastClient) -> None:
    vast.offers.clear()
    for number in range(150):
        vast.add_offer(dph_base=round(0.1 + number // 3 * 0.01, 4))  # three at a price, so that pages cut through
    found = client.search(Search(limit=140))
    assert len(found) == len({offer.offer_id for offer in found}) == 140
    assert [offer.usd_per_h for offer in found] == sorted(offer.usd_per_h for offer in found)
    assert len(vast.calls("search")) == 3


def test_offers_all_at_one_price_end(vast: FakeVast, client: VastClient) -> None:
    vast.offers.clear()
    for _ in range(70):
        vast.add_offer(dph_base=0.5)
    assert len(client.search(Search(limit=100))) == 64


def test_an_offer_that_cannot_be_read_does_not_hide_the_others(vast: FakeVast, client: VastClient) -> None:
    rows = [row | {"dph_total": row["dph_base"]} for row in vast.offers]
    rows[0] = rows[0] | {"gpu_name": None}
    vast.break_next("search", status=200, body={"offers": rows})
    assert len(client.search(Search())) == len(rows) - 1
    vast.break_next("search", status=200, body={"offers": [rows[0]]})
    with pytest.raises(ReplyError, match="field gpu_name of the answer"):
        client.search(Search())


def test_bids(vast: FakeVast, client: VastClient) -> None:
    offer = client.search(Search(kind=BID))[0]
    assert offer.is_bid
    assert offer.min_bid_usd_per_h is not None
    lowest = offer.min_bid_usd_per_h + offer.disk_usd_per_h(16)
    assert lowest == pytest.approx(offer.usd_per_h, abs=Decimal("0.00001"))
    number = client.create(offer.offer_id, config(price=0.04)).instance_id
    until(lambda: (shown := client.show(number)) and shown.is_running)
    vast.outbid(number)
    shown = client.show(number)
    assert shown is not None
    assert (shown.is_running, shown.is_terminated, shown.is_bid) == (False, True, True)
    assert vast.billing() == [number]
    client.change_bid(number, 0.05)
    until(lambda: (shown := client.show(number)) and shown.is_running)
    assert vast.instances[number].starts == 2


def test_a_bid_for_an_instance_on_demand_is_refused(vast: FakeVast, client: VastClient) -> None:
    with pytest.raises(RefusedError, match="no bid"):
        client.change_bid(rent(vast, client), 0.05)


def test_what_is_not_there(vast: FakeVast, client: VastClient) -> None:
    assert client.show(1) is None
    assert client.destroy(1) is False
    for call in (lambda: client.logs(1), lambda: client.label(1, "x"), lambda: client.change_bid(1, 0.1)):
        with pytest.raises(InstanceGoneError):
            call()


def test_account_and_charges(vast: FakeVast, client: VastClient) -> None:
    number = rent(vast, client)
    vast.clock.sleep(3600)
    client.destroy(number)
    user = client.user()
    assert str(user) == f"account 7: ${user.credit_usd:.2f} left"
    assert float(user.credit_usd) == pytest.approx(25 - vast.spent_usd())
    first, last = (datetime.fromtimestamp(EPOCH_S + hours * 3600, UTC) for hours in (-24, 24))
    (charge,) = client.charges(first, last)
    assert charge.instance_id == number
    assert float(charge.amount_usd) == pytest.approx(0.055 + 0.15 * 16 / 720, rel=0.01)
    assert {item.kind for item in charge.items} == {"gpu", "disk"}


def test_the_key_is_in_the_header_and_nowhere_else(vast: FakeVast, client: VastClient) -> None:
    rent(vast, client)
    assert ACCOUNT_KEY not in vast.journal_text()
    assert ACCOUNT_KEY not in repr(client)
    assert ACCOUNT_KEY not in str(vars(client))


def test_the_key_is_not_sent_to_where_logs_are(vast: FakeVast, client: VastClient) -> None:
    client.logs(rent(vast, client))  # the fake refuses it
    assert all(call.identity == "nobody" for call in vast.calls("file"))


def test_a_log_that_never_comes(vast: FakeVast, client: VastClient) -> None:
    number = rent(vast, client)
    vast.break_next("file", status=403, body="<Error/>", times=999)
    with pytest.raises(UnansweredError, match="did not come within 45 s"):
        client.logs(number)


def test_an_instance_key_is_for_its_own_instance(vast: FakeVast, client: VastClient) -> None:
    first, second = rent(vast, client, "ours-1"), rent(vast, client, "ours-2")
    with vast.client(vast.instances[first].key) as own:
        assert own.show(first) is not None
        for call in (lambda: own.show(second), lambda: own.destroy(second), own.instances, own.user):
            with pytest.raises(ProviderKeyError):
                call()
        assert own.destroy(first) is True
        with pytest.raises(ProviderKeyError):  # the key died with it, and says nothing about it
            own.show(first)
    assert vast.billing() == [second]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "instances"),
        ({"instances": 5}, "instances"),
        ({"instances": [{"label": "x"}]}, "instances.0.id"),
        ({"instances": [{"id": "many"}]}, "instances.0.id"),
        ({"instances": [], "next_token": 5}, "next_token"),
    ],
)
def test_a_list_that_cannot_be_read_names_the_field(
    vast: FakeVast, client: VastClient, body: dict[str, object], field: str
) -> None:
    vast.break_next("list", status=200, body=body)
    with pytest.raises(ReplyError, match=f"field {field} of the answer"):
        client.instances()


def test_an_answer_about_another_instance_is_none(vast: FakeVast, client: VastClient) -> None:
    vast.break_next("show", status=200, body={"instances": {"id": 8}})
    with pytest.raises(ReplyError, match="about instance 8"):
        client.show(7)
    vast.break_next("show", status=200, body={"success": True})
    with pytest.raises(ReplyError, match="field instances"):
        client.show(7)
