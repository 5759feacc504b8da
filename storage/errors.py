"""Everything `storage` raises on purpose.

    StorageError (OSError)
    ├── OutputExistsError   (FileExistsError)  something already has the name of the output
    ├── OutputFolderError                      the folder of the output is missing or takes no new file
    ├── SameFileError                          input and output are one file
    └── WriteError                             bytes that could not be stored: disk full, quota, device gone

Messages are one line: what was given, what is wrong with it, what to do next.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path


class StorageError(OSError):
    """Root of the tree above. `str()` is the message alone, without an error number."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class OutputExistsError(StorageError, FileExistsError):
    """Something already has the name of the output, and replacing it was not asked for."""


class OutputFolderError(StorageError):
    """The folder an output should go to is missing, is no folder, or takes no new file."""


class SameFileError(StorageError):
    """Input and output are the same file, perhaps under two names."""


# What to do about an error number that only storing bytes can end in.
_ADVICE: Final = {
    errno.ENOSPC: "the disk is full; free some space or write to another disk",
    errno.EDQUOT: "the disk quota is used up; free some space or write to another disk",
    errno.EFBIG: "the file grew past the size limit of this disk or shell (see `ulimit -f`); write to another disk",
    errno.EROFS: "the disk is mounted read-only; write to another folder",
}


class WriteError(StorageError):
    """Bytes that could not be stored."""

    @staticmethod
    def explains(error: BaseException) -> bool:
        """Whether `error` is the system's word that bytes could not be stored."""
        return isinstance(error, OSError) and error.errno in _ADVICE

    @classmethod
    def from_os(cls, path: Path, error: OSError) -> Self:
        """The error for `error`, which the system reported while writing the file to be called `path`."""
        advice = _ADVICE.get(error.errno or 0) or (error.strerror or str(error)).lower()
        written = cls(f"cannot write {os.fspath(path)}: {advice}")
        written.errno = error.errno
        return written
