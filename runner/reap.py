"""Instances of ours that nobody needs any more, found and destroyed.

Ours is what has a label that we make and an image that we start; both must match, so that nothing of anybody else
in the account is ever touched. What to do with one of ours follows from its run's folder, its journal line and the
clock alone (`judge`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from runner.census import Note, count
from runner.ending import LIMIT_S, end_instance
from runner.errors import OrphanedInstanceError, ProviderError
from runner.images import is_one_of
from runner.journal import Entry, Journal, deadline_in, run_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from runner.census import Census
    from runner.clock import Clock
    from runner.journal import Rental
    from runner.provider import Instance, Provider

log = logging.getLogger(__name__)

GRACE_S: Final = 60.0
"""An instance ends itself at its deadline; so long after it somebody else does."""


class Verdict(Enum):
    """What becomes of an instance. All but the first three are destroyed."""

    FOREIGN = "not ours"
    NEEDED = "its run goes on"
    UNSEEN = "its run could not be looked at"
    """Left alone until its own deadline, which its label tells: by then it is overdue."""
    FINISHED = "its run is finished"
    OVERDUE = "its deadline is past"
    UNKNOWN = "its run is unknown"
    ENDED = "it was destroyed and came back"
    CANCELLED = "its run was cancelled"


class RunState(Enum):
    """What a run's folder says about it."""

    GOING = "going"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """There is no such run where runs are known to be."""
    UNSEEN = "unseen"
    """The folder could not be read: nothing follows from that."""


