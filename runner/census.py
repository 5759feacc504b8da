"""Which instances there are: a provider's list, and what is written down as rented and the list has left out.

A list can be empty and wrong while machines cost money. So whatever a journal or a run's folder knows by its number
and nobody lists is asked for one by one; and what was asked for under a label, with an answer that was lost, may be
listed late.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from runner.errors import ProviderError
from runner.images import is_one_of
from runner.journal import run_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from runner.journal import Rental
    from runner.provider import Instance, Provider
    from runner.spending import Rent

LATE_S: Final = 900.0
"""An instance that was not in the list this long after its creation was asked for has never been."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is written down as rented, or asked for, and not as ended."""

    label: str
    instance: str | None
    """None where no answer to the request is known."""
    asked_s: float
    """Seconds since 1970."""

    @classmethod
    def of_rental(cls, rental: Rental) -> Self:
        return cls(label=rental.label, instance=rental.instance, asked_s=rental.intent.time_s)

    @classmethod
    def of_rent(cls, rent: Rent) -> Self:
        return cls(label=rent.label, instance=rent.instance, asked_s=rent.asked_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What one look at a provider has found."""

    living: tuple[Instance, ...]
    """Everything in the account, listed or not."""
    gone: frozenset[str]
    """Labels among the notes of which nothing is left, which is proven."""
    unsure: tuple[str, ...]
    """What could not be found out, one line each, with what to do next."""


def count(provider: Provider, notes: Iterable[Note], *, now_s: float) -> Census:
    """Everything in the account, and what became of `notes`. Raises `ProviderError` when it cannot be listed."""
    living = [one for one in provider.instances() if not one.is_terminated]
    listed = {one.label for one in living}
    gone, unsure = set(), []
    for note in _known_best(notes):
        if note.label in listed:
            continue
        if note.instance is None:
            left_s = note.asked_s + LATE_S - now_s
            if left_s > 0:
                unsure.append(_may_come(note.label, provider.name, left_s))
            else:
                gone.add(note.label)
            continue
        try:
            shown = provider.show(note.instance)
        except ProviderError as error:
            unsure.append(
                f"whether {provider.name} instance {note.instance} ({note.label}) still costs money could not be found "
                f"out ({error}); run `runner reap` again in 5 minutes"
            )
            continue
        if shown is None or shown.is_terminated:
            gone.add(note.label)
        else:
            living.append(shown)
    return Census(living=tuple(living), gone=frozenset(gone), unsure=tuple(unsure))


def of_run(run: str, found: Iterable[Instance], *, images: Collection[str], asked: Collection[str]) -> list[Instance]:
    """Those among `found` that are the run's: by their label and their image.

    Early in its life an instance's image can be unknown; that its label is one of `asked` is as good.
    """
    return [
        one
        for one in found
        if run_of(one.label) == run
        and not one.is_terminated
        and (is_one_of(one.image, images) if one.image else one.label in asked)
    ]


def _known_best(notes: Iterable[Note]) -> list[Note]:
    """One for each label: the one that has the instance's number, if any has."""
    best: dict[str, Note] = {}
    for note in notes:
        if note.label not in best or best[note.label].instance is None:
            best[note.label] = note
    return list(best.values())


def _may_come(label: str, provider: str, left_s: float) -> str:
    return (
        f"{label} was asked for and the answer is not known: {provider} may list it late; run `runner reap` again in "
        f"{math.ceil(left_s / 60)} minutes"
    )
