"""Whether a store takes what this machine has to write: where it never will, no other machine need be rented.

A refusal is the job's fault only where somebody has to allow, make or free something first (`is_lasting`), where it
is given to one byte that is sent as a trial, and to another one a little later, and before the machine's deadline.
What refuses keys or URLs that are expired or were taken back is none: a machine that was replaced, or that comes back,
must end no job. It could not in any case: the end is told with the key for the run's folder, which dies no later than
that for the output.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from runner.errors import RefusedPlaceError
from runner.folder import RunFolder
from runner.worker.boot import UrlAccess
from storage.errors import CapError, StorageError, TooLargeError, is_lasting
from storage.grants import GrantStore
from storage.outputs import check_writable
from storage.place import place_of
from storage.retry import Retrier
from storage.uri import LocalUri, ObjectUri, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runner.worker.boot import Boot, Key
    from storage.grants import WriteGrant
    from storage.uri import Uri

log = logging.getLogger(__name__)

PATIENCE_S: Final = 60.0
"""For a store that is busy: nothing follows from a trial that has no answer."""
AGAIN_S: Final = 3.0
"""Between a refusal and the trial that confirms it: a key that was made just now may not be known everywhere."""
EVERY_S: Final = 600.0
"""Between two trials while the work goes on: the output may be sent hours later, at its end."""


def check_places(boot: Boot) -> None:
    """Try to write the output and into the run's folder. Raises `RefusedPlaceError` where that is refused for good.

    With presigned URLs nothing is tried: whoever made them has begun the uploads.
    """
    if not isinstance(boot.access, UrlAccess):
        _try_all(boot)


class Trials:
    """`check_places` now and then, whenever `tick` is called and the last time was long ago."""

    def __init__(self, boot: Boot, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._boot = boot
        self._clock = clock
        self._next_s = clock() + EVERY_S

    def tick(self) -> None:
        if self._clock() >= self._next_s:
            self._next_s = self._clock() + EVERY_S
            check_places(self._boot)


def find_refusal(boot: Boot, error: Exception) -> RefusedPlaceError | None:
    """Whether `error`, which has ended the work, comes of a lasting refusal; None where another machine may do it."""
    if time.time() >= boot.deadline_s:
        return None
    if isinstance(error, CapError):  # of the whole account
        return RefusedPlaceError(f"{error}; then `runner resume {boot.run}` goes on")
    if isinstance(error, TooLargeError):  # the next machine would be permitted as much
        return RefusedPlaceError(f"{error}: submit the job again with a higher --crf, or with keys that B2 makes")
    try:
        _try_all(boot)
    except RefusedPlaceError as refusal:
        return refusal
    return None


def _try_all(boot: Boot) -> None:
    for what, attempt in _attempts(boot):
        error = _outcome(attempt)
        if error is not None and is_lasting(error):
            time.sleep(AGAIN_S)  # the store is given this time: there is no event that could be waited for
            error = _outcome(attempt)
        if error is None:
            continue
        if is_lasting(error) and time.time() < boot.deadline_s:
            raise RefusedPlaceError(
                f"{what} cannot be written by any machine: {error}; once it can be, `runner resume {boot.run}` goes on"
            ) from error
        log.warning("whether %s can be written is not known: %s", what, error)


def _outcome(attempt: Callable[[], object]) -> StorageError | None:
    try:
        attempt()
    except StorageError as error:
        return error
    return None


def _attempts(boot: Boot) -> Iterator[tuple[str, Callable[[], object]]]:
    """What can be tried: each place and a trial of it."""
    access = boot.access
    if isinstance(access, UrlAccess):
        yield "the output", lambda: _try_grant(access.outputs[-1])
        left = [segment.attempts[-1].grant for segment in access.segments if segment.attempts]
        if left:
            yield "the run's folder", lambda: _try_grant(left[-1])
        return
    yield "the output", lambda: _try_place(parse(boot.output), access.output)
    root = parse(boot.root)
    if isinstance(root, ObjectUri):
        uri = RunFolder(root=root, run=boot.run).object("probe")
        yield "the run's folder", lambda: _try_place(uri, access.work)


def _try_place(uri: Uri, key: Key | None) -> None:
    if isinstance(uri, LocalUri):
        import storage

        storage.check_writable(uri)
        return
    credentials = None if key is None else key.credentials()
    check_writable(place_of(uri, credentials=credentials, retrier=Retrier(budget_s=PATIENCE_S)))


def _try_grant(grant: WriteGrant) -> None:
    """One byte as a part that is never used: the upload is aborted by whoever began it."""
    store = GrantStore(grant, retrier=Retrier(budget_s=PATIENCE_S))
    store.upload_part(grant.key, grant.upload, len(grant.part_urls), b"\0")
