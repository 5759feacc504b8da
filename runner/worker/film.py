"""Reading one source again and again, a segment at a time, as if it were read once."""

from __future__ import annotations

from typing import Any, Final

from runner.media import VideoReader

ENDS: Final = 2
"""Blocks at each end of the file that stay: the header, and the index where it stands behind the pictures."""


class FilmReader(VideoReader):
    """Every segment opens the container anew. What it looks at then is fetched once, and a look at it does not make
    the reader forget what it has read ahead for the next segment.
    """

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._ends: dict[int, bytearray] = {}

    def _block(self, number: int) -> bytearray:
        known = self._ends.get(number)
        if known is not None and number != self._last + 1:
            return known
        found = super()._block(number)
        if number < ENDS or number >= self._count - ENDS:
            self._ends[number] = found
        return found
