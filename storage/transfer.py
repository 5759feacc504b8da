"""Copying objects: to a bucket in parts, to a folder in blocks, each going on where a killed process stopped."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
import secrets
import threading
from concurrent.futures import CancelledError
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from storage.errors import MissingError, OutputExistsError, SameFileError, StorageError, WriteError
from storage.fetch import fetch, receive
from storage.folder import FolderStore
from storage.journal import Journal, machine_run
from storage.local import LocalOutput, check_distinct, part_name
from storage.parts import PART_BYTES, part_bytes_for
from storage.pieces import Meter, OnProgress, do_all
from storage.uri import LocalUri, ObjectUri

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.place import Place, Source
    from storage.store import ObjectInfo, ObjectStore, Part
    from storage.uri import Uri

BLOCK_BYTES: Final = 8 << 20
IN_FLIGHT_BYTES: Final = 96 << 20
"""Pieces in memory at a time, together; one piece may be larger."""
MOST_PIECES: Final = 16

mimetypes.add_type("video/x-matroska", ".mkv")
mimetypes.add_type("video/webm", ".webm")


def copy_object(
    source: Source,
    target: Place,
    *,
    journal: Path | None = None,
    overwrite: bool = True,
    on_progress: OnProgress | None = None,
    check: Callable[[], object] | None = None,
) -> ObjectInfo:
    """Copy one version of an object to `target`, which is replaced once all of it is there.

    With `journal`, a copy that failed or was killed leaves what it has, and the next one with the same journal goes
    on with it if source and target are still the same. Without, a failure leaves nothing. `check` is called again
    and again meanwhile; what it raises ends the copy as a failure does. Raises `StorageError`.
    """
    if isinstance(target.store, FolderStore):
        receiving = _Receiving(source, target.store, target.key, on_progress, check, overwrite=overwrite)
        return receiving.run(journal)
    return _Sending(source, target.store, target.key, on_progress, check).run(journal)


def target_of(uri: Uri, name: str) -> Uri:
    """Where a copy to `uri` goes: a folder or prefix that ends with a slash gets `name` in it."""
    if isinstance(uri, LocalUri):
        return uri.child(name) if uri.folder or uri.path.is_dir() else uri
    return uri.child(name) if isinstance(uri, ObjectUri) and uri.folder else uri


def check_target(source: Source, target: Place, *, overwrite: bool) -> None:
    """Raises `SameFileError` when both are one, `OutputExistsError` when the target is there and must stay."""
    name = target.store.describe(target.key)
    if isinstance(source.store, FolderStore) and isinstance(target.store, FolderStore):
        check_distinct(Path(source.store.describe(source.info.key)), Path(name))
    elif source.store.identify(source.info.key) == target.store.identify(target.key):
        raise SameFileError(f"{name} is both source and target; give the target another name")
    if overwrite:
        return
    try:
        target.store.head(target.key)
    except MissingError:
        return
    raise OutputExistsError(f"{name} already exists; add -y to replace it")


def content_type_of(name: str) -> str:
    """The media type that a name's ending stands for."""
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


