"""Clocks that a test can share with what it tests: `time` or `now` for now, `sleep` for waiting."""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

EPOCH_S: Final = 1_800_000_000.0
"""Where clocks of tests begin, in seconds since 1970."""


class Clock(Protocol):
    def time(self) -> float:
        """Seconds since 1970."""
        ...

    def now(self) -> float:
        """The same: what the runner's own clocks call it."""
        ...

    def sleep(self, seconds: float) -> None: ...


class RealClock:
    """The machine's own."""

    def time(self) -> float:
        return time.time()

    now = time

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class VirtualClock:
    """Time passes when somebody sleeps, and then at once. What was slept is kept in `slept`."""

    def __init__(self, now_s: float = EPOCH_S) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def time(self) -> float:
        with self._lock:
            return self._now_s

    now = time

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self._now_s += max(0.0, seconds)

    advance = sleep


class ScaledClock:
    """Time that passes `speed` times as fast, for tests with real processes and long waits."""

    def __init__(self, speed: float, *, epoch_s: float = EPOCH_S) -> None:
        self.speed = speed
        self.epoch_s = epoch_s
        self.since_s = time.monotonic()

    def time(self) -> float:
        return self.epoch_s + (time.monotonic() - self.since_s) * self.speed

    now = time

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds) / self.speed)
