"""Iterating over the frames of a file from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from kernels.frame import Frame
from kernels.io.software import SoftwareDecoder
from kernels.io.source import Source
from kernels.io.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from kernels.frame import VideoFormat
    from kernels.io.source import InputLike


class VideoReader:
    """The frames of an input in display order, as read-only planes; a context manager.

    >>> with kernels.open("clip.mkv") as video:           # doctest: +SKIP
    ...     for frame in video:
    ...         luma = frame.planes[0]

    Frames stay valid for as long as they are held. It can be iterated once. Raises `InputError`.
    """

    def __init__(
        self,
        given: InputLike,
        *,
        start: float | Fraction | None = None,
        duration: float | Fraction | None = None,
        threads: int | None = None,
        strict: bool = False,
    ) -> None:
        self._source = Source(given)
        self._decoder = SoftwareDecoder(self._source, span=Span.of(start, duration), threads=threads, strict=strict)
        self._events = iter(self._decoder)
        self._frames = (event for event in self._events if isinstance(event, Frame))
        self._first: Frame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_events"):  # a reader that was left in the middle ends as a closed one does
            self.close()

    def close(self) -> None:
        self._events.close()
        self._source.close()

    @property
    def format(self) -> VideoFormat:
        """The format that every frame has; decodes the first one to know it."""
        if self._first is None:
            self._first = next(self._frames)
        return self._first.format

    @property
    def damaged_packets(self) -> int:
        """Packets so far that could not be decoded whole."""
        return self._decoder.damaged_packets

    def __iter__(self) -> Iterator[Frame]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._frames


def open_video(
    given: InputLike,
    *,
    start: float | Fraction | None = None,
    duration: float | Fraction | None = None,
    threads: int | None = None,
    strict: bool = False,
) -> VideoReader:
    """Open a path or a binary file object to iterate over its frames; `start` and `duration` are seconds."""
    return VideoReader(given, start=start, duration=duration, threads=threads, strict=strict)
