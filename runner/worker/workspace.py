"""The run's folder, the input and the output, as a worker sees them."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, TypeVar, cast

from runner.errors import MissingInputError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from types import TracebackType

    from kernels.io.source import InputLike
    from runner.records import Commit, SourceId
    from storage.store import ObjectInfo
    from storage.writer import ObjectWriter

REQUESTS: Final = 8
"""Small requests at a time."""
MAX_RECORD_BYTES: Final = 1 << 20
MAX_INDEX_BYTES: Final = 512 << 20


A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was written, as its writer knows it."""

    size_bytes: int
    sha256: str
    version: str | None
    etag: str
    proven: bool = False
    """Whether the store has answered every byte with its digest; otherwise it has to be read to know."""


class Workspace(Protocol):
    """Every method raises `StorageError`; what comes back is as it was stored, and checked by the caller."""

    def read_plan(self) -> bytes: ...

    def read_index(self) -> bytes: ...

    def open_input(self, expected: SourceId) -> AbstractContextManager[InputLike]:
        """The input. Raises `MissingInputError` when it is not the one that was planned for."""
        ...

    def read_done(self) -> bytes | None: ...

    def read_commits(self) -> Mapping[int, bytes]:
        """What is there under each segment's number; other machines may have written it."""
        ...

    def write_segment(self, number: int, attempt: int) -> SegmentWriter:
        """A file for attempt number `attempt` of this worker. Raises `WorkerError` when no more may be made."""
        ...

    def head_segment(self, commit: Commit) -> int | None:
        """Size in bytes of the object that `commit` names; None when it is not there."""
        ...

    def open_segment(self, commit: Commit) -> AbstractContextManager[BinaryIO]: ...

    def put_commit(self, number: int, data: bytes) -> None: ...

    def put_event(self, number: int, data: bytes) -> None: ...

    def put_log(self, number: int, data: bytes) -> None: ...

    def put_done(self, data: bytes) -> None: ...

    def write_output(self, attempt: int) -> OutputWriter:
        """The output's file, for the first or a later attempt. Raises `WorkerError` when no more may be made."""
        ...

    @property
    def most_events(self) -> int | None:
        """How many events and log pieces can be put; None without a limit."""
        ...


class SegmentWriter:
    """A context manager around an `ObjectWriter` that is written forward; `stored` says what became of it."""

    def __init__(self, writer: ObjectWriter, name: str) -> None:
        self.name = name
        """In the run's folder."""
        self._writer = writer
        self._digest = hashlib.sha256()
        self._size_bytes = 0

    def __enter__(self) -> BinaryIO:
        return cast("BinaryIO", self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._digest.update(view)
        self._size_bytes += len(view)
        return self._writer.write(view)

    @property
    def sent_bytes(self) -> int:
        return self._writer.sent_bytes

    @property
    def stored(self) -> Stored:
        stored = _stored(self._writer.info, self._size_bytes, self._digest.hexdigest())
        return replace(stored, proven=self._writer.proven)


class OutputWriter(Protocol):
    """A context manager that gives a seekable file, which appears as the output when the block ends well."""

    def __enter__(self) -> BinaryIO: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    @property
    def sent_bytes(self) -> int:
        """What the store has taken so far; 0 where that takes no time."""
        ...

    @property
    def stored(self) -> Stored: ...


class ObjectOutput:
    """An output in a bucket."""

    def __init__(self, writer: ObjectWriter) -> None:
        self._writer = writer

    def __enter__(self) -> BinaryIO:
        return cast("BinaryIO", self._writer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    @property
    def sent_bytes(self) -> int:
        return self._writer.sent_bytes

    @property
    def stored(self) -> Stored:
        info = self._writer.info
        return _stored(info, 0 if info is None else info.size_bytes, "")


def _stored(info: ObjectInfo | None, size_bytes: int, sha256: str) -> Stored:
    if info is None or info.size_bytes != size_bytes:
        said = "nothing" if info is None else f"{info.size_bytes} bytes"
        raise WorkerError(f"the store says that it has {said} of {size_bytes} bytes; it is tried again")
    return Stored(size_bytes=size_bytes, sha256=sha256, version=info.version, etag=info.etag)


def in_parallel(work: Callable[[A], R], items: Iterable[A]) -> list[R]:
    """`work` on every item, several at a time: small requests wait far longer than they last."""
    with ThreadPoolExecutor(REQUESTS, thread_name_prefix="requests") as pool:
        return list(pool.map(work, items))


def check_source(expected: SourceId, info: ObjectInfo) -> None:
    """Raises `MissingInputError` unless `info` is that of the bytes that were planned for."""
    if info.size_bytes != expected.size_bytes or (expected.etag and info.etag != expected.etag):
        raise replaced(expected)


def replaced(expected: SourceId) -> MissingInputError:
    """No machine can do the job any more."""
    return MissingInputError(
        f"{expected.location} was replaced or deleted after the job was planned; submit the job again"
    )
