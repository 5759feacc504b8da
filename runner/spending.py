"""What a run has cost and may still cost: pure arithmetic over its rentals, never below the truth."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from pydantic import Field

from runner.spec import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR_S: Final = 3600
END_RESERVE_S: Final = 300.0
"""Kept back from the budget: how long a provider may not answer while an instance is to be destroyed."""


class Rent(Record):
    """One instance that a run has had, written into `ctl/<run>/rent/` before it is rented and again at its end."""

    label: str
    provider: str
    machine: str
    gpu_name: str = ""
    price_usd_per_h: Decimal = Field(ge=0)
    """GPU and disk."""
    traffic_usd: Decimal = Field(Decimal(0), ge=0)
    """The most that its traffic can cost."""
    asked_s: float
    """When its creation was asked for, seconds since 1970: it is billed from then on at the earliest."""
    deadline_s: float
    """When it ends itself at the latest."""
    instance: str | None = None
    ended_s: float | None = None
    """When it was proven gone, or never to have been."""
    reason: str = ""
    """Why it was ended."""
    absent: bool = False
    """Whether nothing was rented after all."""

    def cost_usd(self, now_s: float) -> Decimal:
        """What it has cost at `now_s`, at most."""
        if self.absent:
            return Decimal(0)
        until_s = self.ended_s if self.ended_s is not None else now_s
        hours = Decimal(max(0.0, until_s - self.asked_s)) / HOUR_S
        return self.price_usd_per_h * hours + self.traffic_usd


def spent_usd(rents: Iterable[Rent], now_s: float) -> Decimal:
    """What all of them have cost at `now_s`, at most."""
    return sum((rent.cost_usd(now_s) for rent in rents), Decimal(0))


def affordable_until(
    rents: Iterable[Rent],
    *,
    budget_usd: Decimal | None,
    price_usd_per_h: Decimal,
    traffic_usd: Decimal,
    now_s: float,
    reserve_s: float = END_RESERVE_S,
) -> float:
    """Until when an instance of this price may run within the budget; infinite where nothing costs or limits.

    In the past when nothing is left.
    """
    if budget_usd is None:
        return float("inf")
    left = budget_usd - spent_usd(rents, now_s) - traffic_usd
    if left < 0:
        return now_s - 1
    if price_usd_per_h <= 0:
        return float("inf")
    return now_s + float(left / price_usd_per_h) * HOUR_S - reserve_s
