"""The only way to rent: nothing is created outside `lease`, and nothing it created outlives its block.

What is about to be rented is in the journal before it is. `create` is sent once per label: where its outcome is
unknown, the label is looked for, and what is found is taken over or destroyed. The end is asked for until the
provider proves it, and whoever could not prove it says so loudly (`OrphanedInstanceError`, exit code 6).
"""

from __future__ import annotations

import logging
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.ending import LIMIT_S, end_instance, with_label
from runner.errors import (
    CreditError,
    Interrupted,
    OfferGoneError,
    OrphanedInstanceError,
    ProviderError,
    ProviderKeyError,
    RateLimitError,
    RefusedError,
    UnknownOutcomeError,
)
from runner.journal import Entry, Journal, label_of
from runner.provider import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.clock import Clock, StopRequest
    from runner.provider import Instance, InstanceRequest, Offer, Provider

log = logging.getLogger(__name__)

LOOKS_S: Final = (0.0, 2.0, 6.0, 12.0)
"""Pauses before each look for a label after a lost answer: an instance may be listed late."""
SURE_S: Final = 600.0
"""How long a label is looked for while the provider does not answer at all."""
RATE_LIMIT_S: Final = 15.0
"""Pause where the provider asks for one and does not say how long."""
RATE_LIMIT_TRIES: Final = 5

