"""Instances of ours that nobody needs any more, found and destroyed.

Ours is what has a label that we make and an image that we start; both must match, so that nothing of anybody else
in the account is ever touched. What to do with one of ours follows from its run's folder, its journal line and the
clock alone (`judge`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from runner.ending import LIMIT_S, end_instance
from runner.errors import OrphanedInstanceError, ProviderError
from runner.journal import Entry, Journal, run_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from runner.clock import Clock
    from runner.journal import Rental
    from runner.provider import Instance, Provider

log = logging.getLogger(__name__)

LATE_S: Final = 900.0
"""An instance that was not in the list this long after its creation was asked for has never been."""
GRACE_S: Final = 60.0
"""An instance ends itself at its deadline; so long after it somebody else does."""


class Verdict(Enum):
    """What becomes of an instance. All but the first two are destroyed."""

    FOREIGN = "not ours"
    NEEDED = "its run goes on"
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
        return self.verdict not in {Verdict.FOREIGN, Verdict.NEEDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaped:
    """What a look at one provider found, and what was done."""

    provider: str
    found: tuple[Found, ...]
    destroyed: tuple[Found, ...]
    failures: tuple[str, ...]
    """Messages about what could not be proven gone."""


def is_ours(instance: Instance, images: Collection[str]) -> bool:
    """Whether both its label and its image are of our making. A tag or digest makes no other image."""
    return run_of(instance.label) is not None and repository(instance.image) in {repository(one) for one in images}


def repository(image: str) -> str:
    """`a/b` of `a/b:tag` and of `a/b@sha256:...`, with a registry before it or not."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


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
        return Verdict.FOREIGN
    if rental is not None and not rental.open:
        return Verdict.ENDED
    if state is RunState.FINISHED:
        return Verdict.FINISHED
    if state is RunState.CANCELLED:
        return Verdict.CANCELLED
    ends = [one for one in (deadline_s, rental.intent.deadline_s if rental is not None else None) if one is not None]
    if ends and now_s > min(ends) + GRACE_S:
        return Verdict.OVERDUE
    if state is RunState.UNKNOWN:  # a run's folder is written before anything is rented for it
        return Verdict.UNKNOWN
    return Verdict.NEEDED


def look(provider: Provider, journal: Journal, runs: Runs, *, images: Collection[str], clock: Clock) -> Iterator[Found]:
    """Every instance of the account with its verdict. Raises `ProviderError` when they cannot be listed."""
    rentals = {one.label: one for one in journal.rentals(provider.name)}
    known = {*images, *(one.intent.image for one in rentals.values())}
    for instance in provider.instances():
        run = run_of(instance.label)
        if instance.is_terminated:
            continue
        told = None if run is None or is_ours(instance, known) else runs.image(run)
        verdict = judge(
            instance,
            images=known if told is None else {*known, told},
            rental=rentals.get(instance.label),
            state=RunState.UNSEEN if run is None else runs.state(run),
            deadline_s=None if run is None else runs.deadline_s(run, instance.label),
            now_s=clock.now(),
        )
        yield Found(instance=instance, verdict=verdict, run=run)


def reap(
    provider: Provider,
    journal: Journal,
    runs: Runs,
    *,
    images: Collection[str],
    clock: Clock,
    spare: Collection[Verdict] = (),
    delete: bool = True,
    limit_s: float = LIMIT_S,
) -> Reaped:
    """Destroy what is finished, overdue, unknown or back from the dead; with `delete` false, only look.
    `spare` are verdicts that end nothing this time.

    One that will not go stops none of the others; `failures` has its message. Raises `ProviderError` when the
    provider cannot be asked at all.
    """
    found = tuple(look(provider, journal, runs, images=images, clock=clock))
    destroyed, failures = [], []
    for one in found:
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
        _close(provider, journal, {one.instance.label for one in found}, clock)
    return Reaped(provider=provider.name, found=found, destroyed=tuple(destroyed), failures=tuple(failures))


def _close(provider: Provider, journal: Journal, listed: Collection[str], clock: Clock) -> None:
    """Note the end of what this machine has rented and nobody lists any more."""
    for rental in journal.rentals(provider.name):
        if not rental.open or rental.label in listed:
            continue
        if rental.instance is not None:
            try:
                shown = provider.show(rental.instance)
            except ProviderError as error:
                log.info("%s cannot say what became of %s: %s", provider.name, rental.label, error)
                continue
            if shown is None or shown.is_terminated:
                _note(journal, provider, rental.label, "destroyed", rental.instance, clock)
        elif clock.now() > rental.intent.time_s + LATE_S:
            _note(journal, provider, rental.label, "absent", None, clock)


def _note(journal: Journal, provider: Provider, label: str, event: str, instance: str | None, clock: Clock) -> None:
    facts = {"event": event, "time_s": clock.now(), "label": label, "provider": provider.name, "instance": instance}
    try:
        journal.write(Entry.model_validate(facts))
    except ProviderError as error:  # what is gone is gone; a full disk must not keep the next one from being ended
        log.warning("%s", error)


def unresolved(journal: Journal, providers: Mapping[str, Provider]) -> list[Rental]:
    """What may still cost money at providers that cannot be asked, since their keys are missing."""
    return [one for one in journal.rentals() if one.open and one.intent.provider not in providers]
