"""Everything `storage` raises on purpose.

    StorageError (OSError)
    ├── OutputExistsError   (FileExistsError)    something already has the name of the output
    ├── OutputFolderError                        the folder of the output is missing or takes no new file
    ├── SameFileError                            input and output are one file
    ├── WriteError                               bytes that could not be stored: disk full, quota, device gone
    │   └── TooLargeError                        more bytes than were permitted
    ├── UriError            (ValueError)         a location that cannot be read
    ├── KeyNameError        (ValueError)         a key that the store cannot hold
    ├── CredentialsError                         a key or region that is missing or malformed
    ├── ChangedError                             an object that was replaced or deleted while it was read
    ├── UnsupportedError                         something this kind of store cannot do
    ├── JournalError                             a record of an unfinished transfer that does not fit
    ├── GaveUpError                              what failed so often or so long that waiting makes no sense
    └── RequestError                             an answer that is no success, and its facts
        ├── MissingError (FileNotFoundError)       no such object, bucket or upload
        ├── AccessError (PermissionError)          a key that is wrong, expired or not allowed to do this
        ├── CapError                               the account's own limit is used up
        └── ConnectionFailedError (ConnectionError)  no answer, or one that broke off

Messages are one line: what was given, what is wrong with it, what to do next. None holds a secret.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
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


class TooLargeError(WriteError):
    """More bytes than were permitted."""


class UriError(StorageError, ValueError):
    """A location that cannot be read."""


class KeyNameError(StorageError, ValueError):
    """A key that the store cannot hold under exactly that name."""


class CredentialsError(StorageError):
    """A key or region that is missing or malformed; the message names the variable, never its value."""


class ChangedError(StorageError):
    """An object that was replaced or deleted while it was being read."""


class UnsupportedError(StorageError):
    """Something that this kind of store cannot do."""


class JournalError(StorageError):
    """The record of an unfinished transfer belongs to something else, or is in use."""


class GaveUpError(StorageError):
    """What failed so often or so long that waiting makes no sense. `__cause__` is the last failure."""

    def __init__(self, what: str, *, tries: int, elapsed_s: float, last: RequestError) -> None:
        self.tries = tries
        self.elapsed_s = elapsed_s
        times = "once" if tries == 1 else f"{tries} times"
        super().__init__(f"gave up {what}: tried {times} in {elapsed_s:.0f} s, last {last.failure}; try again later")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What an answer said, or that there was none."""

    status: int | None = None
    """HTTP status; None when no whole answer came."""
    code: str = ""
    """The service's own word, such as `SlowDown`."""
    message: str = ""
    retry_after_s: float | None = None
    """How long the service asks to wait."""

    def __str__(self) -> str:
        said = " ".join(str(part) for part in (self.status, self.code) if part and str(part) != self.message)
        if self.code == str(self.status):  # an answer to HEAD has no words
            said = self.code
        return f"{said} ({self.message})" if said and self.message else said or self.message or "no answer"


class RequestError(StorageError):
    """An answer that is no success: `failure` has its facts."""

    advice = ""

    def __init__(self, what: str, failure: Failure) -> None:
        self.what = what
        self.failure = failure
        advice = self._advice(failure)
        super().__init__(f"{what}: {failure}" + (f"; {advice}" if advice else ""))

    def _advice(self, _failure: Failure) -> str:
        return self.advice


class MissingError(RequestError, FileNotFoundError):
    """No such object, bucket or upload."""

    advice = "check the bucket and the name"


class AccessError(RequestError, PermissionError):
    """A key that is wrong, expired or not allowed to do this."""

    advice = "check the key, its bucket, its capabilities and its expiry"

    def _advice(self, failure: Failure) -> str:
        return "set this machine's clock" if failure.code == "RequestTimeTooSkewed" else self.advice


class CapError(RequestError):
    """The account's own limit on storage, transactions or downloads is used up."""

    advice = "raise it in the account's Caps & Alerts page, or wait until tomorrow"


class ConnectionFailedError(RequestError, ConnectionError):
    """No answer, or one that broke off."""


LASTING: Final = frozenset(
    {
        "AccessDenied", "AllAccessDisabled", "AccountProblem",
        "NoSuchBucket", "InvalidBucketName", "InvalidBucketState", "MethodNotAllowed",
        "EntityTooLarge", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded",
    }
)  # fmt: skip
"""Codes of S3 that say that something has to be allowed, made or freed first. Swift and Ceph have words of their own
for a quota."""


def is_lasting(error: StorageError) -> bool:
    """Whether the same is refused to whoever asks, with whatever key for it, until somebody changes something.

    Not so with a key that is unknown, revoked or expired, a clock that is wrong, an upload that was aborted, or an
    answer without a code of S3, which a proxy may have given: another machine with another key may be served.
    """
    if isinstance(error, CapError | KeyNameError | OutputFolderError | OutputExistsError | TooLargeError):
        return True
    if isinstance(error, WriteError):
        return WriteError.explains(error)
    if not isinstance(error, RequestError):
        return False
    failure = error.failure
    return failure.code in LASTING and "expire" not in failure.message.lower()


def is_cap(failure: Failure) -> bool:
    """Whether `failure` says that an account's cap is used up: a 403 whose text alone tells."""
    return failure.status == 403 and (
        "cap exceeded" in failure.message.lower() or failure.code.endswith("cap_exceeded")
    )


def refused(what: str, failure: Failure) -> RequestError:
    """The error for `failure`, which answered `what` ("reading b2://bucket/key")."""
    if failure.status is None:
        return ConnectionFailedError(what, failure)
    if is_cap(failure):
        return CapError(what, failure)
    if failure.status in {401, 403}:
        return AccessError(what, failure)
    if failure.status in {404, 410}:
        return MissingError(what, failure)
    return RequestError(what, failure)
