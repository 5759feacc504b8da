"""What a place that holds objects can do. Folders, buckets and web servers are used through this alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType

    from storage.lanes import Lanes
    from storage.retry import Retrier

MIN_PART_BYTES: Final = 5 << 20
"""Every part but the last: 5,000,000 bytes are enough for B2, 5 MiB for any S3."""
MAX_PART_BYTES: Final = 5_000_000_000
MAX_PARTS: Final = 10_000
MAX_PRESIGN_S: Final = 604_800
"""Seven days, for any S3."""

MARK: Final = "framehaul-upload"
"""Name of the metadata entry that says which upload made an object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """One version of one object, as the store described it."""

    key: str
    size_bytes: int
    etag: str
    """Changes whenever the bytes do; without quotes. May be empty on the web."""
    version: str | None = None
    """What the store calls this version; None where it keeps only one and names none."""
    modified: datetime | None = None
    """When it was written, in UTC."""
    content_type: str | None = None
    mark: str | None = None
    """A mark that the writer left, to know its own object again."""

    def __str__(self) -> str:
        return f"{self.key} ({self.size_bytes} bytes)"

    @property
    def name(self) -> str:
        """The last part of the key: `clip.mp4`."""
        return self.key.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without its ending: `clip`."""
        return PurePosixPath(self.name).stem


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectVersion:
    """An entry in the history of a key."""

    info: ObjectInfo
    latest: bool
    marker: bool = False
    """A deletion: the key was hidden then, and its older versions are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of an upload that the store has."""

    number: int
    """1 to 10,000; the object is the parts in this order."""
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload that was begun and neither completed nor aborted."""

    key: str
    id: str
    started: datetime | None = None


class Grant(Enum):
    """What a presigned URL allows."""

    GET = "get_object"
    PUT = "put_object"
    UPLOAD_PART = "upload_part"
    COMPLETE = "complete_multipart_upload"
    ABORT = "abort_multipart_upload"


class Body(Protocol):
    """The bytes of a range on their way. Raises `RequestError` when they break off."""

    def readinto(self, target: memoryview, /) -> int:
        """Fill the beginning of `target`; how many bytes, 0 at the end."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class ReadableStore(Protocol):
    """What reading needs. Names in messages come from `describe`."""

    lanes: Lanes
    """Around every request that carries data; shared by all that use the store."""
    retrier: Retrier

    def describe(self, key: str) -> str:
        """The object's location for people, without secrets."""

    def identify(self, key: str) -> str:
        """The object's name among all objects everywhere, without secrets: what a journal knows it by."""

    def head(self, key: str, *, version: str | None = None) -> ObjectInfo:
        """What the store knows about an object. Raises `MissingError`."""

    def open_range(self, info: ObjectInfo, start: int, stop: int) -> Body:
        """Bytes `start` to `stop - 1` (at least one) of exactly the version `info` describes. Tries once.

        Raises `ChangedError` when it is gone or is not what answers, `RequestError` otherwise.
        """


class WritableStore(Protocol):
    """What writing needs. Every method retries by itself.

    Nothing is visible under a key before `put` or `complete_upload` returns; then all of it is.
    """

    lanes: Lanes

    def describe(self, key: str) -> str:
        """As in `ReadableStore`."""

    def put(self, key: str, data: bytes | bytearray, *, content_type: str | None = None) -> ObjectInfo:
        """Store an object in one request."""

    def create_upload(self, key: str, *, content_type: str | None = None, mark: str | None = None) -> str:
        """Begin an object of many parts; the upload's id. `mark` comes back in `ObjectInfo`."""

    def upload_part(
        self, key: str, upload: str, number: int, data: bytes | bytearray, *, wanted: Callable[[], bool] = lambda: True
    ) -> Part:
        """Store part `number`; a part sent again replaces the earlier one. `wanted` is asked before each retry."""

    def complete_upload(self, key: str, upload: str, parts: Sequence[Part], *, mark: str | None = None) -> ObjectInfo:
        """Make the object of `parts`, in the order of their numbers."""

    def abort_upload(self, key: str, upload: str) -> None:
        """Forget an upload and its parts. Does nothing when there is none."""


class ObjectStore(ReadableStore, WritableStore, Protocol):
    """What listing, deleting and lending need too. Every method but `open_range` retries by itself."""

    def list_parts(self, key: str, upload: str) -> Iterator[Part]:
        """The parts that the store has, by number. Raises `MissingError` when there is no such upload."""

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        """Unfinished uploads to keys that begin with `prefix`."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose keys begin with `prefix`, in the order of their UTF-8 bytes. Content types are not told."""

    def list_versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        """All versions and deletions of such keys."""

    def delete(self, key: str, *, version: str | None = None) -> None:
        """Delete exactly `version`; without one, what is visible. Does nothing when there is none."""

    def presign(
        self, grant: Grant, key: str, *, expires_s: int, upload: str | None = None, part: int | None = None
    ) -> str:
        """A URL that allows `grant` to whoever has it until `expires_s` from now (1 s to 7 days).

        Raises `UnsupportedError` where there is no such thing.
        """
