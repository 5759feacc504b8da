"""The rentals of one run, kept in its folder: what it has cost, and how long it may go on."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from runner.spending import HOUR_S, Rent, affordable_until, spent_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.bucket import RunBucket
    from runner.clock import Clock
    from runner.journal import Entry
    from runner.provider import Offer


class Accounts:
    """Follows what the journal is told, and writes each rental into the bucket before and after it."""

    def __init__(self, bucket: RunBucket, budget_usd: Decimal | None, clock: Clock, *, reserve_s: float) -> None:
        self._bucket = bucket
        self._budget_usd = budget_usd
        self._clock = clock
        self._reserve_s = reserve_s
        self._rents: dict[str, Rent] = {one.label: one for one in read_rents(bucket)}

    def get(self, label: str) -> Rent | None:
        return self._rents.get(label)

    def spent_usd(self) -> Decimal:
        """What the run has cost so far, at most."""
        return spent_usd(self._rents.values(), self._clock.now())

    def refresh(self) -> None:
        """Take in what other machines have rented for this run since."""
        for one in read_rents(self._bucket):
            known = self._rents.get(one.label)
            if known is None or (known.ended_s is None and one.ended_s is not None):
                self._rents[one.label] = one

    def is_used_up(self) -> bool:
        """Whether what all instances have cost leaves no more than it takes to end those that still run."""
        if self._budget_usd is None:
            return False
        per_h = sum((one.price_usd_per_h for one in self._rents.values() if one.ended_s is None), Decimal(0))
        return self.spent_usd() + per_h * Decimal(self._reserve_s) / HOUR_S >= self._budget_usd

    def reprice(self, label: str, price_usd_per_h: Decimal) -> None:
        """It costs more than was offered: counted as if it always had."""
        if (rent := self._rents.get(label)) is not None and price_usd_per_h > rent.price_usd_per_h:
            self._save(rent.model_copy(update={"price_usd_per_h": price_usd_per_h}))

    def end_of(self, offer: Offer, traffic_usd: Decimal, deadline_s: float) -> float:
        """When an instance of `offer` would have to end: by the budget or at `deadline_s`."""
        until = affordable_until(
            self._rents.values(),
            budget_usd=self._budget_usd,
            price_usd_per_h=offer.price_usd_per_h,
            traffic_usd=traffic_usd,
            now_s=self._clock.now(),
            reserve_s=self._reserve_s,
        )
        return min(until, deadline_s)

    def begin(self, rent: Rent) -> None:
        """Before anything is asked of the provider."""
        self._save(rent)

    def hear(self, entry: Entry) -> None:
        """What the journal is told about a label of ours."""
        rent = self._rents.get(entry.label)
        if rent is None:
            return
        if entry.event == "created":
            self._save(rent.model_copy(update={"instance": entry.instance}))
        elif entry.event in {"absent", "destroyed"}:
            self._save(rent.model_copy(update={"ended_s": entry.time_s, "absent": entry.event == "absent"}))

    def explain(self, label: str, reason: str) -> None:
        """Why the instance is about to end."""
        if (rent := self._rents.get(label)) is not None:
            self._save(rent.model_copy(update={"reason": reason}))

    def open_labels(self) -> list[str]:
        """Labels that are not known to have ended: they are counted as if they ran."""
        return [one.label for one in self._rents.values() if one.ended_s is None]

    def close(self, label: str) -> None:
        """The provider lists no such instance: it costs nothing from now on, and has until now at most."""
        if (rent := self._rents.get(label)) is not None:
            self._save(rent.model_copy(update={"ended_s": self._clock.now()}))

    def _save(self, rent: Rent) -> None:
        self._rents[rent.label] = rent
        self._bucket.write(self._bucket.folder.rent(rent.label), rent)


def read_rents(bucket: RunBucket) -> Sequence[Rent]:
    """Every instance that the run has had, in the order of their labels."""
    names = [name.removeprefix("rent/").removesuffix(".json") for name in bucket.control_names("rent/")]
    found = [bucket.read(bucket.folder.rent(name), Rent) for name in names]
    return [one for one in found if one is not None]
