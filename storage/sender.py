"""The upload behind a writer: parts 2 and up as they come, part 1 at the end."""

from __future__ import annotations

import hashlib
import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from storage.errors import StorageError, WriteError
from storage.pieces import GRACE_S
from storage.store import MAX_PARTS
from storage.workers import Workers

if TYPE_CHECKING:
    from storage.resuming import Resuming
    from storage.store import ObjectInfo, Part, WritableStore

IN_FLIGHT_BYTES: Final = 64 << 20
"""Parts on their way at a time, together; one part may be larger."""
MOST_WORKERS: Final = 16


class Sender:
    """Begins an upload, or goes on with one. Errors in the background are raised by the next call."""

    def __init__(
        self, store: WritableStore, key: str, content_type: str | None, *, resuming: Resuming | None = None
    ) -> None:
        self._store = store
        self._key = key
        self._workers = Workers(MOST_WORKERS, "storage-writer")
        self._parts: dict[int, Part] = {}
        self.proven = True
        """Whether the store has said of every part so far that it holds these bytes."""
        self.sent_bytes = 0
        """What the store has taken so far."""
        self._next = 2
        self._in_flight_bytes = 0
        self._running = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._resuming = resuming
        self._mark = resuming.mark if resuming is not None else ""
        self._upload = resuming.upload if resuming is not None else ""
        if not self._upload:
            self._mark = secrets.token_hex(8)
            self._upload = store.create_upload(key, content_type=content_type, mark=self._mark)
            if resuming is not None:
                resuming.begun(self._upload, self._mark)

    def check(self) -> None:
        """Raises what went wrong in the background."""
        error = self._error
        if isinstance(error, StorageError):
            raise error
        if error is not None:
            raise WriteError(f"writing {self._store.describe(self._key)} failed: {type(error).__name__}") from error

    def send(self, data: bytearray) -> None:
        """Part after part; waits while too much is under way."""
        number, self._next = self._next, self._next + 1
        if number > MAX_PARTS:
            raise WriteError(f"{self._store.describe(self._key)} has more than {MAX_PARTS} parts; use larger ones")
        self._start(number, data)

    def finish(self, head: bytearray) -> ObjectInfo:
        """Send `head` as part 1 and make the object visible."""
        self._start(1, head)
        with self._changed:
            while self._in_flight_bytes and self._error is None:
                self._changed.wait()
        self.check()
        self._workers.close()
        parts = [self._parts[number] for number in sorted(self._parts)]
        done = self._store.complete_upload(self._key, self._upload, parts, mark=self._mark)
        if self._resuming is not None:
            self._resuming.completed()
        return done

    def abort(self) -> None:
        """Forget the upload, unless it is to be resumed; parts on their way are waited for if they are quick.

        A part that arrives after the end of its upload may stay, and be paid for.
        """
        self._workers.close()
        with self._changed:
            self._error = self._error or WriteError(f"writing {self._store.describe(self._key)} was given up")
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running, GRACE_S)
        if self._resuming is not None:
            return
        with suppress(StorageError):  # what cannot be aborted now is swept later
            self._store.abort_upload(self._key, self._upload)

    def _start(self, number: int, data: bytearray) -> None:
        with self._changed:
            while self._in_flight_bytes and self._in_flight_bytes + len(data) > IN_FLIGHT_BYTES:
                if self._error is not None:
                    break
                self._changed.wait()
            self._in_flight_bytes += len(data)
        self.check()
        self._workers.submit(lambda: self._transfer(number, data))

    def _transfer(self, number: int, data: bytearray) -> None:
        with self._changed:
            self._running += 1
        try:
            part = self._part(number, data)
        except BaseException as error:  # noqa: BLE001  (the writing thread raises it)
            with self._changed:
                self._running -= 1
                self._error = self._error or error
                self._changed.notify_all()
            return
        proven = is_digest(part.etag, data)
        with self._changed:
            self._parts[number] = part
            self.proven = self.proven and proven
            self.sent_bytes += len(data)
            self._running -= 1
            self._in_flight_bytes -= len(data)
            self._changed.notify_all()

    def _part(self, number: int, data: bytearray) -> Part:
        if self._resuming is None:
            return self._upload_part(number, data)
        digest = hashlib.sha256(data).hexdigest()
        known = self._resuming.known(number, digest)
        if known is not None:
            return known
        part = self._upload_part(number, data)
        self._resuming.sent(part, digest)
        return part

    def _upload_part(self, number: int, data: bytearray) -> Part:
        """Not once more after `abort`: what arrives then nobody asked for, and it may be paid for."""
        with self._store.lanes:
            self.check()
            return self._store.upload_part(self._key, self._upload, number, data, wanted=lambda: self._error is None)


def is_digest(etag: str, data: bytes | bytearray) -> bool:
    """Whether `etag` says that these bytes were stored: their MD5, or for an object of one part the MD5 of that.

    Neither where a store encrypts with keys of its own.
    """
    plain = hashlib.md5(data, usedforsecurity=False)
    return etag.lower() in {plain.hexdigest(), f"{hashlib.md5(plain.digest(), usedforsecurity=False).hexdigest()}-1"}
