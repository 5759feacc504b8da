"""Segments that stay in memory from being encoded to being joined, so that they need not come back from the store."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from runner.memory import usable_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE: Final = 8
"""One part in so many of the memory there is."""
MOST_BYTES: Final = 2 << 30


class Kept:
    """Copies of segments, together never more than `limit_bytes`: what grows past them is forgotten, and read from
    the store. For any thread; one segment's copy is read by one at a time.
    """

    def __init__(self, limit_bytes: int | None = None) -> None:
        self._limit_bytes = min(MOST_BYTES, (usable_bytes() or 0) // SHARE) if limit_bytes is None else limit_bytes
        self._used_bytes = 0
        self._copies: dict[int, io.BytesIO] = {}
        self._guard = threading.Lock()

    def writing(self, number: int, sink: BinaryIO) -> BinaryIO:
        """A file that writes into `sink`, and keeps what it writes as segment `number` as long as there is room."""
        self.drop(number)
        with self._guard:
            copy = self._copies[number] = io.BytesIO()
        return cast("BinaryIO", _Doubled(sink, lambda data: self._add(number, copy, data)))

    def open(self, number: int) -> BinaryIO | None:
        """The copy of segment `number` at its beginning; None when it is not kept."""
        with self._guard:
            copy = self._copies.get(number)
        if copy is not None:
            copy.seek(0)
        return copy

    def drop(self, number: int) -> None:
        """Harmless when there is no such copy."""
        with self._guard:
            copy = self._copies.pop(number, None)
            if copy is not None:
                self._used_bytes -= copy.getbuffer().nbytes

    def _add(self, number: int, copy: io.BytesIO, data: memoryview) -> None:
        with self._guard:
            if self._copies.get(number) is not copy:
                return
            fits = self._used_bytes + len(data) <= self._limit_bytes
            if fits:
                self._used_bytes += copy.write(data)
        if not fits:
            self.drop(number)


class _Doubled:
    """What is written goes into `sink`, then to `copy`."""

    def __init__(self, sink: BinaryIO, copy: Callable[[memoryview], None]) -> None:
        self._sink = sink
        self._copy = copy

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        taken = self._sink.write(view)
        self._copy(view[:taken])
        return taken
