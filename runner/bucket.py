"""The small objects of one run, read and written as records. What comes from a machine is read with suspicion."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import ValidationError

from runner.errors import RunnerError
from runner.folder import RunFolder
from runner.spec import Record
from storage.errors import ChangedError, MissingError
from storage.outputs import check_writable
from storage.place import Place, place_of
from storage.reader import ObjectReader
from storage.uri import LocalUri, ObjectUri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.credentials import Credentials
    from storage.retry import Retrier
    from storage.store import ObjectInfo, ObjectStore
    from storage.uri import Uri

log = logging.getLogger(__name__)

MAX_RECORD_BYTES: Final = 16 << 20
"""No record is larger: a plan with an hour of short segments is some 100 kB."""
RECORD_TYPE: Final = "application/json"

R = TypeVar("R", bound=Record)


class Bucket:
    """A bucket, a folder of one, or a local folder that stands for a bucket, with runs in it."""

    def __init__(
        self, root: LocalUri | ObjectUri, *, credentials: Credentials | None = None, retrier: Retrier | None = None
    ) -> None:
        """`retrier` says how long a store that does not answer is asked again; usually it has patience for a job."""
        self.root = root
        whole = LocalUri(root.path, folder=True) if isinstance(root, LocalUri) else root.with_key("")
        self.store: ObjectStore = place_of(whole, credentials=credentials, retrier=retrier).store

    def __str__(self) -> str:
        return str(self.root)

    def run(self, name: str) -> RunBucket:
        return RunBucket(self, RunFolder(root=self.root, run=name))

    def runs(self) -> list[str]:
        """Names of all runs that have a plan here, oldest first."""
        start = self.control
        keys = (info.key.removeprefix(start) for info in self.store.list(start))
        return sorted({key.partition("/")[0] for key in keys if key.partition("/")[2] == "plan.json"})

    @property
    def control(self) -> str:
        """What the keys of everything that only the trusted side writes begin with."""
        return self.key(RunFolder(root=self.root, run="x").control)[: -len("x/")]

    def key(self, uri: Uri) -> str:
        """The key in the store of a location below the root."""
        if isinstance(uri, ObjectUri):
            return uri.key
        assert isinstance(uri, LocalUri)
        assert isinstance(self.root, LocalUri)
        return uri.path.relative_to(self.root.path).as_posix() + ("/" if uri.folder else "")


class RunBucket:
    """One run in it."""

    def __init__(self, bucket: Bucket, folder: RunFolder) -> None:
        self.bucket = bucket
        self.folder = folder
        self._store = bucket.store

    @property
    def run(self) -> str:
        return self.folder.run

    def read(self, uri: Uri, kind: type[R]) -> R | None:
        """The record at `uri`; None where there is none. Raises `RunnerError` for one that is damaged."""
        data = self.read_bytes(uri)
        if data is None:
            return None
        try:
            return kind.model_validate_json(data)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "content"
            raise RunnerError(
                f"{uri} is no sound record ({where}): was it written by another version? submit the job again"
            ) from None

    def read_told(self, uri: Uri, kind: type[R]) -> R | None:
        """What a machine wrote at `uri`; None too where it makes no sense, which is logged."""
        try:
            return self.read(uri, kind)
        except RunnerError as error:
            log.warning("%s", error)
            return None

    def read_bytes(self, uri: Uri) -> bytes | None:
        """All bytes of a small object; None where there is none."""
        try:
            with ObjectReader(self._store, self.bucket.key(uri)) as file:
                data = file.read(MAX_RECORD_BYTES + 1)
        except (MissingError, ChangedError):
            return None
        if len(data) > MAX_RECORD_BYTES:
            raise RunnerError(f"{uri} is too large for a record: more than {MAX_RECORD_BYTES >> 20} MiB")
        return data

    def write(self, uri: Uri, record: Record) -> None:
        self.write_bytes(uri, record.model_dump_json(exclude_defaults=True).encode(), content_type=RECORD_TYPE)

    def write_bytes(self, uri: Uri, data: bytes, *, content_type: str | None = None) -> None:
        self._store.put(self.bucket.key(uri), data, content_type=content_type)

    def check_writable(self) -> None:
        """That machines can write what they do. Raises what a bucket says; a folder says it at the first record."""
        if isinstance(self.bucket.root, ObjectUri):
            check_writable(Place(self._store, self.bucket.key(self.folder.object("probe"))))

    def exists(self, uri: Uri) -> bool:
        return self.head(uri) is not None

    def head(self, uri: Uri) -> ObjectInfo | None:
        try:
            return self._store.head(self.bucket.key(uri))
        except MissingError:
            return None

    def names(self, prefix: str) -> Iterator[str]:
        """Names below the machines' folder that begin with `prefix`, as `RunFolder.object` takes them."""
        start = self.bucket.key(self.folder.work)
        for info in self._store.list(start + prefix):
            yield info.key.removeprefix(start)

    def control_names(self, prefix: str) -> Iterator[str]:
        """Names below the trusted side's folder."""
        start = self.bucket.key(self.folder.control)
        for info in self._store.list(start + prefix):
            yield info.key.removeprefix(start)

    def delete(self, uri: Uri) -> None:
        """Make `uri` invisible; nothing where there is none."""
        self._store.delete(self.bucket.key(uri))

    def delete_for_good(self, uri: Uri) -> None:
        """Delete everything that begins with `uri`, all versions."""
        for one in list(self._store.list_versions(self.bucket.key(uri))):
            self._store.delete(one.info.key, version=one.info.version)
