"""Bounded hand-over between the threads of one job, with one way for all of them to stop."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final, Generic, TypeVar

from kernels.errors import StoppedError

T = TypeVar("T")

POLL_S: Final = 0.1
"""How often a blocked thread looks at the stop flag that it cannot be notified of."""


class Cancellation:
    """Why a job has to end early: the first error of any thread, or the caller's stop flag."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self._stop = stop
        self._failed = threading.Event()
        self._lock = threading.Lock()
        self.error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        """Record `error`, unless an earlier one is the cause."""
        with self._lock:
            if self.error is None:
                self.error = error
        self._failed.set()

    @property
    def is_set(self) -> bool:
        return self._failed.is_set() or (self._stop is not None and self._stop.is_set())

    def check(self) -> None:
        """Raises `StoppedError` once the job has to end."""
        if self.is_set:
            raise StoppedError("stopped before the end; nothing was written")


class Channel(Generic[T]):
    """A queue of at most `capacity` items. Both ends raise `StoppedError` when the job is cancelled."""

    def __init__(self, capacity: int, cancellation: Cancellation) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._cancellation = cancellation
        self._condition = threading.Condition()
        self._closed = False
        self.put_wait_s = 0.0
        """Time producers waited for room."""
        self.get_wait_s = 0.0
        """Time consumers waited for an item."""

    def put(self, item: T) -> None:
        started = time.perf_counter()
        with self._condition:
            while len(self._items) >= self._capacity:
                self._cancellation.check()
                self._condition.wait(POLL_S)
            self._cancellation.check()
            self._items.append(item)
            self._condition.notify_all()
        self.put_wait_s += time.perf_counter() - started

    def close(self) -> None:
        """No more items: consumers end after those that are left."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def get(self) -> T | None:
        """The next item; None at the end."""
        started = time.perf_counter()
        with self._condition:
            while not self._items and not self._closed:
                self._cancellation.check()
                self._condition.wait(POLL_S)
            self._cancellation.check()
            item = self._items.popleft() if self._items else None
            self._condition.notify_all()
        self.get_wait_s += time.perf_counter() - started
        return item
