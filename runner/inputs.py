"""Copies of local inputs in the bucket, where rented machines can read them: one for all runs of the same file.

inputs/<mark>/<name>      the copy; the mark follows from the file's path, size and time
inputs/<mark>/for/<run>   a run that reads it, written before the copy is looked for
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import storage
from runner.errors import UsageError
from runner.ticket import End, Ticket
from storage.errors import StorageError
from storage.uri import ObjectUri, parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.bucket import Bucket, RunBucket
    from storage.pieces import OnProgress
    from storage.store import ObjectInfo
    from storage.uri import LocalUri

INPUTS: Final = "inputs"
READERS: Final = "for"
BEGINS_S: Final = 3600.0
"""How long a run that has no ticket yet may be about to begin."""


def provide(
    given: LocalUri,
    bucket: Bucket,
    run: str,
    *,
    on_progress: OnProgress | None = None,
    check: Callable[[], object] | None = None,
) -> ObjectUri:
    """The copy of `given` for `run`; one that an interrupted command has begun goes on, one that is there is used.

    What `check` raises ends the copying, and what was sent is kept for the next command.
    """
    if not isinstance(bucket.root, ObjectUri):
        raise UsageError(f"{bucket} is on this machine, where no rented one can read it; give --bucket b2://bucket")
    facts = given.path.stat()
    mark = hashlib.sha256(f"{given.path.resolve()}\n{facts.st_size}\n{facts.st_mtime_ns}".encode()).hexdigest()[:16]
    root = bucket.root if bucket.root.folder else bucket.root.with_key(f"{bucket.root.key}/")
    target = root.child(f"{INPUTS}/{mark}/{given.name}")
    bucket.store.put(_readers(target).child(run).key, b"")
    if storage.exists(target) and storage.stat(target).size_bytes == facts.st_size:
        return target
    try:
        storage.copy(given, target, overwrite=True, on_progress=on_progress, check=check)
    except BaseException:  # Ctrl-C too: a run that was never begun must not keep the copy from being deleted
        with suppress(StorageError):
            bucket.run(run).delete_for_good(_readers(target).child(run))
        raise
    return target


def release(bucket: RunBucket, copy: str, *, now_s: float) -> None:
    """Delete for good the copy that the run of `bucket` has read, unless another run may still have to read it.

    That is one that has not finished and whose deadline is not past, cancelled and failed ones included, which can be
    resumed; the last to finish deletes it. Past its deadline, a run that is resumed has to be submitted again.
    """
    uri = parse(copy)
    assert isinstance(uri, ObjectUri)
    readers = _readers(uri)
    bucket.delete_for_good(readers.child(bucket.run))
    others = list(bucket.bucket.store.list(readers.key))
    if any(_is_needed(bucket.bucket, info, now_s=now_s) for info in others):
        return
    bucket.delete_for_good(uri)
    bucket.delete_for_good(readers)


def _is_needed(bucket: Bucket, reader: ObjectInfo, *, now_s: float) -> bool:
    run = bucket.run(reader.key.rpartition("/")[2])
    ticket = run.read_told(run.folder.ticket, Ticket)
    if ticket is None:
        return reader.modified is not None and now_s < reader.modified.timestamp() + BEGINS_S
    end = run.read_told(run.folder.end, End)
    return now_s < ticket.deadline_s and (end is None or end.state != "finished")


def _readers(copy: ObjectUri) -> ObjectUri:
    return copy.with_key(f"{copy.key.rpartition('/')[0]}/{READERS}/")
