"""An MP4 without its pictures: what is in `moov` is read, what is in `mdat` is not.

libav's own demuxer then lists every packet with the times that edit lists give it, at the price of the index alone.
Box layout: ISO/IEC 14496-12, 4.2.
"""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

MAX_BOXES: Final = 64
"""A file with more at its top is one of fragments, whose times stand between the pictures."""
_FIRST: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})


@dataclass(frozen=True, slots=True)
class _Box:
    kind: bytes
    body: int
    """Offset of what it holds."""
    end: int


class SkeletonFile(io.RawIOBase):
    """`file` as it is; once `hollow` is set, the media data in it reads as zeros and is not fetched.

    `on_progress(position, size)` is called after each read, in bytes.
    """

    def __init__(
        self,
        file: BinaryIO,
        ranges: tuple[tuple[int, int], ...],
        name: str,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__()
        self._on_progress = on_progress
        self.name = name
        self.hollow = False
        self._file = file
        self._starts = [start for start, _ in ranges]
        self._ranges = ranges
        self._size = file.seek(0, os.SEEK_END)
        self._position = 0

    @property
    def has_media(self) -> bool:
        """Whether there is anything that can be left out."""
        return bool(self._ranges)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            return -1  # as libav's own files answer
        self._position = base + offset
        return self._position

    def readinto(self, target: Buffer, /) -> int:
        view = memoryview(target)
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        """As much as lies on one side of an edge of the media data."""
        left = max(0, self._size - self._position)
        count = left if size is None or size < 0 else min(size, left)
        at = bisect_right(self._starts, self._position) - 1
        inside = at >= 0 and self._position < self._ranges[at][1]
        if inside:
            count = min(count, self._ranges[at][1] - self._position)
        elif at + 1 < len(self._ranges):
            count = min(count, self._ranges[at + 1][0] - self._position)
        if self.hollow and inside:
            data = bytes(count)
        else:
            self._file.seek(self._position)
            data = self._file.read(count)
        self._position += len(data)
        if self._on_progress is not None:
            self._on_progress(self._position, self._size)
        return data


def media_ranges(file: BinaryIO) -> tuple[tuple[int, int], ...]:
    """Where the media data of an MP4 lies, as `(first, last + 1)` offsets; nothing for files that need all of it."""
    size = file.seek(0, os.SEEK_END)
    found: list[_Box] = []
    at = 0
    while at < size:
        box = _box_at(file, at, size)
        if box is None or box.kind == b"moof" or len(found) == MAX_BOXES or (not found and box.kind not in _FIRST):
            return ()
        found.append(box)
        at = box.end
    kinds = [box.kind for box in found]
    return tuple((box.body, box.end) for box in found if box.kind == b"mdat") if kinds.count(b"moov") == 1 else ()


def _box_at(file: BinaryIO, at: int, size: int) -> _Box | None:
    """The box that begins at `at`; None where there is none."""
    file.seek(at)
    head = file.read(16)
    if len(head) < 8:
        return None
    length, kind, body = int.from_bytes(head[:4], "big"), head[4:8], at + 8
    if length == 0:  # to the end
        length = size - at
    elif length == 1:
        length, body = int.from_bytes(head[8:16], "big"), at + 16
    end = at + length
    return _Box(kind, body, min(end, size)) if end >= body else None
