"""Going on with an upload that an earlier process left unfinished."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from storage.errors import AccessError, MissingError, StorageError
from storage.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from storage.store import ObjectStore, Part

log = logging.getLogger(__name__)


class Resuming:
    """What earlier processes sent of the object `key`, and the record of what this one sends.

    `what` says what is written: the same text promises the same bytes, which is checked part by part. An upload
    that was left of something else is aborted. Leaving the block keeps what is unfinished for the next process,
    unless `drop` was called. Entering raises `JournalError` while another process writes the same object, and
    `StorageError` where the store cannot tell what it has. `drop` may be called from any thread.
    """

    def __init__(self, store: ObjectStore, key: str, *, journal: Path, what: str) -> None:
        self.upload = ""
        """The unfinished upload; empty when there is none."""
        self.mark = ""
        self._store = store
        self._key = key
        self._record = Journal(journal, {"what": what, "target": store.identify(key)})
        self._known: dict[tuple[int, str], Part] = {}
        """Number and digest of the content -> a part that the store has."""
        self._lock = threading.Lock()
        self._dropped = False

    def __enter__(self) -> Self:
        self._record.open()
        try:
            for step in self._record.stale:
                if "upload" in step:
                    with suppress(StorageError):  # what cannot be aborted now is swept later
                        self._store.abort_upload(self._key, step["upload"])
            self._take_over()
        except BaseException:  # whatever comes, the journal is released
            self._record.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._record.close()

    def begun(self, upload: str, mark: str) -> None:
        """A new upload is under way."""
        with self._lock:
            self.upload, self.mark = upload, mark
            self._record.add({"upload": upload, "mark": mark})
            dropped = self._dropped
        if dropped:  # by another thread, while the upload was begun
            with suppress(StorageError):
                self._store.abort_upload(self._key, upload)

    def known(self, number: int, digest: str) -> Part | None:
        """The part that the store has already, if its content had this digest."""
        return self._known.get((number, digest))

    def sent(self, part: Part, digest: str) -> None:
        """A part is there."""
        self._record.add({"part": part.number, "etag": part.etag, "sha256": digest})

    def completed(self) -> None:
        """The object is there: nothing is left to go on with."""
        with self._lock:
            self.upload = ""
            self._record.remove()

    def drop(self) -> None:
        """Abort what is unfinished. What cannot be aborted now keeps its record. Harmless when repeated."""
        with self._lock:
            if self._dropped:
                return
            self._dropped = True
            upload = self.upload
        try:
            if upload:
                self._store.abort_upload(self._key, upload)
            self._record.remove()
        except StorageError:  # the next process goes on with it, or it is swept
            pass
        finally:
            self._record.close()

    def _take_over(self) -> None:
        """Find the upload that the record tells of, if the store still has it."""
        steps = self._record.earlier
        begun = next((step for step in steps if "upload" in step), None)
        if begun is None:
            return
        noted = {(step["part"], step["etag"]): step["sha256"] for step in steps if "sha256" in step}
        try:
            for part in self._store.list_parts(self._key, begun["upload"]):
                digest = noted.get((part.number, part.etag))
                if digest is not None:
                    self._known[part.number, digest] = part
        except MissingError:
            self._known.clear()
            self._record.restart()
            return
        except (
            AccessError
        ) as error:  # a key that may write and not list: every part is sent again, into the same upload
            self._known.clear()
            log.warning("%s; every part is sent again", error)
        self.upload, self.mark = begun["upload"], begun["mark"]
