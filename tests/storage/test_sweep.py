"""Litter is found by age, removed only when asked, and nothing newer with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from storage.store import MIN_PART_BYTES
from storage.sweep import LitterKind, find_folders, find_uploads, find_versions, remove

if TYPE_CHECKING:
    from storage.b2 import B2Store
    from storage.store import ObjectStore

NOTHING_OLD = timedelta(days=1)
LATER = timedelta(days=8)


def later() -> datetime:
    return datetime.now(UTC) + LATER


def test_unfinished_uploads(store: ObjectStore) -> None:
    for key in ("job/a", "job/b", "else/c"):
        upload = store.create_upload(key)
        store.upload_part(key, upload, 1, bytes(MIN_PART_BYTES))
    assert list(find_uploads(store, "job/")) == []
    found = list(find_uploads(store, "job/", now=later()))
    assert [(one.key, one.kind, one.size_bytes) for one in found] == [
        ("job/a", LitterKind.UPLOAD, MIN_PART_BYTES),
        ("job/b", LitterKind.UPLOAD, MIN_PART_BYTES),
    ]
    for one in found:
        remove(store, one)
    assert [one.key for one in store.list_uploads()] == ["else/c"]


def test_replaced_and_deleted_versions(remote: B2Store) -> None:
    for text in (b"1", b"22", b"333"):
        remote.put("clip", text)
    remote.put("gone", b"4444")
    remote.delete("gone")
    remote.put("kept", b"5")
    assert list(find_versions(remote)) == []
    found = list(find_versions(remote, now=later()))
    assert sorted((one.key, one.kind.value, one.size_bytes) for one in found) == [
        ("clip", LitterKind.VERSION.value, 1),
        ("clip", LitterKind.VERSION.value, 2),
        ("gone", LitterKind.VERSION.value, 4),
    ]
    for one in found:
        remove(remote, one)
    assert [(one.info.key, one.marker) for one in remote.list_versions()] == [
        ("clip", False),
        ("gone", True),
        ("kept", False),
    ]
    [marker] = find_versions(remote, now=later())
    assert marker.kind is LitterKind.MARKER
    remove(remote, marker)
    assert [one.info.key for one in remote.list_versions()] == ["clip", "kept"]
    assert remote.head("clip").size_bytes == 3


def test_old_folders_go_whole_or_not_at_all(store: ObjectStore) -> None:
    for key in ("runs/1/a", "runs/1/deep/b", "runs/2/a", "runs/file", "else/1/a"):
        store.put(key, b"x")
    assert list(find_folders(store, "runs/", older_than=NOTHING_OLD)) == []
    found = list(find_folders(store, "runs/", now=later()))
    assert [one.key for one in found] == ["runs/1/a", "runs/1/deep/b", "runs/2/a"]
    store.put("runs/1/a", b"newer")
    newer = store.head("runs/1/a")
    if newer.modified != found[0].since:  # some stores keep whole seconds
        remove(store, found[0])
        assert store.head("runs/1/a").size_bytes == 5
    remove(store, found[2])
    assert [info.key for info in store.list()] == ["else/1/a", "runs/1/a", "runs/1/deep/b", "runs/file"]