class _Sending:
    """To a bucket: one request, or an upload in parts."""

    def __init__(
        self,
        source: Source,
        store: ObjectStore,
        key: str,
        on_progress: OnProgress | None,
        check: Callable[[], object] | None,
    ) -> None:
        self._source = source
        self._store = store
        self._key = key
        self._size = source.info.size_bytes
        self._part_bytes = part_bytes_for(self._size)
        self._content_type = source.info.content_type or content_type_of(key)
        self._meter = Meter(self._size, on_progress)
        self._check = check
        self._parts: dict[int, Part] = {}
        self._upload = ""
        self._mark = ""
        self._over = False

    def run(self, journal: Path | None) -> ObjectInfo:
        if self._size <= PART_BYTES:
            return self._put()
        if journal is None:
            self._begin(None)
            return self._send_or_abort()
        with Journal(journal, self._identity()) as record:
            self._abort_stale(record)
            done = self._resume(record) or self._send(record)
            record.remove()
            return done

    def _put(self) -> ObjectInfo:
        done: list[ObjectInfo] = []

        def transfer(number: int) -> None:
            done.append(self._store.put(self._key, self._read(number), content_type=self._content_type))
            self._meter.add(self._size)

        if self._check is None:
            transfer(1)
        else:
            do_all((1,), transfer, most=1, check=self._check)
        return done[0]

    def _send_or_abort(self) -> ObjectInfo:
        try:
            return self._send(None)
        except BaseException:  # Ctrl-C too must leave no unfinished upload
            with suppress(StorageError):  # what cannot be aborted now is swept later
                self._store.abort_upload(self._key, self._upload)
            raise

    def _send(self, record: Journal | None) -> ObjectInfo:
        def transfer(number: int) -> None:
            data = self._read(number)
            with self._store.lanes:
                part = self._store.upload_part(self._key, self._upload, number, data, wanted=self._is_wanted)
            self._parts[number] = part
            if record is not None:
                record.add({"part": number, "etag": part.etag})
            self._meter.add(len(data))

        count = -(-self._size // self._part_bytes)
        missing = [number for number in range(1, count + 1) if number not in self._parts]
        try:
            do_all(missing, transfer, most=_at_a_time(self._part_bytes), check=self._check)
        finally:
            self._over = True
        parts = [self._parts[number] for number in range(1, count + 1)]
        return self._store.complete_upload(self._key, self._upload, parts, mark=self._mark)

    def _begin(self, record: Journal | None) -> None:
        self._mark = secrets.token_hex(8)
        self._upload = self._store.create_upload(self._key, content_type=self._content_type, mark=self._mark)
        if record is not None:
            record.add({"upload": self._upload, "mark": self._mark})

    def _resume(self, record: Journal) -> ObjectInfo | None:
        """Take over what an earlier process did. The object, when it did everything."""
        begun = next((step for step in record.earlier if "upload" in step), None)
        if begun is not None:
            self._upload, self._mark = begun["upload"], begun["mark"]
            noted = {step["part"]: step["etag"] for step in record.earlier if "part" in step}
            try:
                for part in self._store.list_parts(self._key, self._upload):
                    if noted.get(part.number) == part.etag and part.size_bytes == self._length(part.number):
                        self._parts[part.number] = part
                        self._meter.add(part.size_bytes)
            except MissingError:
                with suppress(MissingError):
                    found = self._store.head(self._key)
                    if found.mark == self._mark and found.size_bytes == self._size:
                        self._meter.add(self._size)
                        return found
                record.restart()
            else:
                return None
        self._begin(record)
        return None

    def _abort_stale(self, record: Journal) -> None:
        """An upload of what the source was before is of no use."""
        for step in record.stale:
            if "upload" in step:
                with suppress(StorageError):
                    self._store.abort_upload(self._key, step["upload"])

    def _identity(self) -> dict[str, Any]:
        return {
            "source": self._source.store.identify(self._source.info.key),
            "etag": self._source.info.etag,
            "size": self._size,
            "target": self._store.identify(self._key),
            "part_bytes": self._part_bytes,
        }

    def _read(self, number: int) -> bytearray:
        start = (number - 1) * self._part_bytes
        stop = start + self._length(number)
        return fetch(self._source.store, self._source.info, start, stop, wanted=self._is_wanted)

    def _is_wanted(self) -> bool:
        """Whether a part that failed is tried again: another one's failure, or Ctrl-C, has ended it all."""
        return not self._over

    def _length(self, number: int) -> int:
        start = (number - 1) * self._part_bytes
        return max(0, min(self._part_bytes, self._size - start))


class _Receiving:
    """To a folder: blocks written where they belong in a file that gets its name at the end."""

    def __init__(
        self,
        source: Source,
        store: FolderStore,
        key: str,
        on_progress: OnProgress | None,
        check: Callable[[], object] | None,
        *,
        overwrite: bool,
    ) -> None:
        self._source = source
        self._store = store
        self._key = key
        self._path = store.root / key
        self._overwrite = overwrite
        self._size = source.info.size_bytes
        self._meter = Meter(self._size, on_progress)
        self._check = check
        self._lock = threading.Lock()
        self._over = False

    def run(self, journal: Path | None) -> ObjectInfo:
        if journal is None or self._size <= BLOCK_BYTES:
            with LocalOutput(self._path, overwrite=self._overwrite) as file:
                self._receive(file.fileno(), None)
        else:
            self._run_resumably(journal)
        return self._store.head(self._key)

    def _run_resumably(self, journal: Path) -> None:
        identity = self._identity()
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
        final = Path(self._store.identify(self._key))
        part = final.with_name(part_name(final.name, digest))
        with Journal(journal, identity | {"file": os.fspath(part)}) as record:
            if record.stale and "file" in record.stale[0]:
                Path(record.stale[0]["file"]).unlink(missing_ok=True)
            if record.earlier and not part.exists():
                record.restart()
            with LocalOutput(self._path, overwrite=self._overwrite, part=part) as file:
                self._receive(file.fileno(), record)
            record.remove()

    def _receive(self, descriptor: int, record: Journal | None) -> None:
        def take(piece: memoryview, position: int) -> None:
            with self._lock:
                if self._over:  # another block failed, and the descriptor may be that of another file by now
                    raise CancelledError
                try:
                    _write_at(descriptor, piece, position)
                except OSError as error:
                    raise WriteError.from_os(self._path, error) from error

        def transfer(number: int) -> None:
            start, stop = self._range(number)
            receive(self._source.store, self._source.info, start, stop, take, wanted=lambda: not self._over)
            if record is not None:
                record.add({"block": number})
            self._meter.add(stop - start)

        noted = {int(step["block"]) for step in record.earlier if "block" in step} if record is not None else set()
        numbers = range(-(-self._size // BLOCK_BYTES))
        for number in sorted(noted & set(numbers)):
            start, stop = self._range(number)
            self._meter.add(stop - start)
        try:
            wanted = (n for n in numbers if n not in noted)
            do_all(wanted, transfer, most=_at_a_time(BLOCK_BYTES), check=self._check)
        finally:
            with self._lock:
                self._over = True
        os.ftruncate(descriptor, self._size)

    def _range(self, number: int) -> tuple[int, int]:
        start = number * BLOCK_BYTES
        return start, min(start + BLOCK_BYTES, self._size)

    def _identity(self) -> dict[str, Any]:
        return {
            "source": self._source.store.identify(self._source.info.key),
            "etag": self._source.info.etag,
            "version": self._source.info.version,
            "size": self._size,
            "block_bytes": BLOCK_BYTES,
            "machine_run": machine_run(),
        }


def _at_a_time(piece_bytes: int) -> int:
    return max(1, min(MOST_PIECES, IN_FLIGHT_BYTES // piece_bytes))


def _write_at(descriptor: int, view: memoryview, start: int) -> None:
    while view:
        written = os.pwrite(descriptor, view, start)
        view, start = view[written:], start + written
