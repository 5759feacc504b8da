"""How many requests run at a time: more while all goes well, half as many when the service asks for fewer."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

CALM_S: Final = 1.0
"""Requests that were under way together are refused together: they count as one refusal."""


class Lanes:
    """A semaphore that learns. `with lanes:` around each request that carries data."""

    def __init__(self, start: int = 8, most: int = 16, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self._limit = float(start)
        self._used = 0
        self._narrowed_at = float("-inf")
        self._clock = clock
        self._free = threading.Condition()

    @property
    def limit(self) -> int:
        """How many may run at a time now."""
        return int(self._limit)

    def __enter__(self) -> None:
        with self._free:
            while self._used >= int(self._limit):
                self._free.wait()
            self._used += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._free:
            self._used -= 1
            if error is None:
                self._limit = min(self.most, self._limit + 1 / self._limit)
            self._free.notify_all()

    def narrow(self) -> None:
        """The service asked for fewer requests."""
        with self._free:
            now = self._clock()
            if now - self._narrowed_at >= CALM_S:
                self._narrowed_at = now
                self._limit = max(1.0, self._limit / 2)
