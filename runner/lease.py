"""The only way to rent: nothing is created outside `lease`, and nothing it created outlives its block.

What is about to be rented is in the journal before it is. `create` is sent once per label: where its outcome is
unknown, the label is looked for, and what is found is taken over or destroyed. What was refused for being asked too
often is asked again under another label. The end is asked for until the provider proves it, and whoever could not
prove it says so loudly (`OrphanedInstanceError`, exit code 6).
"""

from __future__ import annotations

import logging
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
)
from runner.journal import Entry, Journal, new_label, run_of
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
STOPPED_S: Final = 60.0
"""The same, once somebody has asked to stop: the reaper looks on, and whoever waits is told to run it."""
RATE_LIMIT_S: Final = 15.0
"""Pause where the provider asks for one and does not say how long."""
RATE_LIMIT_MAX_S: Final = 60.0
"""The longest pause, whatever the provider asks for: it is asked again then, or another time by the user."""
RATE_LIMIT_TRIES: Final = 5
"""For one machine; then the user hears of it."""

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
    ends: Callable[[Offer], float | None] = lambda _: None,
) -> Iterator[Lease]:
    """Rent the first of `offers` that can still be had, and destroy it when the block is left, however it is left.

    `request` makes what is started, from the offer and the label it will have; `ends` says when what is rented now
    has to end (seconds since 1970), and raises `OfferGoneError` where that leaves too little. Both are asked right
    before the provider is. Raises `OfferGoneError` when none of them could be had, `Interrupted` when somebody asked
    to stop before anything was rented, and what the provider raises.
    """
    made = _rent(market, offers, request, ends, run=run, slot=slot)
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
    ends: Callable[[Offer], float | None],
    *,
    run: str,
    slot: int,
) -> Lease:
    left = list(offers)
    refusals, reason = 0, "there are none"
    while left:
        if market.stop:
            raise Interrupted
        offer = left[0]
        try:
            made = _try(market, offer, request, new_label(run, slot, deadline_s=ends(offer)))
        except OfferGoneError as error:
            reason = str(error)
            log.info("%s; the next one is tried", reason)
            left.pop(0)
        except RateLimitError as error:  # proven to have done nothing, and no fault of this offer
            refusals += 1
            if refusals >= RATE_LIMIT_TRIES:
                raise
            wait_s = min(error.retry_after_s or RATE_LIMIT_S, RATE_LIMIT_MAX_S)
            log.info("%s; once more in %.0f s", error, wait_s)
            market.stop.wait(market.clock, wait_s)
        else:
            if made is not None:
                return made
            reason = f"no answer for {offer}, and nothing of it is there"
            left.pop(0)
    raise OfferGoneError(f"none of {len(offers)} offers could be had; the last: {reason}")


def _try(market: Market, offer: Offer, request: Callable[[Offer, str], InstanceRequest], label: str) -> Lease | None:
    """Rent `offer` under a label that nobody has used; None when it was not had, and nothing of it is left."""
    wanted = request(offer, label)
    created_s = market.clock.now()
    market.note(
        "intent",
        label,
        image=wanted.image,
        run=run_of(label),
        machine=offer.machine,
        price_usd_per_h=offer.price_usd_per_h,
        deadline_s=wanted.deadline_s,
    )
    instance = _create(market, offer, wanted)
    return None if instance is None else Lease(instance=instance, offer=offer, created_s=created_s)


def _create(market: Market, offer: Offer, wanted: InstanceRequest) -> Instance | None:
    """The instance, in the journal; None when what was sent led to nothing, and nothing of it is left.

    Sent once. What proves that nothing was rented is raised, unless it names an instance all the same.
    """
    label = wanted.label
    try:
        instance = market.provider.create(offer, wanted)
    except RateLimitError:
        if _is_there(market, wanted):
            return _resolve(market, wanted, None)
        raise
    except NOTHING_DONE as error:
        if _instance_in(error) is None:
            market.note("absent", label)
            raise
        _end(market, label, _instance_in(error))
        return None
    except ProviderError as error:
        log.info("what became of %s is unknown: %s", label, error)
        return _resolve(market, wanted, _instance_in(error))
    except BaseException:  # a fault of ours, after who knows what was sent
        _resolve_to_nothing(market, wanted)
        raise
    return _noted(market, label, instance)


def _is_there(market: Market, wanted: InstanceRequest) -> bool:
    """Whether what was refused for being asked too often, which proves that nothing was done, is there after all."""
    try:
        found = with_label(market.provider, wanted.label, wanted.image)
    except ProviderError as error:  # the label stays open, and the reaper looks for it
        log.info("%s was refused, and nobody says whether it is there: %s", wanted.label, error)
        return False
    if not found:
        market.note("absent", wanted.label)
    return bool(found)


def _noted(market: Market, label: str, instance: Instance) -> Instance:
    """`instance`, once the journal has it. What cannot be noted is not kept."""
    try:
        market.note("created", label, instance=instance.id)
    except BaseException:  # Ctrl-C too: an instance that is in no journal must not stay
        end_instance(market.provider, instance.id, clock=market.clock, limit_s=market.end_limit_s)
        raise
    return instance


def _resolve(market: Market, wanted: InstanceRequest, instance_id: str | None) -> Instance | None:
    """After a lost or contradictory answer: take over what there is, destroy what is of no use, or prove absence."""
    label = wanted.label
    found = _look(market, wanted)
    if instance_id is not None and all(one.id != instance_id for one in found):
        _end(market, label, instance_id)
    usable = [one for one in found if one.state in {State.LOADING, State.RUNNING}]
    if instance_id is None and len(found) == 1 and usable and not market.stop:
        return _noted(market, label, usable[0])
    for one in found:
        _end(market, label, one.id)
    # No line says "absent": what was not listed yet may be listed later, and the reaper looks for it then.
    return None


def _resolve_to_nothing(market: Market, wanted: InstanceRequest) -> None:
    try:
        for one in with_label(market.provider, wanted.label, wanted.image):
            _end(market, wanted.label, one.id)
    except OrphanedInstanceError:
        raise
    except ProviderError as error:
        raise OrphanedInstanceError(
            f"whether {wanted.label} was rented is unknown ({error}); run `runner reap` until it exits 0"
        ) from error


def _look(market: Market, wanted: InstanceRequest) -> list[Instance]:
    """What has the label, looked for several times. Raises `OrphanedInstanceError` when nobody answers for long."""
    began_s, pauses = market.clock.now(), list(market.looks_s)
    while pauses:
        market.clock.sleep(pauses[0])
        try:
            found = with_label(market.provider, wanted.label, wanted.image)
        except ProviderError as error:
            longest_s = STOPPED_S if market.stop else max(SURE_S, market.end_limit_s)
            if market.clock.now() >= began_s + longest_s:
                raise OrphanedInstanceError(
                    f"whether {wanted.label} was rented could not be found out, and it may cost money ({error}); "
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