class Runs(Protocol):
    """Where the state of runs can be asked for."""

    def state(self, run: str) -> RunState:
        """What is known of `run`."""
        ...

    def deadline_s(self, run: str, label: str) -> float | None:
        """When the instance of `run` with this label must have ended, seconds since 1970."""
        ...

    def image(self, run: str) -> str | None:
        """What instances of `run` are started with, where its plan says so: a user may have named another image."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An instance, and what was decided about it."""

    instance: Instance
    verdict: Verdict
    run: str | None

    @property
    def doomed(self) -> bool:
        return self.verdict not in {Verdict.FOREIGN, Verdict.NEEDED, Verdict.UNSEEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """What a look at one provider found, and what was done."""

    provider: str
    found: tuple[Found, ...]
    destroyed: tuple[Found, ...]
    failures: tuple[str, ...]
    """Messages about what could not be proven gone."""
    gone: frozenset[str] = frozenset()
    """Labels that were noted as open, and of which nothing is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What there is at one provider."""

    found: tuple[Found, ...]
    census: Census
    open_here: frozenset[str]
    """Labels that this machine's journal had as open before."""


def is_ours(instance: Instance, images: Collection[str]) -> bool:
    """Whether both its label and its image are of our making."""
    return run_of(instance.label) is not None and is_one_of(instance.image, images)


def judge(
    instance: Instance,
    *,
    images: Collection[str],
    rental: Rental | None,
    state: RunState,
    deadline_s: float | None,
    now_s: float,
) -> Verdict:
    """What becomes of `instance`, from `rental` (what this machine's journal knows of its label) and its run."""
    # Early in its life the image can be unknown; that this machine has asked for the label is as good.
    if not is_ours(instance, images) and (rental is None or instance.image):
        # Another image than the usual one may be its run's own, which only the run's folder says.
        is_named = state is RunState.UNSEEN and run_of(instance.label) is not None
        return Verdict.UNSEEN if is_named else Verdict.FOREIGN
    if rental is not None and not rental.open:
        return Verdict.ENDED
    if state is RunState.FINISHED:
        return Verdict.FINISHED
    if state is RunState.CANCELLED:
        return Verdict.CANCELLED
    told = (deadline_s, deadline_in(instance.label), rental.intent.deadline_s if rental is not None else None)
    ends = [one for one in told if one is not None]
    if ends and now_s > min(ends) + GRACE_S:
        return Verdict.OVERDUE
    if state is RunState.UNKNOWN:  # a run's folder is written before anything is rented for it
        return Verdict.UNKNOWN
    return Verdict.UNSEEN if state is RunState.UNSEEN else Verdict.NEEDED


def look(
    provider: Provider,
    journal: Journal,
    runs: Runs,
    *,
    images: Collection[str],
    clock: Clock,
    noted: Iterable[Note] = (),
) -> Look:
    """Every instance of the account with its verdict; `noted` is what others than this machine's journal know of.

    Raises `ProviderError` when they cannot be listed.
    """
    rentals = {one.label: one for one in journal.rentals(provider.name)}
    notes = [Note.of_rental(one) for one in rentals.values() if one.open]
    census = count(
        provider,
        [*notes, *(one for one in noted if one.label not in rentals or rentals[one.label].open)],
        now_s=clock.now(),
    )
    known = {*images, *(one.intent.image for one in rentals.values())}
    found = []
    for instance in census.living:
        run = run_of(instance.label)
        told = None if run is None or is_ours(instance, known) else runs.image(run)
        verdict = judge(
            instance,
            images=known if told is None else {*known, told},
            rental=rentals.get(instance.label),
            state=RunState.UNSEEN if run is None else runs.state(run),
            deadline_s=None if run is None else runs.deadline_s(run, instance.label),
            now_s=clock.now(),
        )
        found.append(Found(instance=instance, verdict=verdict, run=run))
    return Look(found=tuple(found), census=census, open_here=frozenset(one.label for one in notes))


def reap(
    provider: Provider,
    journal: Journal,
    runs: Runs,
    *,
    images: Collection[str],
    clock: Clock,
    noted: Iterable[Note] = (),
    spare: Collection[Verdict] = (),
    delete: bool = True,
    limit_s: float = LIMIT_S,
) -> Reaped:
    """Destroy what is finished, overdue, unknown or back from the dead; with `delete` false, only look.
    `spare` are verdicts that end nothing this time; `noted` is as `look` takes it.

    One that will not go stops none of the others; `failures` has its message. Raises `ProviderError` when the
    provider cannot be asked at all.
    """
    seen = look(provider, journal, runs, images=images, clock=clock, noted=noted)
    destroyed: list[Found] = []
    failures = [*seen.census.unsure, *(_unseen(provider, one) for one in seen.found if one.verdict is Verdict.UNSEEN)]
    for one in seen.found:
        if not (one.doomed and delete) or one.verdict in spare:
            continue
        try:
            end_instance(provider, one.instance.id, clock=clock, limit_s=limit_s)
        except OrphanedInstanceError as error:
            failures.append(str(error))
            continue
        _note(journal, provider, one.instance.label, "destroyed", one.instance.id, clock)
        destroyed.append(one)
    if delete:
        _close(provider, journal, seen, clock)
    return Reaped(
        provider=provider.name,
        found=seen.found,
        destroyed=tuple(destroyed),
        gone=seen.census.gone,
        failures=tuple(failures),
    )


def _unseen(provider: Provider, one: Found) -> str:
    ends_s = deadline_in(one.instance.label)
    ends = "" if ends_s is None else f" (it ends itself by {time.strftime('%Y-%m-%d %H:%M', time.gmtime(ends_s))} UTC)"
    return (
        f"{provider.name} {one.instance} works for run {one.run}, which could not be looked at{ends}; run "
        "`runner reap` again once its bucket answers, or destroy it in the provider's console"
    )


def _close(provider: Provider, journal: Journal, seen: Look, clock: Clock) -> None:
    """Note the end of what this machine has rented and of which nothing is left."""
    for rental in journal.rentals(provider.name):
        if rental.open and rental.label in seen.census.gone & seen.open_here:
            event = "absent" if rental.instance is None else "destroyed"
            _note(journal, provider, rental.label, event, rental.instance, clock)


def _note(journal: Journal, provider: Provider, label: str, event: str, instance: str | None, clock: Clock) -> None:
    facts = {"event": event, "time_s": clock.now(), "label": label, "provider": provider.name, "instance": instance}
    try:
        journal.write(Entry.model_validate(facts))
    except ProviderError as error:  # what is gone is gone; a full disk must not keep the next one from being ended
        log.warning("%s", error)


def unresolved(journal: Journal, providers: Mapping[str, Provider]) -> list[Rental]:
    """What may still cost money at providers that cannot be asked, since their keys are missing."""
    return [one for one in journal.rentals() if one.open and one.intent.provider not in providers]
