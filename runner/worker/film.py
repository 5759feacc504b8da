"""Reading one source again and again, a segment at a time, as if it were read once."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Final

from runner.media import VideoReader

ENDS: Final = 2
"""Blocks at each end of the file that stay: the header, and the index where it stands behind the pictures."""


class FilmReader(VideoReader):
    """Every segment opens the container anew. What it looks at then is fetched once, and a look at it does not make
    the reader forget what it has read ahead for the next segment. Readers of one source share `ends`, empty at first.
    """

    begins_ahead = True

    def __init__(self, *given: Any, ends: dict[int, bytearray], **options: Any) -> None:
        super().__init__(*given, **options)
        self._ends = ends

    def _block(self, number: int) -> bytearray:
        if number == self._last + 1 or ENDS <= number < self._count - ENDS:
            found = super()._block(number)
        else:
            found = self._look(number)
        if number < ENDS or number >= self._count - ENDS:
            self._ends[number] = found
        return found

    def _look(self, number: int) -> bytearray:
        """A block that is wanted now, while the reader stays where it is."""
        known = self._ends.get(number)
        if known is not None:
            return known
        with self._lock:
            block = self._request(number)
            if number in self._running:
                self._jump = number
        return self._result(number, block)

    def _request(self, number: int) -> Future[bytearray]:
        known = self._ends.get(number)
        if known is not None and number not in self._blocks:
            block: Future[bytearray] = Future()
            block.set_result(known)
            self._blocks[number] = block
        return super()._request(number)
