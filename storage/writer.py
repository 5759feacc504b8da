"""An object as a writable binary file: parts are sent while later ones are written, the first one last."""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from storage.errors import WriteError
from storage.parts import MAX_OBJECT_BYTES, next_part_bytes
from storage.sender import Sender, is_digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Buffer

    from storage.resuming import Resuming
    from storage.store import ObjectInfo, WritableStore

HEAD_BYTES: Final = 8 << 20
"""Held back at least: headers are changed when all else is written."""
ZEROS: Final = bytes(4096)
AFTER_ZEROS_BYTES: Final = 64 << 10
"""Held back behind a reserve: the header of what follows it is changed too."""
_COPY_BYTES: Final = 1 << 20


class ObjectWriter(io.RawIOBase):
    """A file object that becomes the object `key` when it is closed, whole or not at all.

    Writing goes forward. Going back is possible within the head: the first `head_bytes`, and beyond them as far as
    a reserve of zeros reaches, which a muxer leaves for its index. A gap that a seek leaves is filled with zeros.
    Leaving a `with` block by an exception, or `discard`, drops everything; an older object is untouched. A writer
    that is only forgotten is discarded too. Raises `StorageError` for what cannot be stored, in `write` or `close`.

    With `resuming`, which the caller enters and leaves, a failure or `discard` leaves the parts in the store, and
    the next writer of the same content sends only those that are missing or differ. About `head_bytes`,
    `sender.IN_FLIGHT_BYTES` and one part are held in memory. `part_bytes` gives the size of the part that begins at
    a position. For one thread at a time; `discard` from any.
    """

    def __init__(
        self,
        store: WritableStore,
        key: str,
        *,
        content_type: str | None = None,
        head_bytes: int = HEAD_BYTES,
        part_bytes: Callable[[int], int] = next_part_bytes,
        resuming: Resuming | None = None,
    ) -> None:
        super().__init__()
        self.name = store.describe(key)
        self.info: ObjectInfo | None = None
        """The finished object; None before `close`."""
        self.proven = False
        """After `close`: whether the store has answered every byte with its MD5, so that none needs to be read again.
        Stores that encrypt with keys of their own answer with something else."""
        self._store = store
        self._key = key
        self._content_type = content_type
        self._resuming = resuming
        self._part_bytes = part_bytes
        self._position = 0
        self._end = 0
        self._head = bytearray()
        self._head_bytes = max(head_bytes, part_bytes(0))
        self._head_full = False
        self._part = bytearray()
        self._filled = 0
        """How much of `_part`, which has its full length from the start, has been written."""
        self._sender: Sender | None = None
        self._lock = threading.Lock()
        self._discarded = False

    @property
    def sent_bytes(self) -> int:
        """How much the store has taken so far: it grows while `close` sends the rest."""
        return 0 if self._sender is None else self._sender.sent_bytes

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset} in {self.name}")
        self._position = base + offset
        return self._position

    def write(self, data: Buffer, /) -> int:
        self._check_open()
        view = memoryview(data).cast("B")
        while self._position > self._end:
            gap = min(self._position - self._end, _COPY_BYTES)
            self._append(memoryview(bytes(gap)))
        inside = min(len(view), self._end - self._position)
        if inside:
            self._change(view[:inside])
        if inside < len(view):
            self._append(view[inside:])
        self._position += len(view)
        return len(view)

    def close(self) -> None:
        """Store everything and make the object visible. Harmless when repeated."""
        if self.closed or self._discarded:
            super().close()
            return
        try:
            self._finish()
        except BaseException:  # Ctrl-C too must leave no unfinished upload
            self.discard()
            raise
        super().close()

    def discard(self) -> None:
        """Drop what was written so far, in the store too. Harmless when repeated and after `close`."""
        with self._lock:
            if self.closed or self._discarded:
                return
            self._discarded = True
        if self._sender is not None:
            self._sender.abort()
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # Not super's: it would close, and so complete, what somebody forgot half-way.
        if hasattr(self, "_discarded"):
            with suppress(Exception):
                self.discard()

    def _check_open(self) -> None:
        if self.closed or self._discarded:
            raise ValueError(f"{self.name} is closed")
        if self._sender is not None:
            self._sender.check()

    def _change(self, view: memoryview) -> None:
        """Bytes that were written before are written again."""
        if self._position + len(view) > len(self._head):
            raise WriteError(
                f"{self.name}: bytes {self._position} to {self._position + len(view) - 1} were already sent; only the"
                f" first {len(self._head)} can be changed: keep more of the head back"
            )
        self._head[self._position : self._position + len(view)] = view

    def _append(self, view: memoryview) -> None:
        if self._end + len(view) > MAX_OBJECT_BYTES:
            raise WriteError(f"{self.name} grows past 10 TB, the most an object may have; write several")
        while view:
            taken = self._append_to_head(view) if not self._head_full else self._append_to_part(view)
            self._end += taken
            view = view[taken:]

    def _append_to_head(self, view: memoryview) -> int:
        taken = min(len(view), self._head_bytes - len(self._head))
        self._head += view[:taken]
        if len(self._head) >= self._head_bytes:
            zeros = self._head.rfind(ZEROS, max(0, len(self._head) - AFTER_ZEROS_BYTES - len(ZEROS)))
            if zeros >= 0:  # a reserve reaches so far: more than its end must stay
                self._head_bytes = len(self._head) + AFTER_ZEROS_BYTES
            else:
                self._head_full = True
        return taken

    def _append_to_part(self, view: memoryview) -> int:
        if not self._filled:
            self._part = bytearray(self._part_bytes(self._end))
        taken = min(len(view), len(self._part) - self._filled)
        self._part[self._filled : self._filled + taken] = view[:taken]
        self._filled += taken
        if self._filled == len(self._part):
            self._send_part()
        return taken

    def _send_part(self) -> None:
        if self._sender is None:
            sender = Sender(self._store, self._key, self._content_type, resuming=self._resuming)
            with self._lock:
                self._sender = sender
            if self._discarded:  # by another thread, while the upload was begun
                sender.abort()
                raise ValueError(f"{self.name} is closed")
        data, self._part = self._part, bytearray()
        del data[self._filled :]
        self._filled = 0
        self._sender.send(data)

    def _finish(self) -> None:
        if self._sender is None and not self._filled:
            self.info = self._store.put(self._key, self._head, content_type=self._content_type)
            self.proven = is_digest(self.info.etag, self._head)
            return
        if self._filled:
            self._send_part()
        assert self._sender is not None
        self.info = self._sender.finish(self._head)
        self.proven = self._sender.proven
