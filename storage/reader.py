"""An object as a seekable binary file: blocks are read in ranges, kept for a while, and fetched ahead."""

from __future__ import annotations

import io
import math
import os
import threading
import time
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
HELD_S: Final = 5.0
"""A server does not wait for a reader for ever."""
SLOWER: Final = 1.5
"""A block that took so many times as long as the quickest one shared a line that is full."""


class ObjectReader(io.RawIOBase):
    """A file object over one version of one object: the one that was there when it was opened.

    `read(n)` returns n bytes, fewer only at the end; never more. Raises `ChangedError` when the object is replaced
    or deleted and that version is gone, other `StorageError` when it cannot be read. Blocks are fetched ahead once
    two neighbours were asked for, and further ahead each time the reader had to wait; more of them at a time as long
    as none takes longer for it, because on a full line the block that is waited for would come last of all. At most
    `block_bytes * (KEPT_BLOCKS + MOST_AHEAD)` bytes are held. For one thread at a time.
    """

    begins_ahead = False
    """Whether the first block already says that the next ones will be read."""

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
        self._forward = False
        self._waiting = -1
        self._running: set[int] = set()
        self._ahead = FIRST_AHEAD
        self._at_a_time = 1
        self._quickest_s = math.inf
        self._lock = threading.Lock()
        self._jump = -1
        self._jumped = threading.Condition(self._lock)
        self._workers = Workers(MOST_AHEAD + 1, "storage-reader")

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
                self._forward = False
                self._jump = -1
                self._jumped.notify_all()
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
            if number != self._last:
                self._forward = number == self._last + 1 and (self._last >= 0 or self.begins_ahead)
            self._last = number
            if number in self._running:
                self._await(number)
            self._fill()
            self._forget()
        return self._result(number, block)

    def _result(self, number: int, block: Future[bytearray]) -> bytearray:
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
            self._running.add(number)
            data = bytearray(stop - start)  # here: memory that many threads allocate is given back late
            block = self._blocks[number] = self._workers.submit(lambda: self._fetch(number, start, stop, data))
        return block

    def _fetch(self, number: int, start: int, stop: int, data: bytearray) -> bytearray:
        began_s = time.monotonic()
        try:
            return fetch(self._store, self.info, start, stop, into=data, wanted=lambda: self._is_wanted(number))
        finally:
            with self._lock:
                self._fetched(number, time.monotonic() - began_s)

    def _await(self, number: int) -> None:
        """The reader is about to wait for this block."""
        if self._forward:
            self._waiting = number
            self._ahead = min(MOST_AHEAD, self._ahead + 1)
        else:
            self._jump = number

    def _is_wanted(self, number: int) -> bool:
        """Lets the block that the reader has jumped to go first: what was to come after the last one can wait."""
        with self._jumped:
            self._jumped.wait_for(lambda: self._jump in (-1, number), HELD_S)
            return number in self._wanted

    def _fetched(self, number: int, took_s: float) -> None:
        """Whether the next ones come more at a time, and go on with them."""
        self._running.discard(number)
        if number == self._jump:
            self._jump = -1
            self._jumped.notify_all()
        if number == self._waiting:
            self._waiting = -1
            self._quickest_s = min(self._quickest_s, took_s)
            if took_s < SLOWER * self._quickest_s:
                self._at_a_time = min(MOST_AHEAD, self._at_a_time + 1)
        self._fill()

    def _fill(self) -> None:
        """Request what comes next, in order."""
        if self._forward:
            for number in range(self._last + 1, min(self._last + 1 + self._ahead, self._count)):
                if len(self._running) >= self._at_a_time:
                    return
                self._request(number)

    def _forget(self) -> None:
        """Drop blocks until few enough are left, those longest unused first, never one that is about to be read."""
        near = range(self._last, self._last + 1 + self._ahead)
        distant = [number for number in self._blocks if number not in near]
        for number in distant[: max(0, len(distant) - KEPT_BLOCKS)]:
            self._wanted.discard(number)
            if self._blocks.pop(number).cancel():
                self._running.discard(number)


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
