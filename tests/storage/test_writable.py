"""Whether a place can be written is found out without writing it, and which refusals last."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import storage
from storage.errors import (
    AccessError,
    CapError,
    Failure,
    GaveUpError,
    MissingError,
    OutputFolderError,
    RequestError,
    StorageError,
    WriteError,
    is_lasting,
    refused,
)
from storage.outputs import check_writable
from storage.place import Place
from storage.retry import Retrier

if TYPE_CHECKING:
    from storage.b2 import B2Store
    from storage.store import ObjectStore
    from tests.storage.server import Server


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_trial_leaves_nothing(store: ObjectStore, before: bytes | None) -> None:
    if before is not None:
        store.put("out/film.mkv", before)
    check_writable(Place(store, "out/film.mkv"))
    assert [info.size_bytes for info in store.list("")] == ([] if before is None else [len(before)])
    assert list(store.list_uploads()) == []


@pytest.mark.parametrize("before", [None, b"what was there"])
def test_a_path(tmp_path: Path, before: bytes | None) -> None:
    out = tmp_path / "film.mkv"
    if before is not None:
        out.write_bytes(before)
    storage.check_writable(out)
    assert [path.name for path in tmp_path.iterdir()] == ([] if before is None else ["film.mkv"])
    assert before is None or out.read_bytes() == before
    with pytest.raises(OutputFolderError, match="create it") as missing:
        storage.check_writable(tmp_path / "none" / "film.mkv")
    assert is_lasting(missing.value)


def test_who_may_not_write(server: Server, bucket: str) -> None:
    reader = server.make_key(bucket, capabilities=["readFiles", "listFiles"])
    elsewhere = server.make_key(bucket, prefix="in/", capabilities=["writeFiles"])
    for key in (reader, elsewhere, server.powerless):
        with pytest.raises(AccessError, match="check the key") as refusal:
            check_writable(Place(server.store(bucket, key), "out.mkv"))
        assert is_lasting(refusal.value)
    for key in (reader, elsewhere):
        server.forget_key(key.key_id)


def test_a_bucket_that_is_not_there(server: Server) -> None:
    with pytest.raises(MissingError, match="check the bucket") as refusal:
        check_writable(Place(server.store("no-such-bucket"), "out.mkv"))
    assert is_lasting(refusal.value)


def test_a_key_that_was_taken_back_says_nothing_of_the_place(server: Server, bucket: str) -> None:
    key = server.make_key(bucket, capabilities=["writeFiles"])
    store = server.store(bucket, key)
    check_writable(Place(store, "out.mkv"))
    server.forget_key(key.key_id)
    with pytest.raises(AccessError) as refusal:
        check_writable(Place(store, "out.mkv"))
    assert not is_lasting(refusal.value)


def test_what_the_parts_meet_counts_too(remote: B2Store, server: Server) -> None:
    used_up = {"code": "AccessDenied", "message": "Storage cap exceeded. See the Caps page"}
    server.break_next({"op": "UploadPart", "status": 403} | used_up)
    with pytest.raises(CapError, match="raise it") as refusal:
        check_writable(Place(remote, "out.mkv"))
    assert is_lasting(refusal.value)
    assert list(remote.list_uploads()) == []


@pytest.mark.parametrize(
    ("failure", "lasts"),
    [
        ({"status": 403, "code": "AccessDenied", "message": "not entitled"}, True),
        ({"status": 403, "code": "AccessDenied", "message": "Request has expired"}, False),
        ({"status": 400, "code": "ExpiredToken"}, False),
        ({"status": 403, "code": "InvalidAccessKeyId"}, False),
        ({"status": 403, "code": "SignatureDoesNotMatch"}, False),
        ({"status": 403, "code": "RequestTimeTooSkewed"}, False),
        ({"status": 401, "code": "UnauthorizedAccess"}, False),
        ({"status": 403}, False),  # a proxy's page
        ({"status": 403, "code": "403"}, False),  # an answer to HEAD
        ({"status": 404, "code": "NoSuchBucket"}, True),
        ({"status": 404, "code": "NoSuchUpload"}, False),
        ({"status": 404, "code": "NoSuchKey"}, False),
        ({"status": 400, "code": "InvalidBucketName"}, True),
        ({"status": 413, "code": "EntityTooLarge", "message": "Upload exceeds quota."}, True),
        ({"status": 403, "code": "QuotaExceeded"}, True),
        ({"status": 400, "code": "InvalidPart"}, False),
        ({"status": 429, "code": "TooManyRequests"}, False),
        ({"status": 503, "code": "SlowDown"}, False),
        ({}, False),
    ],
    ids=str,
)
def test_which_refusals_last(failure: dict[str, Any], *, lasts: bool) -> None:
    assert is_lasting(refused("writing b2://bucket/out.mkv", Failure(**failure))) is lasts


def test_what_comes_of_a_disk_lasts_and_what_was_given_up_does_not() -> None:
    full = WriteError.from_os(Path("out.mkv"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert is_lasting(full)
    assert not is_lasting(WriteError("writing b2://bucket/out.mkv was given up"))
    with pytest.raises(GaveUpError) as given_up:
        Retrier(sleep=lambda _: None).call("writing", _busy)
    assert not is_lasting(given_up.value)
    assert not is_lasting(StorageError("something else"))


def _busy() -> None:
    raise RequestError("writing", Failure(status=503, code="SlowDown"))
