"""What every store promises, held to a folder and to buckets with and without versions."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from storage.errors import ChangedError, KeyNameError, MissingError, RequestError
from storage.fetch import fetch
from storage.store import MIN_PART_BYTES

if TYPE_CHECKING:
    from storage.store import ObjectStore

ODD_KEYS: Final = (
    "plain.mp4",
    "two words  and three.mp4",
    "Grüße/日本/𝄞.mkv",
    "a+b=c&d.mp4",
    "100%25 done?.mp4",
    "#1 'quoted' \"twice\".mp4",
    "a//b",
    "a/../b",
    "../up",
    "./here",
    "/lead",
    "trail/",
    "tab\tand back\\slash",
)


def read(store: ObjectStore, key: str) -> bytes:
    info = store.head(key)
    return bytes(fetch(store, info, 0, info.size_bytes))


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


def test_what_was_put_is_there(store: ObjectStore) -> None:
    store.put("folder/clip.mp4", b"picture", content_type="video/mp4")
    info = store.head("folder/clip.mp4")
    assert info.size_bytes == 7
    assert (info.name, info.stem, str(info)) == ("clip.mp4", "clip", "folder/clip.mp4 (7 bytes)")
    assert info.etag
    assert info.modified is not None
    assert abs(info.modified - datetime.now(UTC)) < timedelta(minutes=5)
    assert read(store, "folder/clip.mp4") == b"picture"
    assert keys(store) == ["folder/clip.mp4"]


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.head("empty").size_bytes == 0
    assert read(store, "empty") == b""


def test_a_range_is_what_was_asked_for(store: ObjectStore) -> None:
    store.put("digits", b"0123456789")
    info = store.head("digits")
    assert fetch(store, info, 0, 1) == b"0"
    assert fetch(store, info, 3, 7) == b"3456"
    assert fetch(store, info, 9, 10) == b"9"
    with store.open_range(info, 2, 5) as body:
        room = bytearray(10)
        assert body.readinto(memoryview(room)) == 3
        assert body.readinto(memoryview(room)) == 0
    assert room[:3] == b"234"


def test_what_is_not_there_is_missing(store: ObjectStore) -> None:
    with pytest.raises(MissingError, match="nothing"):
        store.head("nothing")
    with pytest.raises(FileNotFoundError):
        store.head("no/such/folder")
    assert keys(store) == []
    assert list(store.list_uploads()) == []
    store.delete("nothing")


def test_a_replaced_object_is_the_new_one(store: ObjectStore) -> None:
    store.put("clip", b"old")
    before = store.head("clip")
    store.put("clip", b"newer")
    assert read(store, "clip") == b"newer"
    assert store.head("clip").etag != before.etag


def test_a_range_is_of_the_version_that_was_asked_for_or_an_error(store: ObjectStore) -> None:
    store.put("clip", b"old old")
    before = store.head("clip")
    store.put("clip", b"new new")
    try:
        data = fetch(store, before, 0, 7)
    except ChangedError:
        return
    assert data == b"old old"


def test_a_deleted_object_is_not_read_as_something_else(store: ObjectStore) -> None:
    store.put("clip", b"old old")
    before = store.head("clip")
    store.delete("clip", version=before.version)
    with pytest.raises(ChangedError, match="clip"):
        fetch(store, before, 0, 7)


def test_deleting_hides_and_deleting_a_version_deletes_it(store: ObjectStore) -> None:
    store.put("clip", b"one")
    first = store.head("clip")
    assert first.version is None or store.head("clip", version=first.version).size_bytes == 3
    store.delete("clip")
    with pytest.raises(MissingError):
        store.head("clip")
    assert keys(store) == []
    for found in list(store.list_versions()):
        store.delete(found.info.key, version=found.info.version)
    assert list(store.list_versions()) == []


def test_deleting_a_version_that_is_gone_deletes_nothing_newer(store: ObjectStore) -> None:
    store.put("clip", b"one")
    first = store.head("clip")
    if first.version is None:  # no versions, no promise
        return
    store.put("clip", b"second")
    store.delete("clip", version=first.version)
    assert read(store, "clip") == b"second"


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_is_taken_as_it_is_or_refused(store: ObjectStore, key: str) -> None:
    try:
        store.put(key, key.encode())
    except KeyNameError as error:
        assert "choose another key" in str(error)
        assert keys(store) == []
        return
    assert read(store, key) == key.encode()
    assert keys(store) == [key]
    store.delete(key)
    assert keys(store) == []


def test_lists_are_in_the_order_of_bytes_and_by_prefix(store: ObjectStore) -> None:
    names = ["a/1", "a/2", "a/b/3", "a!", "aa", "Z", "é", "~"]
    for name in names:
        store.put(name, b"x")
    assert keys(store) == sorted(names, key=str.encode)
    assert keys(store, "a/") == ["a/1", "a/2", "a/b/3"]
    assert keys(store, "a") == ["a!", "a/1", "a/2", "a/b/3", "aa"]
    assert keys(store, "a/b") == ["a/b/3"]
    assert keys(store, "none") == []
    assert [info.size_bytes for info in store.list("a/1")] == [1]


def test_parts_become_an_object_only_when_completed(store: ObjectStore) -> None:
    pieces = [os.urandom(MIN_PART_BYTES), os.urandom(MIN_PART_BYTES), b"end"]
    upload = store.create_upload("clip", content_type="video/mp4", mark="mine")
    order = (2, 3, 1)
    parts = {number: store.upload_part("clip", upload, number, pieces[number - 1]) for number in order}
    assert keys(store) == []
    assert [(one.key, one.id) for one in store.list_uploads()] == [("clip", upload)]
    assert list(store.list_parts("clip", upload)) == [parts[1], parts[2], parts[3]]
    done = store.complete_upload("clip", upload, [parts[1], parts[2], parts[3]], mark="mine")
    assert done.size_bytes == 2 * MIN_PART_BYTES + 3
    assert read(store, "clip") == b"".join(pieces)
    assert list(store.list_uploads()) == []


def test_a_part_sent_again_replaces_the_earlier_one(store: ObjectStore) -> None:
    upload = store.create_upload("clip")
    store.upload_part("clip", upload, 1, b"first")
    again = store.upload_part("clip", upload, 1, b"second")
    store.complete_upload("clip", upload, [again])
    assert read(store, "clip") == b"second"


def test_an_upload_with_a_wrong_part_is_refused_and_can_be_put_right(store: ObjectStore) -> None:
    store.put("clip", b"old")
    upload = store.create_upload("clip")
    old = store.upload_part("clip", upload, 1, b"first")
    new = store.upload_part("clip", upload, 1, b"other")
    with pytest.raises(RequestError):
        store.complete_upload("clip", upload, [old])
    assert read(store, "clip") == b"old"
    store.complete_upload("clip", upload, [new])
    assert read(store, "clip") == b"other"


def test_an_aborted_upload_leaves_nothing(store: ObjectStore) -> None:
    store.put("clip", b"old")
    upload = store.create_upload("clip")
    part = store.upload_part("clip", upload, 1, b"new")
    store.abort_upload("clip", upload)
    store.abort_upload("clip", upload)
    assert list(store.list_uploads()) == []
    with pytest.raises(MissingError):
        store.upload_part("clip", upload, 2, b"more")
    with pytest.raises(MissingError):
        list(store.list_parts("clip", upload))
    with pytest.raises(MissingError):
        store.complete_upload("clip", upload, [part])
    assert read(store, "clip") == b"old"


def test_many_at_a_time(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: store.put(f"n{n:02d}", str(n).encode()), range(24)))
        read_back = list(pool.map(lambda n: read(store, f"n{n:02d}"), range(24)))
    assert read_back == [str(n).encode() for n in range(24)]
    assert len(keys(store)) == 24
