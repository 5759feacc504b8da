"""Doing the pieces of a transfer, several at a time."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, wait
from typing import TYPE_CHECKING, Final, Protocol

from storage.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

GRACE_S: Final = 1.0
"""Ctrl-C is answered within 2 s."""
CHECK_S: Final = 0.5
"""Between two looks at whether a transfer is still wanted."""


class OnProgress(Protocol):
    """Called after each piece, from one thread at a time."""

    def __call__(self, done_bytes: int, total_bytes: int, /) -> object: ...


class Meter:
    """Counts bytes and tells `on_progress`."""

    def __init__(self, total_bytes: int, on_progress: OnProgress | None) -> None:
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._on_progress = on_progress
        self._lock = threading.Lock()

    def add(self, size_bytes: int) -> None:
        with self._lock:
            self._done_bytes += size_bytes
            if self._on_progress is not None:
                self._on_progress(self._done_bytes, self._total_bytes)


def do_all(
    numbers: Iterable[int], work: Callable[[int], object], *, most: int, check: Callable[[], object] | None = None
) -> None:
    """Call `work(number)` for each, at most `most` at a time; raises the first error, after which none begins.

    `check` is called every `CHECK_S` meanwhile, from this thread; what it raises counts as an error. What has begun
    is waited for only `GRACE_S` after one: it may hang on a connection for a minute.
    """
    workers = Workers(most, "storage-transfer")
    pending: set[Future[object]] = set()
    try:
        pending = {workers.submit(lambda number=number: work(number)) for number in numbers}  # type: ignore[misc]
        while pending:
            if check is not None:
                check()
            # A limit, because a wait without one cannot be interrupted everywhere.
            done, pending = wait(pending, timeout=CHECK_S, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
    finally:
        workers.close()
        wait([future for future in pending if not future.cancelled()], timeout=GRACE_S)
