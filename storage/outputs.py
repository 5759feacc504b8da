"""Outputs of a job, wherever they go: they appear whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from storage.errors import MissingError, OutputExistsError, StorageError
from storage.journal import usable_journal
from storage.resuming import Resuming
from storage.transfer import content_type_of
from storage.writer import ObjectWriter

if TYPE_CHECKING:
    from types import TracebackType

    from storage.place import Place


class Output(Protocol):
    """A context manager that gives a writable, seekable file; leaving it without an exception stores the file.

    `storage.local.LocalOutput` is one too.
    """

    def __enter__(self) -> BinaryIO: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def discard(self) -> None:
        """Drops what was written so far. Harmless when repeated, and from any thread."""


class ObjectOutput:
    """An output in a bucket. Raises `OutputExistsError` when there is such an object and `overwrite` is false.

    Buckets cannot refuse a second writer: two that write one key at a time leave one whole object of either. With
    `resume`, which says what is written, a process that was killed and a block that was left by an exception leave
    what was sent to the next one with the same text; `discard` does not, and a second writer on this machine is
    refused with `JournalError`.
    """

    def __init__(
        self, place: Place, *, overwrite: bool = False, head_bytes: int = 0, resume: str | None = None
    ) -> None:
        self._place = place
        self._overwrite = overwrite
        self._head_bytes = head_bytes
        self._resume = resume
        self._resuming: Resuming | None = None
        self._writer: ObjectWriter | None = None

    def __enter__(self) -> BinaryIO:
        store, key = self._place.store, self._place.key
        if not self._overwrite:
            self._check(store.describe(key))
        self._resuming = self._open_record()
        self._writer = ObjectWriter(
            store,
            key,
            content_type=content_type_of(key),
            head_bytes=self._head_bytes,
            resuming=self._resuming,
        )
        return cast("BinaryIO", self._writer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._writer is None:
            return
        try:
            self._writer.__exit__(kind, error, trace)
            if self._resuming is not None and self._writer.info is not None:
                self._resuming.drop()  # an upload that was begun is of no use to an object that became small
        finally:
            if self._resuming is not None:
                self._resuming.__exit__(kind, error, trace)

    def discard(self) -> None:
        if self._writer is not None:
            self._writer.discard()
        if self._resuming is not None:
            self._resuming.drop()

    def _open_record(self) -> Resuming | None:
        """One for each target, so that what was left of another job is found, and not paid for any longer."""
        if self._resume is None:
            return None
        store, key = self._place.store, self._place.key
        journal = usable_journal("output", store.identify(key))
        return None if journal is None else Resuming(store, key, journal=journal, what=self._resume).__enter__()

    def _check(self, name: str) -> None:
        try:
            self._place.store.head(self._place.key)
        except MissingError:
            return
        raise OutputExistsError(f"{name} already exists; add -y to replace it")


def check_writable(place: Place) -> None:
    """That bytes can be stored under a key: an upload is begun, given one byte, and aborted, so that nothing appears.

    Raises what the store says where it refuses.
    """
    store, key = place.store, place.key
    upload = store.create_upload(key)
    try:
        store.upload_part(key, upload, 1, b"\0")
    finally:
        with suppress(StorageError):  # what cannot be aborted now is swept later
            store.abort_upload(key, upload)
