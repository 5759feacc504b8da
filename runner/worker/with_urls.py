"""A workspace that holds no key: every object has presigned URLs of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from runner.errors import WorkerError
from runner.worker.boot import MAX_BYTES, fetch
from runner.worker.film import FilmReader
from runner.worker.workspace import (
    MAX_INDEX_BYTES,
    MAX_RECORD_BYTES,
    ObjectOutput,
    OutputWriter,
    SegmentWriter,
    check_source,
    in_parallel,
    replaced,
)
from storage.errors import MissingError
from storage.grants import GrantStore
from storage.http import Web, WebStore
from storage.reader import ObjectReader
from storage.retry import Retrier
from storage.writer import ObjectWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from kernels.io.source import InputLike
    from runner.records import Commit, SourceId
    from runner.worker.boot import Boot, UrlAccess


class UrlWorkspace:
    """See `runner.worker.workspace.Workspace`."""

    def __init__(self, boot: Boot, access: UrlAccess) -> None:
        self._boot = boot
        self._ends: dict[int, bytearray] = {}
        self._access = access
        self._web = Web()
        self._retrier = Retrier()
        self._store = WebStore(retrier=self._retrier, web=self._web)
        self._readable = {
            attempt.name: attempt.grant.look_url for segment in access.segments for attempt in segment.attempts
        }
        for segment in access.segments:
            if segment.committed and segment.committed_get_url:
                self._readable[segment.committed] = segment.committed_get_url

    @property
    def most_events(self) -> int | None:
        return min(len(self._access.event_urls), len(self._access.log_urls))

    def read_plan(self) -> bytes:
        return fetch(self._boot.plan_url, "the plan", max_bytes=MAX_BYTES)

    def read_index(self) -> bytes:
        return fetch(self._boot.index_url, "the frame index", max_bytes=MAX_INDEX_BYTES)

    @contextmanager
    def open_input(self, expected: SourceId) -> Iterator[InputLike]:
        try:
            info = self._store.head(self._access.input_url)
        except MissingError as error:
            raise replaced(expected) from error
        check_source(expected, info)
        with FilmReader(self._store, self._access.input_url, info=info, ends=self._ends) as file:
            yield cast("BinaryIO", file)

    def read_done(self) -> bytes | None:
        return self._read("the done marker", self._access.done_get_url)

    def read_commits(self) -> dict[int, bytes]:
        urls = [segment.commit_get_url for segment in self._access.segments]
        found = in_parallel(lambda url: self._read("a commit", url), urls)
        return {number: data for number, data in enumerate(found) if data is not None}

    def write_segment(self, number: int, attempt: int) -> SegmentWriter:
        attempts = self._access.segments[number].attempts
        if attempt >= len(attempts):
            raise WorkerError(f"segment {number} failed {len(attempts)} times, and no further attempt was permitted")
        given = attempts[attempt]
        store = GrantStore(given.grant, retrier=self._retrier, web=self._web)
        return SegmentWriter(ObjectWriter(store, given.grant.key, part_bytes=store.part_bytes), given.name)

    def head_segment(self, commit: Commit) -> int | None:
        url = self._readable.get(commit.key)
        if url is None:
            return None
        try:
            return self._store.head(url).size_bytes
        except MissingError:
            return None

    def open_segment(self, commit: Commit) -> AbstractContextManager[BinaryIO]:
        return cast("AbstractContextManager[BinaryIO]", ObjectReader(self._store, self._readable[commit.key]))

    def put_commit(self, number: int, data: bytes) -> None:
        self._put(f"commit {number}", self._access.segments[number].commit_put_url, data)

    def put_event(self, number: int, data: bytes) -> None:
        self._put_numbered("event", self._access.event_urls, number, data)

    def put_log(self, number: int, data: bytes) -> None:
        self._put_numbered("log", self._access.log_urls, number, data)

    def put_done(self, data: bytes) -> None:
        self._put("the done marker", self._access.done_put_url, data)

    def write_output(self, attempt: int) -> OutputWriter:
        if attempt >= len(self._access.outputs):
            raise WorkerError(f"the output failed {attempt} times, and no further attempt was permitted")
        grant = self._access.outputs[attempt]
        store = GrantStore(grant, retrier=self._retrier, web=self._web)
        return ObjectOutput(ObjectWriter(store, grant.key, part_bytes=store.part_bytes))

    def _put_numbered(self, what: str, urls: tuple[str, ...], number: int, data: bytes) -> None:
        if number < len(urls):  # when they are used up, what matters is still written: commits and the end
            self._put(f"{what} {number}", urls[number], data)

    def _put(self, what: str, url: str, data: bytes) -> None:
        doing = f"writing {what}"
        self._retrier.call(doing, lambda: self._web.send(doing, "PUT", url, data=data))

    def _read(self, what: str, url: str) -> bytes | None:
        doing = f"reading {what}"
        try:
            data: bytes = self._retrier.call(doing, lambda: self._web.send(doing, "GET", url).content)
        except MissingError:
            return None
        return data[:MAX_RECORD_BYTES]
