"""What nobody will use any more and somebody pays for: found here, removed only when asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.store import ObjectStore, ObjectVersion

OLD: Final = timedelta(days=7)
"""Longer than any job."""


class LitterKind(StrEnum):
    UPLOAD = "unfinished upload"
    VERSION = "replaced or deleted version"
    MARKER = "deletion of nothing"
    """A deletion mark whose versions are all gone."""
    FOLDER = "old run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Litter:
    """One thing to remove."""

    kind: LitterKind
    key: str
    id: str | None
    """The upload, or the version."""
    since: datetime | None
    """When it became useless."""
    size_bytes: int = 0


def find_uploads(
    store: ObjectStore, prefix: str = "", *, older_than: timedelta = OLD, now: datetime | None = None
) -> Iterator[Litter]:
    """Uploads that began longer ago than `older_than`, with the bytes of their parts."""
    for upload in store.list_uploads(prefix):
        if _is_old(upload.started, older_than, now):
            size_bytes = sum(part.size_bytes for part in store.list_parts(upload.key, upload.id))
            yield Litter(
                kind=LitterKind.UPLOAD, key=upload.key, id=upload.id, since=upload.started, size_bytes=size_bytes
            )


def find_versions(
    store: ObjectStore, prefix: str = "", *, older_than: timedelta = OLD, now: datetime | None = None
) -> Iterator[Litter]:
    """Versions replaced or deleted longer ago than `older_than`, and deletions that hide nothing any more."""
    for _, group in groupby(store.list_versions(prefix), key=lambda one: one.info.key):
        history = list(group)  # the newest first
        for newer, one in pairwise(history):
            if _is_old(newer.info.modified, older_than, now):
                yield _version(LitterKind.VERSION, one, newer.info.modified)
        first = history[0]
        if first.marker and len(history) == 1 and _is_old(first.info.modified, older_than, now):
            yield _version(LitterKind.MARKER, first, first.info.modified)


def find_folders(
    store: ObjectStore, prefix: str, *, older_than: timedelta = OLD, now: datetime | None = None
) -> Iterator[Litter]:
    """Objects of folders right below `prefix` (which ends with a slash) in which nothing is newer than that."""
    below = len(prefix)
    listed = (info for info in store.list(prefix) if "/" in info.key[below:])
    for _, group in groupby(listed, key=lambda info: info.key[below:].partition("/")[0]):
        objects = list(group)
        if all(_is_old(info.modified, older_than, now) for info in objects):
            for info in objects:
                yield Litter(
                    kind=LitterKind.FOLDER,
                    key=info.key,
                    id=None,
                    since=info.modified,
                    size_bytes=info.size_bytes,
                )


def remove(store: ObjectStore, litter: Litter) -> None:
    """Remove it for good; nothing newer under the same key is touched."""
    if litter.kind is LitterKind.UPLOAD:
        assert litter.id is not None
        store.abort_upload(litter.key, litter.id)
        return
    version = litter.id
    if version is None:
        info = store.head(litter.key)
        if info.modified != litter.since:
            return  # replaced since it was found
        version = info.version
    store.delete(litter.key, version=version)


def _is_old(since: datetime | None, older_than: timedelta, now: datetime | None) -> bool:
    return since is not None and (now or datetime.now(UTC)) - since >= older_than


def _version(kind: LitterKind, one: ObjectVersion, since: datetime | None) -> Litter:
    return Litter(kind=kind, key=one.info.key, id=one.info.version, since=since, size_bytes=one.info.size_bytes)
