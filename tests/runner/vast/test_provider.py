"""Vast.ai behind the protocol of all providers: what is searched for, what is rented, what states mean."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import OfferGoneError, ProviderKeyError, RefusedError
from runner.provider import InstanceRequest, State
from runner.providers import open_provider
from runner.spec import Market, Requirements
from runner.vast.provider import VastProvider
from tests.runner.vast.fake import IMAGE, FakeVast
from tests.runner.vast.test_client import SLEEPER
from tests.runner.vast.wait import until

if TYPE_CHECKING:
    from runner.vast.api import VastClient

WANTED = InstanceRequest(label="ours-1", image=IMAGE, command=("--fast",), boot_url="https://x/boot")


@pytest.fixture
def provider(vast: FakeVast, client: VastClient) -> VastProvider:
    vast.images[IMAGE] = SLEEPER
    return VastProvider(client)


EVERY = {"RTX 4090", "RTX 3090", "RTX 3060", "RTX 5090", "L4", "A100 SXM4", "H100 SXM", "RTX 4060 Ti"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, EVERY),
        ({"verified": False}, EVERY),
        ({"gpu_names": ("RTX_4090", "l4")}, {"RTX 4090", "L4"}),
        ({"gpu_excluded": ("rtx 3060", "RTX 3090")}, EVERY - {"RTX 3060", "RTX 3090"}),
        ({"machines_allowed": (31000, 31001)}, {"RTX 4090", "RTX 3090"}),
        ({"machines_excluded": (31000,)}, EVERY - {"RTX 4090"}),
        ({"min_vram_gb": 24}, {"RTX 4090", "RTX 3090", "RTX 5090", "A100 SXM4", "H100 SXM"}),
        ({"min_vram_gb": 80}, {"A100 SXM4", "H100 SXM"}),
        ({"min_reliability": 0.95}, EVERY - {"RTX 3060"}),
        ({"min_cuda": 12.8}, EVERY),
        ({"min_cuda": 13.0}, set()),
        ({"min_compute_capability": 8.9}, {"RTX 4090", "RTX 5090", "L4", "H100 SXM", "RTX 4060 Ti"}),
        ({"min_compute_capability": 12.0}, {"RTX 5090"}),
        ({"min_down_mbps": 500}, EVERY - {"RTX 3060"}),
        ({"min_up_mbps": 5000}, set()),
        ({"min_disk_gb": 500}, set()),
        ({"min_disk_mbps": 3000}, set()),
        ({"min_cpu_cores": 8}, EVERY - {"RTX 3060"}),
        ({"min_ram_gb": 30}, EVERY - {"RTX 3060"}),  # its share of the machine's memory is smaller
        ({"countries": ("de", "SE")}, {"RTX 3090", "RTX 4090"}),
        ({"countries_excluded": ("NO",)}, EVERY - {"RTX 3060", "RTX 4060 Ti"}),
        ({"datacenter": True}, {"L4", "A100 SXM4", "H100 SXM"}),
        ({"static_ip": True}, EVERY),
        ({"num_gpus": 2}, set()),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",  # sets have no order
)
def test_requirements(vast: FakeVast, provider: VastProvider, given: dict[str, Any], found: set[str]) -> None:
    """Found by the service, and found all the same where the service ignores what was asked."""
    requirements = Requirements(**given)
    offers = provider.offers(requirements, max_price_usd_per_h=None)
    assert {offer.gpu_name for offer in offers} == found
    assert all(offer.price_usd_per_h > 0 for offer in offers)
    unverified = [offer for offer in offers if not offer.verified]
    assert len(unverified) == (1 if given.get("verified") is False else 0)
    vast.filters_apply = False
    assert provider.offers(requirements, max_price_usd_per_h=None) == offers


def test_the_best_value_is_seldom_the_lowest_price(vast: FakeVast, provider: VastProvider) -> None:
    """Of many offers, the cheapest of every GPU are taken, and not all of the cheapest GPU."""
    vast.offers.clear()
    for number in range(150):
        vast.add_offer(gpu_name=("RTX 3060", "RTX 4090", "H100 SXM")[number // 50], dph_base=0.1 + number / 1000)
    offers = provider.offers(Requirements(), max_price_usd_per_h=None, limit=30)
    assert [offer.gpu_name for offer in offers] == ["RTX 3060"] * 10 + ["RTX 4090"] * 10 + ["H100 SXM"] * 10
    assert [offer.price_usd_per_h for offer in offers] == sorted(offer.price_usd_per_h for offer in offers)
    everything = provider.offers(Requirements(), max_price_usd_per_h=None, limit=200)
    assert len(everything) == 120  # the rest is unverified, or for another processor


def test_machines_for_another_processor_are_never_offered(provider: VastProvider) -> None:
    offers = provider.offers(Requirements(gpu_names=("GH200 SXM",)), max_price_usd_per_h=None)
    assert list(offers) == []


@pytest.mark.parametrize("applies", [True, False])
def test_a_driver_too_old_for_the_image_is_only_offered_to_who_asks(
    vast: FakeVast, provider: VastProvider, *, applies: bool
) -> None:
    vast.filters_apply = applies
    vast.offers.clear()
    vast.add_offer(cuda_max_good=12.0, gpu_name="old", verification="verified", cpu_arch="amd64")
    vast.add_offer(cuda_max_good=12.1, gpu_name="new", verification="verified", cpu_arch="amd64")
    offers = provider.offers(Requirements(), max_price_usd_per_h=None)
    assert [offer.gpu_name for offer in offers] == ["new"]
    offers = provider.offers(Requirements(min_cuda=12), max_price_usd_per_h=None)
    assert {offer.gpu_name for offer in offers} == {"old", "new"}


@pytest.mark.parametrize("applies", [True, False])
@pytest.mark.parametrize("market", Market)
def test_no_offer_is_dearer_than_allowed(
    vast: FakeVast, provider: VastProvider, market: Market, *, applies: bool
) -> None:
    vast.filters_apply = applies
    cap = Decimal("0.2")
    offers = provider.offers(Requirements(market=market), max_price_usd_per_h=cap)
    assert offers
    assert all(offer.price_usd_per_h <= cap for offer in offers)
    assert all(offer.is_bid == (market is Market.BID) for offer in offers)


def test_what_an_offer_says(provider: VastProvider) -> None:
    (offer,) = provider.offers(Requirements(gpu_names=("RTX 4090",), min_disk_gb=20), max_price_usd_per_h=None)
    assert offer.price_usd_per_h == Decimal("0.337467")
    assert offer.disk_usd_per_h * 720 == pytest.approx(20 * Decimal("0.15"))
    assert (offer.vram_gb, offer.compute_capability, offer.cuda) == (24.564, 8.9, 12.8)
    assert (offer.down_mbps, offer.up_mbps, offer.cpu_cores, offer.disk_gb) == (1874.2, 921.5, 16.0, 412.7)
    assert (offer.country, offer.verified, offer.datacenter, offer.machine) == ("SE", True, False, "31000")
    assert offer.ends_in_s == 2419200.5
    assert offer.ram_gb == pytest.approx(32.2, abs=0.1)


def test_what_is_rented(vast: FakeVast, provider: VastProvider) -> None:
    offer = provider.offers(Requirements(), max_price_usd_per_h=None)[0]
    made = provider.create(offer, replace(WANTED, image_login="-u bob -p TOKEN ghcr.io", disk_gb=20))
    body = vast.calls("create")[0].body
    assert body == {
        "client_id": "me",
        "image": IMAGE,
        "label": "ours-1",
        "disk": 20,
        "runtype": "args",
        "args": ["--fast"],
        "onstart": None,
        "price": None,
        "cancel_unavail": True,
        "target_state": "running",
        "image_login": "-u bob -p TOKEN ghcr.io",
        "env": {
            "FRAMEHAUL_BOOT_URL": "https://x/boot",
            "FRAMEHAUL_LABEL": "ours-1",
            "NVIDIA_DRIVER_CAPABILITIES": "compute,utility,video",
        },
    }
    assert (made.state, made.machine, made.price_usd_per_h) == (State.LOADING, offer.machine, offer.price_usd_per_h)
    assert vast.instances[int(made.id)].meter.disk_usd_per_h == pytest.approx(0.15 * 20 / 720)


def test_a_bid_is_for_the_gpus_and_the_disk_comes_on_top(vast: FakeVast, provider: VastProvider) -> None:
    requirements = Requirements(market=Market.BID, min_disk_gb=100)
    offer = provider.offers(requirements, max_price_usd_per_h=None)[0]
    made = provider.create(offer, replace(WANTED, disk_gb=100, bid_usd_per_h=offer.price_usd_per_h))
    row = next(row for row in vast.offers if str(row["id"]) == offer.id)
    assert vast.calls("create")[0].body["price"] == row["min_bid"]
    meter = vast.instances[int(made.id)].meter
    assert meter.gpu_usd_per_h + meter.disk_usd_per_h == pytest.approx(float(offer.price_usd_per_h))


def test_a_bid_for_an_offer_of_long_ago(vast: FakeVast, client: VastClient, provider: VastProvider) -> None:
    offer = provider.offers(Requirements(market=Market.BID), max_price_usd_per_h=None)[0]
    with pytest.raises(OfferGoneError, match="search again"):
        VastProvider(client).create(offer, replace(WANTED, bid_usd_per_h=Decimal(1)))
    assert not vast.calls("create")


def test_states(vast: FakeVast, provider: VastProvider) -> None:
    offer = provider.offers(Requirements(market=Market.BID), max_price_usd_per_h=None)[0]
    made = provider.create(offer, replace(WANTED, bid_usd_per_h=offer.price_usd_per_h))

    def state() -> State:
        shown = provider.show(made.id)
        return State.GONE if shown is None else shown.state

    until(lambda: state() is State.RUNNING)
    vast.go_offline(int(made.id))
    assert state() is State.UNREACHABLE
    vast.come_back(int(made.id))
    assert state() is State.RUNNING
    vast.outbid(int(made.id))
    assert state() is State.STOPPED
    provider.destroy(made.id)
    assert state() is State.GONE


def test_why_an_image_does_not_start(vast: FakeVast, provider: VastProvider) -> None:
    del vast.images[IMAGE]
    made = provider.create(provider.offers(Requirements(), max_price_usd_per_h=None)[0], WANTED)
    until(lambda: "manifest unknown" in (shown.message if (shown := provider.show(made.id)) else ""))
    assert "manifest unknown" in "".join(provider.logs(made.id))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"label": "x" * 257}, "label: string should have at most 256"),
        ({"image": ""}, "image: string should have at least 1"),
        ({"image_login": "bob:TOKEN"}, "written as -u USER -p TOKEN SERVER"),
    ],
)
def test_what_cannot_be_rented(vast: FakeVast, provider: VastProvider, change: dict[str, Any], why: str) -> None:
    offer = provider.offers(Requirements(), max_price_usd_per_h=None)[0]
    with pytest.raises(RefusedError, match=why) as caught:
        provider.create(offer, replace(WANTED, **change))
    assert "bob" not in str(caught.value)
    assert not vast.calls("create")


def test_an_id_of_somewhere_else(provider: VastProvider) -> None:
    with pytest.raises(RefusedError, match="'a1b2' is not of Vast"):
        provider.show("a1b2")


def test_opened_from_the_settings(vast: FakeVast, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("VAST_API_KEY", raising=False)
    with pytest.raises(ProviderKeyError, match="set VAST_API_KEY"):
        open_provider("vast")
    for name, value in vast.environment().items():
        monkeypatch.setenv(name, value)
    assert open_provider("vast").credit_usd() == 25
