"""How often each call may be made: the API counts the time between two calls of one kind by one key."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

MARGIN: Final = 1.05
"""Two requests may reach the server closer together than they were sent."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A kind of call."""

    name: str
    interval_s: float
    """Least time from one to the next."""
    per_minute: int | None = None
    """Calls in any minute at most, where that is counted too."""


class Endpoint(Enum):
    """Every call that is made, with what the API documents or, for searching, is known to allow."""

    SEARCH = Limit("search", 1.0, per_minute=10)
    CREATE = Limit("create", 4.5)
    LIST = Limit("list", 1.0)
    SHOW = Limit("show", 2.0)
    DESTROY = Limit("destroy", 3.0)
    CHANGE = Limit("change", 1.0)
    BID = Limit("bid", 5.5)
    LOGS = Limit("logs", 1.0)
    USER = Limit("user", 1.0)
    CHARGES = Limit("charges", 1.0)


class Pace:
    """Holds each call back until it may be made. For any number of threads."""

    def __init__(self, *, clock: Callable[[], float], sleep: Callable[[float], object]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at: dict[Endpoint, float] = {}
        self._recent: dict[Endpoint, deque[float]] = {
            one: deque(maxlen=one.value.per_minute) for one in Endpoint if one.value.per_minute
        }

    def wait(self, endpoint: Endpoint) -> None:
        """Return when a call may be made; the next one has to wait its interval from then on."""
        with self._lock:
            now = self._clock()
            at = max(now, self._free_at.get(endpoint, now))
            recent = self._recent.get(endpoint)
            if recent is not None:
                if len(recent) == recent.maxlen:
                    at = max(at, recent[0] + 60 * MARGIN)
                recent.append(at)
            self._free_at[endpoint] = at + endpoint.value.interval_s * MARGIN
        if at > now:
            self._sleep(at - now)

    def hold(self, endpoint: Endpoint, wait_s: float) -> None:
        """No call before `wait_s` from now: the service said so."""
        with self._lock:
            self._free_at[endpoint] = max(self._free_at.get(endpoint, 0.0), self._clock() + wait_s)