NOTHING_DONE: Final = (OfferGoneError, CreditError, ProviderKeyError, RefusedError)
"""Answers to `create` that prove that nothing was rented, unless they name an instance all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """Where leases are made: a provider, and what has to outlive this process."""

    provider: Provider
    journal: Journal
    clock: Clock
    stop: StopRequest
    end_limit_s: float = LIMIT_S
    looks_s: tuple[float, ...] = LOOKS_S
    listen: Callable[[Entry], None] | None = None
    """Is told what the journal was told, once it is on disk."""

    def note(self, event: str, label: str, **facts: object) -> None:
        """A line in the journal."""
        given = {"event": event, "time_s": self.clock.now(), "label": label, "provider": self.provider.name}
        entry = Entry.model_validate(given | facts)
        self.journal.write(entry)
        if self.listen is not None:
            self.listen(entry)


@dataclass(slots=True, kw_only=True)
class Lease:
    """A rented instance, for as long as its block lasts."""

    instance: Instance
    """As the provider described it when it was created or adopted."""
    offer: Offer | None
    """What was rented; None for an instance that an earlier process has rented."""
    created_s: float
    """When it was asked for, seconds since 1970: what it costs is counted from here."""
    kept: bool = False
    """Whether it lives on after the block: somebody comes back for it, and it has its own deadline."""


@contextmanager
def lease(
    market: Market,
    offers: Sequence[Offer],
    request: Callable[[Offer, str], InstanceRequest],
    *,
    run: str,
    slot: int = 0,
) -> Iterator[Lease]:
    """Rent the first of `offers` that can still be had, and destroy it when the block is left, however it is left.

    `request` makes what is started, from the offer and the label it will have. Raises `OfferGoneError` when none of
    them could be had, `Interrupted` when somebody asked to stop before anything was rented, and what the provider
    raises.
    """
    made = _rent(market, offers, request, run=run, slot=slot)
    with held(market, made):
        yield made


@contextmanager
def held(market: Market, leased: Lease) -> Iterator[Lease]:
    """The block at whose end `leased` is destroyed and proven gone: also for what an earlier process has rented."""
    try:
        yield leased
    finally:
        if not leased.kept:
            _end(market, leased.instance.label, leased.instance.id)


def _rent(
    market: Market,
    offers: Sequence[Offer],
    request: Callable[[Offer, str], InstanceRequest],
    *,
    run: str,
    slot: int,
) -> Lease:
    for offer in offers:
        if market.stop:
            raise Interrupted
        label = label_of(run, slot, secrets.token_hex(4))
        wanted = request(offer, label)
        created_s = market.clock.now()
        market.note(
            "intent",
            label,
            image=wanted.image,
            run=run,
            machine=offer.machine,
            price_usd_per_h=offer.price_usd_per_h,
            deadline_s=wanted.deadline_s,
        )
        instance = _create(market, offer, wanted)
        if instance is not None:
            return Lease(instance=instance, offer=offer, created_s=created_s)
        log.info("%s is gone; the next one is tried", offer)
    raise OfferGoneError(f"all {len(offers)} offers were taken by others; search again or allow a higher price")


def _create(market: Market, offer: Offer, wanted: InstanceRequest) -> Instance | None:
    """The instance, in the journal; None when the offer cannot be had and nothing of it is left."""
    label = wanted.label
    try:
        instance = _ask(market, offer, wanted)
    except NOTHING_DONE as error:
        if _instance_in(error) is None:
            market.note("absent", label)
            if isinstance(error, OfferGoneError):
                return None
            raise
        _end(market, label, _instance_in(error))
        return None
    except ProviderError as error:
        log.info("what became of %s is unknown: %s", label, error)
        return _resolve(market, label, _instance_in(error))
    except BaseException:  # a fault of ours, after who knows what was sent
        _resolve_to_nothing(market, label)
        raise
    return _noted(market, label, instance)


def _noted(market: Market, label: str, instance: Instance) -> Instance:
    """`instance`, once the journal has it. What cannot be noted is not kept."""
    try:
        market.note("created", label, instance=instance.id)
    except BaseException:  # Ctrl-C too: an instance that is in no journal must not stay
        end_instance(market.provider, instance.id, clock=market.clock, limit_s=market.end_limit_s)
        raise
    return instance


def _ask(market: Market, offer: Offer, wanted: InstanceRequest) -> Instance:
    """`create`, again only where the provider says that it did nothing because it was asked too often."""
    for _ in range(RATE_LIMIT_TRIES - 1):
        try:
            return market.provider.create(offer, wanted)
        except RateLimitError as error:
            market.clock.sleep(error.retry_after_s or RATE_LIMIT_S)
            if market.stop or with_label(market.provider, wanted.label):
                raise UnknownOutcomeError(f"{wanted.label} was refused, and may be there all the same") from error
    return market.provider.create(offer, wanted)


def _resolve(market: Market, label: str, instance_id: str | None) -> Instance | None:
    """After a lost or contradictory answer: take over what there is, destroy what is of no use, or prove absence."""
    found = _look(market, label)
    if instance_id is not None and all(one.id != instance_id for one in found):
        _end(market, label, instance_id)
    usable = [one for one in found if one.state in {State.LOADING, State.RUNNING}]
    if instance_id is None and len(found) == 1 and usable and not market.stop:
        return _noted(market, label, usable[0])
    for one in found:
        _end(market, label, one.id)
    # No line says "absent": what was not listed yet may be listed later, and the reaper looks for it then.
    return None


def _resolve_to_nothing(market: Market, label: str) -> None:
    try:
        for one in with_label(market.provider, label):
            _end(market, label, one.id)
    except OrphanedInstanceError:
        raise
    except ProviderError as error:
        raise OrphanedInstanceError(
            f"whether {label} was rented is unknown ({error}); run `runner reap` until it exits 0"
        ) from error


def _look(market: Market, label: str) -> list[Instance]:
    """What has the label, looked for several times. Raises `OrphanedInstanceError` when nobody answers for long."""
    until = market.clock.now() + max(SURE_S, market.end_limit_s)
    pauses = list(market.looks_s)
    while pauses:
        market.clock.sleep(pauses[0])
        try:
            found = with_label(market.provider, label)
        except ProviderError as error:
            if market.clock.now() >= until:
                raise OrphanedInstanceError(
                    f"whether {label} was rented could not be found out, and it may cost money ({error}); "
                    "run `runner reap` until it exits 0"
                ) from error
            market.clock.sleep(5.0)
            continue
        if found:
            return found
        pauses.pop(0)
    return []


def _end(market: Market, label: str, instance_id: str | None) -> None:
    if instance_id is None:
        return
    end_instance(market.provider, instance_id, clock=market.clock, limit_s=market.end_limit_s)
    try:
        market.note("destroyed", label, instance=instance_id)
    except ProviderError as error:  # it is gone all the same, and others may be left to end; the reaper notes it later
        log.warning("%s", error)


def _instance_in(error: BaseException) -> str | None:
    """The instance that an error speaks of: refused, and there all the same."""
    named = getattr(error, "instance_id", None)
    return str(named) if named is not None else None
