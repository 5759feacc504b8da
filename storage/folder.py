"""A folder as an object store: a key is the path of a file in it.

Uploads in progress are in `.framehaul-uploads`, which listings do not show. A file system holds one version of a
file; it is named after the file's inode, size and time, so that deleting "this version" deletes nothing newer.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from storage.errors import (
    ChangedError,
    Failure,
    KeyNameError,
    MissingError,
    OutputFolderError,
    RequestError,
    StorageError,
    UnsupportedError,
    WriteError,
)
from storage.lanes import Lanes
from storage.local import NAME_MAX_BYTES, LocalOutput
from storage.retry import Retrier
from storage.store import MAX_PARTS, Grant, ObjectInfo, ObjectVersion, Part, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

UPLOADS: Final = ".framehaul-uploads"
COPY_BYTES: Final = 1 << 20
UNFINISHED: Final = re.compile(r"\..+\.[0-9a-f]{8}\.part")
"""Names of files that an output has while it is written."""


class FolderStore:
    """The files below `root`, which is created when something is written."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self.lanes = Lanes(start=4, most=4)
        self.retrier = Retrier()

    def __repr__(self) -> str:
        return f"FolderStore({str(self.root)!r})"

    def describe(self, key: str) -> str:
        return str(self.root / key)

    def identify(self, key: str) -> str:
        return os.path.realpath(self.root / key)

    def head(self, key: str, *, version: str | None = None) -> ObjectInfo:
        info = self._info(key, self._stat(key, "looking at"))
        if version is not None and version != info.version:
            raise self._missing("looking at", key, "that version is gone")
        return info

    def open_range(self, info: ObjectInfo, start: int, stop: int) -> _FileRange:
        what = f"reading {self.describe(info.key)}"
        try:
            descriptor = os.open(self._path(info.key), os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError as error:
            raise ChangedError(f"{self.describe(info.key)} was deleted while it was read; start again") from error
        except OSError as error:
            raise unreadable(what, error) from error
        if _version(os.fstat(descriptor)) != info.version:
            os.close(descriptor)
            raise ChangedError(f"{self.describe(info.key)} was changed while it was read; start again")
        return _FileRange(descriptor, what, start, stop)

    def put(self, key: str, data: bytes | bytearray, *, content_type: str | None = None) -> ObjectInfo:  # noqa: ARG002  (files have none)
        with self._output(key) as file:
            file.write(data)
        return self.head(key)

    def create_upload(self, key: str, *, content_type: str | None = None, mark: str | None = None) -> str:  # noqa: ARG002
        self._path(key)
        upload = secrets.token_hex(16)
        folder = self.root / UPLOADS / upload
        _make_folder(folder)
        (folder / "upload.json").write_text(json.dumps({"key": key}), encoding="utf-8")
        return upload

    def upload_part(
        self,
        key: str,
        upload: str,
        number: int,
        data: bytes | bytearray,
        *,
        wanted: Callable[[], bool] = lambda: True,  # noqa: ARG002  (a disk is asked once)
    ) -> Part:
        folder = self._upload(key, upload, "writing a part of")
        if not 1 <= number <= MAX_PARTS:
            raise ValueError(f"part {number} is not possible; parts are 1 to {MAX_PARTS}")
        etag = hashlib.sha256(data).hexdigest()[:32]
        with LocalOutput(folder / f"{number:05d}", overwrite=True) as file:
            file.write(data)
        (folder / f"{number:05d}.etag").write_text(etag, encoding="ascii")
        return Part(number=number, size_bytes=len(data), etag=etag)

    def complete_upload(
        self,
        key: str,
        upload: str,
        parts: Sequence[Part],
        *,
        mark: str | None = None,  # noqa: ARG002  (no answer is lost on the way to a disk)
    ) -> ObjectInfo:
        what = f"completing {self.describe(key)}"
        folder = self._upload(key, upload, "completing")
        present = {part.number: part for part in self.list_parts(key, upload)}
        wrong = [part.number for part in parts if present.get(part.number) != part]
        if wrong or not parts or [part.number for part in parts] != sorted({part.number for part in parts}):
            text = f"part {wrong[0]} is missing or differs" if wrong else "parts must be given once, in order"
            raise RequestError(what, Failure(status=400, code="InvalidPart", message=text))
        with self._output(key) as file:
            for part in parts:
                with (folder / f"{part.number:05d}").open("rb") as source:
                    shutil.copyfileobj(source, file, COPY_BYTES)
        shutil.rmtree(folder, ignore_errors=True)
        return self.head(key)

    def abort_upload(self, key: str, upload: str) -> None:
        with suppress(MissingError):
            shutil.rmtree(self._upload(key, upload, "aborting"), ignore_errors=True)

    def list_parts(self, key: str, upload: str) -> Iterator[Part]:
        folder = self._upload(key, upload, "listing the parts of")
        for path in sorted(folder.glob("[0-9][0-9][0-9][0-9][0-9]")):
            with suppress(FileNotFoundError):  # its ETag is not there yet
                etag = path.with_suffix(".etag").read_text(encoding="ascii")
                yield Part(number=int(path.name), size_bytes=path.stat().st_size, etag=etag)

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        found = []
        for path in (self.root / UPLOADS).glob("*/upload.json"):
            with suppress(FileNotFoundError, json.JSONDecodeError):
                key = json.loads(path.read_text(encoding="utf-8"))["key"]
                started = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                if key.startswith(prefix):
                    found.append(Upload(key=key, id=path.parent.name, started=started))
        yield from sorted(found, key=lambda upload: (upload.key.encode(), upload.id))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key in sorted(self._keys(prefix), key=os.fsencode):
            with suppress(MissingError):  # deleted meanwhile
                yield self.head(key)

    def list_versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        for info in self.list(prefix):
            yield ObjectVersion(info=info, latest=True)

    def delete(self, key: str, *, version: str | None = None) -> None:
        with suppress(MissingError):
            self.head(key, version=version)
            try:
                self._path(key).unlink(missing_ok=True)
            except OSError as error:
                raise WriteError(f"{self.describe(key)} cannot be deleted: {(error.strerror or '').lower()}") from error

    def presign(
        self, grant: Grant, key: str, *, expires_s: int, upload: str | None = None, part: int | None = None
    ) -> str:
        del grant, expires_s, upload, part
        raise UnsupportedError(f"{self.describe(key)} is a file; only objects in a bucket have presigned URLs")

    def _output(self, key: str) -> LocalOutput:
        path = self._path(key)
        _make_folder(path.parent)
        return LocalOutput(path, overwrite=True)

    def _path(self, key: str) -> Path:
        """Where the file of `key` is. Raises `KeyNameError` for a key that no file can have."""
        parts = key.split("/")
        if "\0" in key or any(part in {"", ".", ".."} for part in parts):
            raise KeyNameError(f"{key!r} cannot be a file's name: empty, . and .. are no names; choose another key")
        if parts[0] == UPLOADS or UNFINISHED.fullmatch(parts[-1]):
            raise KeyNameError(f"{key!r} is kept for unfinished files; choose another key")
        if any(len(os.fsencode(part)) > NAME_MAX_BYTES for part in parts):
            raise KeyNameError(f"{key[:40]!r}... is too long for a file's name; at most {NAME_MAX_BYTES} bytes")
        return self.root.joinpath(*parts)

    def _stat(self, key: str, doing: str) -> os.stat_result:
        try:
            path = self._path(key)
            found = path.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise self._missing(doing, key, "no such file") from error
        except StorageError:
            raise
        except OSError as error:
            raise unreadable(f"{doing} {self.describe(key)}", error) from error
        if path.is_dir():
            raise self._missing(doing, key, "it is a folder")
        return found

    def _info(self, key: str, found: os.stat_result) -> ObjectInfo:
        version = _version(found)
        modified = datetime.fromtimestamp(found.st_mtime, UTC)
        return ObjectInfo(key=key, size_bytes=found.st_size, etag=version, version=version, modified=modified)

    def _keys(self, prefix: str) -> Iterator[str]:
        """Keys of all files below the deepest folder that `prefix` names."""
        above = prefix.rpartition("/")[0]
        if above and any(part in {"", ".", ".."} for part in above.split("/")):
            return
        for folder, names, files in os.walk(self.root / above):
            if Path(folder) == self.root and UPLOADS in names:
                names.remove(UPLOADS)
            for name in files:
                key = (Path(folder) / name).relative_to(self.root).as_posix()
                if key.startswith(prefix) and not UNFINISHED.fullmatch(name):
                    yield key

    def _upload(self, key: str, upload: str, doing: str) -> Path:
        folder = self.root / UPLOADS / upload
        try:
            known = json.loads((folder / "upload.json").read_text(encoding="utf-8"))["key"] == key
        except (OSError, ValueError):
            known = False
        if not known or "/" in upload:
            raise MissingError(f"{doing} {self.describe(key)}", Failure(status=404, code="NoSuchUpload"))
        return folder

    def _missing(self, doing: str, key: str, message: str) -> MissingError:
        return MissingError(f"{doing} {self.describe(key)}", Failure(status=404, code="NoSuchKey", message=message))


class _FileRange:
    """Part of an open file."""

    def __init__(self, descriptor: int, what: str, start: int, stop: int) -> None:
        self._descriptor = descriptor
        self._what = what
        self._at = start
        self._stop = stop

    def readinto(self, target: memoryview, /) -> int:
        wanted = min(len(target), self._stop - self._at)
        if not wanted:
            return 0
        try:
            read = os.preadv(self._descriptor, [target[:wanted]], self._at)
        except OSError as error:
            raise unreadable(self._what, error) from error
        if not read:
            raise ChangedError(f"{self._what.removeprefix('reading ')} became shorter while it was read; start again")
        self._at += read
        return read

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        os.close(self._descriptor)


def _version(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"


def unreadable(what: str, error: OSError) -> RequestError:
    """A disk says no as a server does, so that whoever reads need not know which it is."""
    status = 403 if isinstance(error, PermissionError) else 400
    cls = MissingError if isinstance(error, FileNotFoundError) else RequestError
    return cls(what, Failure(status=status, message=(error.strerror or str(error)).lower()))


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputFolderError(f"{path} cannot be made: {reason}; write to another folder") from error
