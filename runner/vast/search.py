"""Searching for offers: the conditions as the API takes them, and the same ones checked on this side.

Conditions have been seen not to be applied, or applied to another number than the one in the reply. So nothing is
believed: a row is kept only if it says itself that it satisfies every condition.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.vast.models import Offer

PAGE: Final = 64
"""Offers in one reply at most, whatever is asked for."""
ON_DEMAND: Final = "on-demand"
BID: Final = "bid"
DEFAULT_DISK_GB: Final = 16.0

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": lambda value, wanted: value in wanted,
    "notin": lambda value, wanted: value not in wanted,
}
_NOT_IN_REPLIES: Final = frozenset({"external", "rented"})
"""Fields that can be asked for and are not always told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What offers must satisfy: `{"gpu_ram": {"gte": 24000}}`, in the API's own fields and units."""

    where: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    kind: str = ON_DEMAND
    """`on-demand` or `bid`."""
    disk_gb: float = DEFAULT_DISK_GB
    """Disk that will be rented: prices include it, and hosts with less are left out."""
    limit: int = PAGE
    """How many offers are wanted, cheapest first."""

    def __post_init__(self) -> None:
        if self.kind not in {ON_DEMAND, BID}:
            raise ValueError(f"kind is {self.kind!r}; allowed are {ON_DEMAND} and {BID}")
        unknown = {name for wanted in self.where.values() for name in wanted} - set(_COMPARISONS)
        if unknown:
            raise ValueError(f"unknown comparison {min(unknown)!r}; allowed are {', '.join(_COMPARISONS)}")

    def to_wire(self, *, from_usd_per_h: float | None = None) -> dict[str, Any]:
        """The body of one request: offers that can be rented, from a price on."""
        where = {name: dict(wanted) for name, wanted in self.where.items()}
        where.setdefault("rentable", {"eq": True})
        where.setdefault("external", {"eq": False})
        if from_usd_per_h is not None:
            where.setdefault("dph_total", {})["gte"] = from_usd_per_h
        return where | {
            "type": self.kind,
            "order": [["dph_total", "asc"]],
            "limit": min(self.limit, PAGE),
            "allocated_storage": self.disk_gb,
        }

    def refusal(self, row: Mapping[str, Any]) -> str | None:
        """Why `row` does not satisfy the conditions, though it was sent; None when it does."""
        if row.get("rentable") is False:
            return "rentable is false"
        for name, wanted in self.where.items():
            value = _value(row, name)
            if value is None and name in _NOT_IN_REPLIES:
                continue
            for comparison, other in wanted.items():
                if not _holds(value, comparison, other):
                    return f"{name} is {value!r}, asked for {comparison} {other!r}"
        disk_gb = row.get("disk_space")
        if isinstance(disk_gb, int | float) and disk_gb < self.disk_gb:
            return f"disk_space is {disk_gb!r}, needed are {self.disk_gb!r}"
        return None


def _holds(value: Any, comparison: str, other: Any) -> bool:
    if value is None:
        return False
    try:
        return _COMPARISONS[comparison](value, other)
    except TypeError:  # a text where a number was asked for
        return False


def _value(row: Mapping[str, Any], name: str) -> Any:
    """What `row` says about the field that conditions call `name`."""
    match name:
        case "verified":
            return row.get("verification") == "verified"
        case "datacenter":
            return row.get("hosting_type") == 1
        case "geolocation":
            return str(row.get("geolocation") or "").rpartition(",")[2].strip() or None
        case "reliability":
            return row.get("reliability2", row.get("reliability"))
        case "driver_version":
            return _driver(row)
        case "cpu_ram":
            return row.get("cpu_ram")
        case _:
            return row.get(name)


def _driver(row: Mapping[str, Any]) -> int | None:
    """`570.86.15` as conditions write it: 570086015."""
    if isinstance(row.get("driver_vers"), int):
        return int(row["driver_vers"])
    found = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+))?", str(row.get("driver_version") or ""))
    return None if found is None else int(found[1]) * 1_000_000 + int(found[2]) * 1000 + int(found[3] or 0)


def cheapest(offers: Mapping[int, Offer], limit: int) -> list[Offer]:
    """At most `limit` of them, cheapest first; by number where prices are equal."""
    return sorted(offers.values(), key=lambda offer: (offer.usd_per_h, offer.offer_id))[:limit]
