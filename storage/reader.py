"""An object as a seekable binary file: blocks are read in ranges, kept for a while, and fetched ahead."""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Final

from storage.fetch import fetch
from storage.folder import unreadable
from storage.uri import LocalUri, parse
from storage.workers import Workers

if TYPE_CHECKING:
    from concurrent.futures import Future

    from typing_extensions import Buffer

    from storage.credentials import Credentials
    from storage.retry import Retrier
    from storage.store import ObjectInfo, ReadableStore
    from storage.uri import Uri

BLOCK_BYTES: Final = 8 << 20
"""152 MB of video in 20 requests, and a jump to the index at the end of a file costs one."""
KEPT_BLOCKS: Final = 3
"""Blocks behind the reader that stay: a demuxer goes back and forth between tracks."""
FIRST_AHEAD: Final = 3
MOST_AHEAD: Final = 6


class ObjectReader(io.RawIOBase):
    """A file object over one version of one object: the one that was there when it was opened.

    `read(n)` returns n bytes, fewer only at the end; never more. Raises `ChangedError` when the object is replaced
    or deleted and that version is gone, other `StorageError` when it cannot be read. Blocks are fetched ahead once
    two neighbours were asked for, and further ahead each time the reader had to wait. At most
    `block_bytes * (KEPT_BLOCKS + MOST_AHEAD)` bytes are held. For one thread at a time.
    """

    def __init__(
        self, store: ReadableStore, key: str, *, info: ObjectInfo | None = None, block_bytes: int = BLOCK_BYTES
    ) -> None:
        super().__init__()
        self.info = store.head(key) if info is None else info
        self.name = store.describe(key)
        self._store = store
        self._block_bytes = block_bytes
        self._position = 0
        self._blocks: OrderedDict[int, Future[bytearray]] = OrderedDict()
        self._wanted: set[int] = set()
        self._last = -1
        self._ahead = FIRST_AHEAD
        self._lock = threading.Lock()
        self._workers = Workers(MOST_AHEAD, "storage-reader")

    @property
    def size_bytes(self) -> int:
        return self.info.size_bytes

    @property
    def identity(self) -> str:
        """The object's name among all objects everywhere, without secrets."""
        return self._store.identify(self.info.key)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset} in {self.name}")
        self._position = base + offset
        return self._position

    def readinto(self, target: Buffer, /) -> int:
        view = memoryview(target).cast("B")
        done = 0
        while done < len(view):
            data = self._at(self._position, len(view) - done)
            if not data:
                break
            view[done : done + len(data)] = data
            done += len(data)
            self._position += len(data)
        return done

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self.size_bytes - self._position)
        wanted = left if size < 0 else min(size, left)
        first = self._at(self._position, wanted)
        if len(first) == wanted:  # nearly always: one block has it all
            self._position += wanted
            return bytes(first)
        data = bytearray(wanted)
        self.readinto(data)
        return bytes(data)

    def readall(self) -> bytes:
        return self.read(-1)

    def close(self) -> None:
        if not self.closed:
            with self._lock:
                self._blocks.clear()
                self._wanted.clear()
            self._workers.close()
        super().close()

    def _at(self, position: int, size: int) -> memoryview:
        """Up to `size` bytes from `position` on, out of one block; empty at the end."""
        if self.closed:
            raise ValueError(f"{self.name} is closed")
        if position >= self.size_bytes or size <= 0:
            return memoryview(b"")
        number, offset = divmod(position, self._block_bytes)
        return memoryview(self._block(number))[offset : offset + size]

    def _block(self, number: int) -> bytearray:
        with self._lock:
            block = self._request(number)
            self._blocks.move_to_end(number)
            if number == self._last + 1 and self._last >= 0:
                if not block.done():
                    self._ahead = min(MOST_AHEAD, self._ahead + 1)
                for following in range(number + 1, min(number + 1 + self._ahead, self._count)):
                    self._request(following)
            self._last = number
            self._forget()
        try:
            return block.result()
        except CancelledError:
            raise ValueError(f"{self.name} is closed") from None
        except BaseException:  # whoever waits for this block must not wait for ever
            with self._lock:  # whoever asks again starts a new request
                if self._blocks.get(number) is block:
                    del self._blocks[number]
            raise

    @property
    def _count(self) -> int:
        return -(-self.size_bytes // self._block_bytes)

    def _request(self, number: int) -> Future[bytearray]:
        block = self._blocks.get(number)
        if block is None:
            start = number * self._block_bytes
            stop = min(start + self._block_bytes, self.size_bytes)
            self._wanted.add(number)
            data = bytearray(stop - start)  # here: memory that many threads allocate is given back late
            block = self._workers.submit(
                lambda: fetch(self._store, self.info, start, stop, into=data, wanted=lambda: number in self._wanted)
            )
            self._blocks[number] = block
        return block

    def _forget(self) -> None:
        """Drop blocks until few enough are left, those longest unused first, never one that is about to be read."""
        near = range(self._last, self._last + 1 + self._ahead)
        distant = [number for number in self._blocks if number not in near]
        for number in distant[: max(0, len(distant) - KEPT_BLOCKS)]:
            self._wanted.discard(number)
            self._blocks.pop(number).cancel()


def open_source(
    location: str | Uri, *, credentials: Credentials | None = None, retrier: Retrier | None = None
) -> io.RawIOBase | io.FileIO:
    """The file object for any location: the system's own for a path, an `ObjectReader` otherwise."""
    from storage.place import source_of

    uri = parse(location)
    if isinstance(uri, LocalUri):
        try:
            return io.FileIO(uri.path, "r")
        except OSError as error:
            raise unreadable(f"reading {uri}", error) from error
    found = source_of(uri, credentials=credentials, retrier=retrier)
    return ObjectReader(found.store, found.info.key, info=found.info)
