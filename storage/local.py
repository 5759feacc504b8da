"""Outputs in the local file system that appear whole or not at all."""

from __future__ import annotations

import io
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from storage.errors import OutputExistsError, OutputFolderError, SameFileError, StorageError, WriteError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Buffer

NAME_MAX_BYTES: Final = 255
"""Longest file name of ext4, XFS, APFS and NTFS."""


def check_distinct(source: Path, target: Path) -> None:
    """Raises `SameFileError` when both paths lead to one file, by name, symbolic link or hard link."""
    try:
        same = source.samefile(target)
    except OSError:
        same = os.path.realpath(source) == os.path.realpath(target)
    if same:
        raise SameFileError(f"{source} and {target} are the same file; give the output another name")


class LocalOutput:
    """A context manager that gives a seekable, readable and writable binary file which becomes `path` at the end.

    The bytes go to a hidden file beside `path` and are renamed onto it once they are all on disk; when the block
    is left by an exception, nothing remains and an older `path` is untouched. A symbolic link at `path` stays,
    and what it points to is replaced; a replaced file hands its permissions on.

    `part` names the hidden file. Then it stays when the block is left by an exception, and is taken up again by
    the next output with the same `part`: who writes knows what is in it.

    Raises `OutputExistsError` when `path` exists and `overwrite` is false, or is no regular file;
    `OutputFolderError` when no file can be made in its folder; `WriteError` when bytes cannot be stored.
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False, part: Path | None = None) -> None:
        self.path = Path(path)
        self._overwrite = overwrite
        self._final = Path(os.path.realpath(self.path))
        self._file: _OutputFile | None = None
        self._part: Path | None = None
        self._kept = part

    def __enter__(self) -> _OutputFile:
        replaced = self._check_final()
        self._check_folder()
        part = self._kept or self._final.with_name(part_name(self._final.name, secrets.token_hex(4)))
        try:
            self._file = _OutputFile(part, self.path, "r+b" if part.exists() else "x+b")
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            message = f"no file can be made in {self._final.parent}: {reason}; write to another folder"
            raise OutputFolderError(message) from error
        self._part = part
        if replaced is not None:
            with suppress(OSError):
                part.chmod(stat.S_IMODE(replaced.st_mode))
        return self._file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._give_up()
            return
        try:
            self._commit()
        except StorageError:
            self._give_up()
            raise
        except OSError as failure:
            self._give_up()
            raise WriteError.from_os(self.path, failure) from failure

    def discard(self) -> None:
        """Removes what was written so far. Harmless when repeated, and from any thread."""
        part, self._part = self._part, None
        if part is not None:
            part.unlink(missing_ok=True)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _give_up(self) -> None:
        if self._kept is not None:
            self._part = None  # it stays for the next time
        self.discard()

    def _commit(self) -> None:
        if self._file is None or self._part is None:
            return  # discarded
        self._file.close()
        _sync(self._part)
        if not self._overwrite and os.path.lexists(self._final):
            raise OutputExistsError(f"{self.path} appeared while it was being made; add -y to replace it")
        self._part.replace(self._final)
        self._part = None
        # Not every file system can synchronise a folder; the file itself is complete either way.
        with suppress(OSError):
            _sync(self._final.parent)

    def _check_final(self) -> os.stat_result | None:
        """What is at the final name now; None when it is free."""
        try:
            found = self._final.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise WriteError.from_os(self.path, error) from error
        if stat.S_ISDIR(found.st_mode):
            raise OutputExistsError(f"{self.path} is a folder; give a file name")
        if not stat.S_ISREG(found.st_mode):
            raise OutputExistsError(f"{self.path} is not a regular file; give a file name")
        if not self._overwrite:
            raise OutputExistsError(f"{self.path} already exists; add -y to replace it")
        return found

    def _check_folder(self) -> None:
        folder = self._final.parent
        if not folder.exists():
            raise OutputFolderError(f"{folder} does not exist; create it (mkdir -p) or write elsewhere")
        if not folder.is_dir():
            raise OutputFolderError(f"{folder} is a file, not a folder; write elsewhere")


class _OutputFile(io.FileIO):
    """The file behind a `LocalOutput`: every write stores all its bytes or raises `WriteError`."""

    def __init__(self, part: Path, path: Path, mode: str) -> None:
        super().__init__(part, mode)
        self._path = path

    def write(self, data: Buffer, /) -> int:
        left = memoryview(data).cast("B")
        total = len(left)
        try:
            while left:
                left = left[super().write(left) or 0 :]
        except OSError as error:
            raise WriteError.from_os(self._path, error) from error
        return total


def part_name(name: str, mark: str) -> str:
    """A hidden name for the unfinished `name`, of this `mark` alone."""
    ending = f".{mark}.part"
    kept = os.fsencode(name)[: NAME_MAX_BYTES - 1 - len(ending)]
    return f".{os.fsdecode(kept)}{ending}"


def _sync(path: Path) -> None:
    """Waits until the bytes of a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
