"""A workspace whose places are reached with keys, or need none."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from runner.errors import WorkerError
from runner.folder import RunFolder
from runner.worker.boot import MAX_BYTES, fetch
from runner.worker.film import FilmReader
from runner.worker.workspace import (
    MAX_INDEX_BYTES,
    MAX_RECORD_BYTES,
    ObjectOutput,
    OutputWriter,
    SegmentWriter,
    Stored,
    check_source,
    in_parallel,
    replaced,
)
from storage.errors import MissingError
from storage.local import LocalOutput, part_name
from storage.place import place_of, source_of
from storage.reader import ObjectReader
from storage.uri import LocalUri, ObjectUri, WebUri, parse
from storage.writer import ObjectWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from kernels.io.source import InputLike
    from runner.records import Commit, SourceId
    from runner.worker.boot import Boot, Key, KeyAccess
    from storage.credentials import Credentials
    from storage.uri import Uri

SMALL_HEAD_BYTES: Final = 1 << 20
"""Segments are written forward, so nothing of them has to be held back for long."""


class KeyWorkspace:
    """See `runner.worker.workspace.Workspace`."""

    most_events: int | None = None

    def __init__(self, boot: Boot, access: KeyAccess) -> None:
        root = parse(boot.root)
        if isinstance(root, WebUri):
            raise WorkerError(f"{root} is on the web; a run's folder lies in a bucket or a local folder")
        self._boot = boot
        self._ends: dict[int, bytearray] = {}
        self._folder = RunFolder(root=root, run=boot.run)
        self._input = parse(boot.input)
        self._input_key = _credentials(access.input)
        self._output = parse(boot.output)
        self._output_key = _credentials(access.output)
        whole = LocalUri(root.path, folder=True) if isinstance(root, LocalUri) else root.with_key("")
        self._store = place_of(whole, credentials=_credentials(access.work)).store

    def read_plan(self) -> bytes:
        return fetch(self._boot.plan_url, "the plan", max_bytes=MAX_BYTES)

    def read_index(self) -> bytes:
        return fetch(self._boot.index_url, "the frame index", max_bytes=MAX_INDEX_BYTES)

    @contextmanager
    def open_input(self, expected: SourceId) -> Iterator[InputLike]:
        try:
            found = source_of(self._input, version=expected.version, credentials=self._input_key)
        except MissingError as error:
            raise replaced(expected) from error
        check_source(expected, found.info)
        if isinstance(self._input, LocalUri):
            yield self._input.path
            return
        with FilmReader(found.store, found.info.key, info=found.info, ends=self._ends) as file:
            yield cast("BinaryIO", file)

    def read_done(self) -> bytes | None:
        return self._read(self._folder.DONE)

    def read_commits(self) -> dict[int, bytes]:
        start = self._key("commit/")
        names = [info.key.removeprefix(start).removesuffix(".json") for info in self._store.list(start)]
        numbers = [name for name in names if name.isdigit()]
        found = in_parallel(lambda name: self._read(f"commit/{name}.json"), numbers)
        return {int(name): data for name, data in zip(numbers, found, strict=True) if data is not None}

    def write_segment(self, number: int, attempt: int) -> SegmentWriter:
        del attempt  # every name is new
        name = self._folder.segment_name(number, f"{self._boot.worker}-{secrets.token_hex(4)}")
        return SegmentWriter(ObjectWriter(self._store, self._key(name), head_bytes=SMALL_HEAD_BYTES), name)

    def head_segment(self, commit: Commit) -> int | None:
        try:
            return self._store.head(self._key(commit.key), version=commit.version).size_bytes
        except MissingError:
            return None

    def open_segment(self, commit: Commit) -> AbstractContextManager[BinaryIO]:
        key = self._key(commit.key)
        info = self._store.head(key, version=commit.version)
        return cast("AbstractContextManager[BinaryIO]", ObjectReader(self._store, key, info=info))

    def put_commit(self, number: int, data: bytes) -> None:
        self._put(self._folder.commit_name(number), data)

    def put_event(self, number: int, data: bytes) -> None:
        self._put(self._folder.event_name(self._boot.worker, number), data)

    def put_log(self, number: int, data: bytes) -> None:
        self._put(self._folder.log_name(self._boot.worker, number), data)

    def put_done(self, data: bytes) -> None:
        self._put(self._folder.DONE, data)

    def write_output(self, attempt: int) -> OutputWriter:
        del attempt
        if isinstance(self._output, LocalUri):
            return _LocalOutput(self._output, self._boot.run)
        place = place_of(self._output, credentials=self._output_key)
        return ObjectOutput(ObjectWriter(place.store, place.key, content_type=_content_type(self._output)))

    def _key(self, name: str) -> str:
        """The key of what is called `name` in the run's folder."""
        uri = self._folder.object(name)
        if isinstance(uri, ObjectUri):
            return uri.key
        assert isinstance(uri, LocalUri)
        assert isinstance(self._folder.root, LocalUri)
        return uri.path.relative_to(self._folder.root.path).as_posix() + ("/" if name.endswith("/") else "")

    def _put(self, name: str, data: bytes) -> None:
        self._store.put(self._key(name), data, content_type="application/json")

    def _read(self, name: str) -> bytes | None:
        try:
            with ObjectReader(self._store, self._key(name)) as file:
                return file.read(MAX_RECORD_BYTES)
        except MissingError:
            return None


class _LocalOutput:
    """An output on this machine; whoever planned the job has asked whether it may be replaced.

    What it is written into has one name for the whole run, so that a worker that was killed leaves nothing for good.
    """

    def __init__(self, uri: LocalUri, run: str) -> None:
        self._uri = uri
        final = Path(os.path.realpath(uri.path))
        self._part = final.with_name(part_name(final.name, hashlib.sha256(run.encode()).hexdigest()[:8]))
        self._output = LocalOutput(uri.path, overwrite=True, part=self._part)

    def __enter__(self) -> BinaryIO:
        self._part.unlink(missing_ok=True)
        return self._output.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._output.discard()
        self._output.__exit__(kind, error, trace)

    @property
    def sent_bytes(self) -> int:
        return 0

    @property
    def stored(self) -> Stored:
        info = source_of(self._uri).info
        return Stored(size_bytes=info.size_bytes, sha256="", version=info.version, etag=info.etag)


def _credentials(key: Key | None) -> Credentials | None:
    return None if key is None else key.credentials()


def _content_type(uri: Uri) -> str | None:
    from storage.transfer import content_type_of

    return content_type_of(uri.name)
