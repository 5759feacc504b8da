"""What every provider has to do, for each that there is: real processes, over HTTP where there is any."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from runner.cli.exit_codes import ExitCode, exit_code
from runner.errors import OfferGoneError, ProviderError
from runner.local import BOOT_VARIABLE, LocalProvider
from runner.provider import InstanceRequest, State
from runner.spec import Requirements
from runner.vast.provider import VastProvider
from tests.runner.vast.clocks import ScaledClock
from tests.runner.vast.fake import IMAGE, FakeVast, Image
from tests.runner.vast.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.provider import Instance, Provider

PROGRAM = (
    "import os, sys, time\n"
    f"print(os.environ['CONTAINER_ID'], os.environ['FRAMEHAUL_LABEL'], os.environ['{BOOT_VARIABLE}'], *sys.argv[1:])\n"
    "sys.stdout.flush()\n"
    "time.sleep(1000 if 'stay' in sys.argv else 0)\n"
)
WORKER = (sys.executable, "-S", "-E", "-c", PROGRAM)
ANY = Requirements()


@dataclass
class Market:
    """A provider, and what can be done to its machines from outside."""

    provider: Provider
    fake: FakeVast | None = None

    def rent(self, *command: str, label: str = "ours-1") -> Instance:
        offer = self.provider.offers(ANY, max_price_usd_per_h=None)[0]
        return self.provider.create(offer, request(*command, label=label))

    def running(self, instance: Instance) -> Instance:
        def look() -> Instance | None:
            shown = self.provider.show(instance.id)
            return shown if shown is not None and shown.is_running else None

        found = until(look)
        assert found is not None
        return found


def request(*command: str, label: str = "ours-1") -> InstanceRequest:
    return InstanceRequest(label=label, image=IMAGE, command=command, boot_url="https://x/boot?signature=BOOTSECRET")


@pytest.fixture(params=["vast", "local"])
def market(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Market]:
    if request.param == "local":
        local = LocalProvider(tmp_path / "instances", program=WORKER)
        yield Market(local)
        for instance in local.instances():
            local.destroy(instance.id)
        return
    clock = ScaledClock(50)
    with FakeVast(tmp_path, clock=clock) as fake, fake.client() as client:
        fake.images[IMAGE] = Image(entrypoint=WORKER)
        fake.restarts_exited = False
        yield Market(VastProvider(client), fake)


def test_a_life(market: Market) -> None:
    made = market.rent("stay", "two words")
    assert (made.label, made.image) == ("ours-1", IMAGE)
    assert not made.is_terminated
    shown = market.running(made)
    assert (shown.id, shown.label, shown.image, shown.machine) == (made.id, "ours-1", IMAGE, made.machine)
    assert [one.id for one in market.provider.instances()] == [made.id]
    (line,) = until(lambda: list(market.provider.logs(made.id)))
    assert line == f"{made.id} ours-1 https://x/boot?signature=BOOTSECRET stay two words"
    market.provider.destroy(made.id)
    assert market.provider.show(made.id) is None
    assert list(market.provider.instances()) == []
    market.provider.destroy(made.id)


def test_a_worker_that_ends(market: Market) -> None:
    made = market.rent("leave")
    until(lambda: (shown := market.provider.show(made.id)) is not None and shown.state is State.STOPPED)
    shown = market.provider.show(made.id)
    assert shown is not None
    assert not shown.is_terminated  # its disk is there until it is destroyed
    market.provider.destroy(made.id)
    assert market.provider.show(made.id) is None


def test_what_never_was(market: Market) -> None:
    never = "14789999"
    assert market.provider.show(never) is None
    market.provider.destroy(never)
    assert list(market.provider.instances()) == []


def test_offers_are_ready_to_be_rented(market: Market) -> None:
    offers = market.provider.offers(ANY, max_price_usd_per_h=Decimal("0.5"), limit=3)
    assert 1 <= len(offers) <= 3
    for offer in offers:
        assert offer.price_usd_per_h <= Decimal("0.5")
        assert offer.id
        assert str(offer).startswith(f"offer {offer.id}: ")
    assert market.provider.costs == (market.fake is not None)
    assert (market.provider.credit_usd() is None) != market.provider.costs


def test_an_offer_of_another_market(market: Market) -> None:
    offer = market.provider.offers(ANY, max_price_usd_per_h=None)[0]
    other = type(offer)(
        **{name: getattr(offer, name) for name in offer.__dataclass_fields__} | {"id": "27499999"},
    )
    with pytest.raises(OfferGoneError):
        market.provider.create(other, request("stay"))
    assert list(market.provider.instances()) == []


def test_every_failure_is_the_providers(market: Market) -> None:
    assert exit_code(ProviderError("x")) == ExitCode.PROVIDER
    assert market.provider.name in {"vast", "local"}


def test_nothing_secret_shows(market: Market) -> None:
    made = market.rent("stay")
    shown = market.running(made)
    for value in (made, shown, request("stay"), market.provider.instances()):
        assert "BOOTSECRET" not in repr(value)
        assert "BOOTSECRET" not in str(value)
