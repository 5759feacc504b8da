"""Against Vast.ai itself: `pytest -m live`, with a key in VAST_API_KEY. At most $0.032, usually less than a cent.

What nobody could know without asking is asked here: whether the API still speaks as the fake does.
"""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import pytest

from runner.errors import OfferGoneError, ProviderError
from runner.provider import State
from runner.spec import Requirements
from runner.vast.api import VastClient
from runner.vast.config import InstanceConfig
from runner.vast.provider import VastProvider
from tests.runner.live.allowance import END_S, LIFE_S, MOST_USD_PER_H, life_usd
from tests.runner.vast.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]

IMAGE: Final = "alpine:3.20"
CHEAP: Final = Requirements(min_disk_gb=8, min_reliability=0.98, min_down_mbps=200)


@pytest.fixture
def client() -> Iterator[VastClient]:
    if not os.environ.get("VAST_API_KEY"):
        pytest.skip(f"no account at Vast.ai: set VAST_API_KEY, and it spends at most ${life_usd():.3f} there")
    with VastClient() as opened:
        yield opened


def test_reading_costs_nothing(client: VastClient) -> None:
    assert client.user().credit_usd is not None
    assert all(instance.instance_id for instance in client.instances())
    now = datetime.now(UTC)
    assert all(charge.amount_usd is not None for charge in client.charges(now - timedelta(days=7), now))
    assert client.show(1) is None


def test_offers_are_understood(client: VastClient) -> None:
    offers = VastProvider(client).offers(Requirements(min_vram_gb=16), max_price_usd_per_h=Decimal(1))
    assert offers
    assert all(0 < offer.price_usd_per_h <= 1 for offer in offers)


def test_a_short_life(client: VastClient) -> None:
    provider = VastProvider(client)
    label = f"framehaul-live-{secrets.token_hex(6)}"
    config = InstanceConfig(image=IMAGE, label=label, disk_gb=8.0, args=("sh", "-c", "echo here; sleep 3600"))
    began_s = time.monotonic()
    try:
        number = rent(provider, config)
        until(lambda: (shown := provider.show(number)) and shown.state is State.RUNNING, timeout_s=LIFE_S)
        assert [one.label for one in provider.instances() if one.id == number] == [label]
        assert any("here" in line for line in provider.logs(number))
    finally:
        for one in provider.instances():
            if one.label == label:
                provider.destroy(one.id)
        until(lambda: label not in {one.label for one in provider.instances()}, timeout_s=END_S)
    assert provider.show(number) is None
    print(f"rented for {time.monotonic() - began_s:.0f} s")  # noqa: T201 - what it cost


def rent(provider: VastProvider, config: InstanceConfig) -> str:
    """The number of an instance, of the first cheap offer that is still there."""
    for offer in provider.offers(CHEAP, max_price_usd_per_h=MOST_USD_PER_H)[:5]:
        try:
            return str(provider.client.create(int(offer.id), config).instance_id)
        except OfferGoneError:
            continue
    raise ProviderError("five offers were gone; try again later")
