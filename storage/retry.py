"""Trying again: which failures are worth it, how long to wait, and when to give up."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from storage.errors import Failure, GaveUpError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What to do about one kind of failure."""

    tries: int
    """How often in all, without progress between them."""
    wait_s: float = 1.0
    """Before the second try; doubled before each one after it."""
    throttled: bool = False
    """Whether the service asks for fewer requests at a time."""


BUSY: Final = Rule(tries=14)
"""Steering of load, a vault that restarts: minutes, at times half an hour."""
SLOW_DOWN: Final = Rule(tries=14, throttled=True)
BROKEN: Final = Rule(tries=10, wait_s=0.25)
"""A connection that went away is usually there again at once."""
DAMAGED: Final = Rule(tries=3, wait_s=0.25)
"""What arrived was not what was sent; three times in a row is no accident."""

_BY_CODE: Final = {
    "SlowDown": SLOW_DOWN,
    "TooManyRequests": SLOW_DOWN,
    "too_many_requests": SLOW_DOWN,
    "ServiceUnavailable": BUSY,
    "InternalError": BUSY,
    "RequestTimeout": BROKEN,
    "BadDigest": DAMAGED,
    "IncompleteBody": DAMAGED,
    "XAmzContentSHA256Mismatch": DAMAGED,
}
_BY_STATUS: Final = {408: BROKEN, 429: SLOW_DOWN, 500: BUSY, 502: BUSY, 503: BUSY, 504: BUSY}
NEVER: Final = frozenset({401, 403, 404, 405, 409, 410, 412, 416, 501})
"""Whatever else the answer says: the same request gets the same answer."""
TOO_SMALL: Final = "body was too small"
"""Part of the text of an `InvalidRequest` that means an upload was cut on its way."""


def rule_of(failure: Failure) -> Rule | None:
    """The rule for `failure`; None when trying again cannot help."""
    if failure.status is None:
        return BROKEN
    if failure.status in NEVER or failure.code == "NotImplemented":
        return None
    if failure.code == "InvalidRequest" and TOO_SMALL in failure.message:
        return DAMAGED
    return _BY_CODE.get(failure.code) or _BY_STATUS.get(failure.status)


class Retrier:
    """Calls things until they succeed, a rule says no, or the time is up.

    `budget_s` bounds the time since the last progress. `clock`, `sleep` and `chance` are the machine's own unless
    others are given; `sleep` may raise to end the waiting.
    """

    def __init__(
        self,
        *,
        budget_s: float = 1800.0,
        longest_wait_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.budget_s = budget_s
        self.longest_wait_s = longest_wait_s
        self._clock = clock
        self._sleep = sleep
        self._chance = chance

    def call(
        self,
        what: str,
        action: Callable[[], T],
        *,
        progress: Callable[[], int] = lambda: 0,
        on_throttle: Callable[[], object] = lambda: None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> T:
        """What `action` returns at last. `what` says what it does ("reading b2://bucket/key").

        `progress` counts what is done and stays done: after a step forward, counting of tries and time starts
        again. `on_throttle` is called when the service asks for fewer requests; `wanted` is asked before each further
        try. Raises the `RequestError` itself where another try cannot help or nobody wants it any more, and
        `GaveUpError` after the last one.
        """
        tries, done, since = 0, progress(), self._clock()
        while True:
            try:
                return action()
            except RequestError as error:
                rule = rule_of(error.failure)
                if rule is None:
                    raise
                if progress() > done:
                    tries, done, since = 0, progress(), self._clock()
                tries += 1
                if rule.throttled:
                    on_throttle()
                wait_s = self._wait_s(rule, tries, error.failure)
                elapsed_s = self._clock() - since
                if tries >= rule.tries or elapsed_s + wait_s > self.budget_s:
                    raise GaveUpError(what, tries=tries, elapsed_s=elapsed_s, last=error) from error
                log.info("%s: %s; try %d follows in %.1f s", what, error.failure, tries + 1, wait_s)
                self._sleep(wait_s)
                if not wanted():
                    raise

    def within(self, budget_s: float) -> Retrier:
        """The same, with less patience: for what is only tidying up."""
        return Retrier(
            budget_s=min(budget_s, self.budget_s),
            longest_wait_s=self.longest_wait_s,
            clock=self._clock,
            sleep=self._sleep,
            chance=self._chance,
        )

    def _wait_s(self, rule: Rule, tries: int, failure: Failure) -> float:
        """Half to all of the doubled wait, or many would return at once; never less than the service asks."""
        longest_s = min(self.longest_wait_s, rule.wait_s * 2 ** (tries - 1))
        wait_s: float = longest_s * (0.5 + 0.5 * self._chance())
        return max(wait_s, failure.retry_after_s or 0.0)


TIDYING_S: Final = 20.0
"""How long removing what failed may take: the failure itself is what somebody waits to hear."""


def retry_after_s(value: str | None) -> float | None:
    """Seconds in a `Retry-After` header; None when it is absent, a date or nonsense."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds <= 86400 else None
