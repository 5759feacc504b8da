"""The file object under the muxer: keeps the head of an MP4 open until the end, whatever the sink is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO, Final

from kernels.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

BOX_HEADER_BYTES: Final = 8
"""Size and type of an MP4 box (ISO/IEC 14496-12, 4.2)."""


def free_box_header(size: int) -> bytes:
    """The header of a `free` box of `size` bytes, which readers skip."""
    return size.to_bytes(4, "big") + b"free"


class HeadSink:
    """Passes appended bytes on at once and holds back every write into what was already passed.

    A hole left by a forward seek becomes a `free` box, so that the file is well formed at any time. `settle`
    writes the held changes; `settle_at_end` is for a `moov` that outgrew its hole: it is appended instead.
    """

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._base = target.tell()
        self._position = 0
        self._end = 0
        self._hole: tuple[int, int] | None = None
        self._held: list[tuple[int, bytes]] = []
        self._is_change = False
        self.closed = False
        self.edit: Callable[[bytes], bytes] | None = None
        """Applied to the first bytes and to all held changes; gives back as many bytes as it gets."""

    @property
    def bytes_written(self) -> int:
        return self._end

    def write(self, data: Buffer, /) -> int:
        view = bytes(data)
        if self.closed:
            return len(view)  # a cancelled job: what the muxer still flushes is of no use
        self._is_change = self._is_change or self._position < self._end
        if self.edit is not None and (self._is_change or not self._position):
            view = self.edit(view)
        if self._is_change:
            self._held.append((self._position, view))  # all of it, past the end too: an index may outgrow the file
        else:
            if self._position > self._end:
                self._fill_hole()
            self._append(view)
        self._position += len(view)
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        if start + offset != self._position:
            self._is_change = False
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def abandon(self) -> None:
        """Ignore all that comes."""
        self.closed = True

    def settle(self) -> None:
        """Write the held changes into the target, in the order they came."""
        for position, data in self._held:
            self._write_at(position, data)
            self._end = max(self._end, position + len(data))
        self._held.clear()
        self._target.seek(self._base + self._end)

    def settle_at_end(self) -> None:
        """Append the `moov` that was meant for the hole and does not fit; write the other held changes.

        Chunk offsets in it stay true: the media data never moves. Raises `OutputError` when there is none.
        """
        if self._hole is None:
            raise OutputError("the muxer failed before it wrote the index; nothing can be saved")
        first, _ = self._hole
        moov = bytearray()
        others = []
        for position, data in self._held:
            # libav finishes the media box first, then writes the index from the start of the hole, sizes last.
            if position == first or (moov and first < position <= first + len(moov)):
                moov[position - first : position - first + len(data)] = data
            else:
                others.append((position, data))
        size = int.from_bytes(moov[:4], "big")
        if moov[4:8] != b"moov" or not BOX_HEADER_BYTES <= size <= len(moov):
            raise OutputError("the muxer failed before it wrote the whole index; nothing can be saved")
        self._held = others
        self._append(bytes(moov[:size]))
        self.settle()

    def _fill_hole(self) -> None:
        size = self._position - self._end
        self._hole = (self._end, self._position)
        header = free_box_header(size) if size >= BOX_HEADER_BYTES else b""
        left = size - len(header)
        self._append(header)
        while left:
            chunk = min(left, 1 << 20)
            self._append(bytes(chunk))
            left -= chunk

    def _append(self, data: bytes) -> None:
        self._write_all(data)
        self._end += len(data)

    def _write_at(self, position: int, data: bytes) -> None:
        self._target.seek(self._base + position)
        self._write_all(data)

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = self._target.write(view)
            view = view[len(view) if written is None else written :]
