"""A real server that fails in every way a bucket has: the bytes are right, or there is one clear error."""

from __future__ import annotations

import os
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from storage.credentials import make_credentials
from storage.errors import (
    AccessError,
    CapError,
    ChangedError,
    ConnectionFailedError,
    GaveUpError,
    MissingError,
    RequestError,
    StorageError,
)
from storage.fetch import fetch
from storage.lanes import Lanes
from storage.reader import ObjectReader
from storage.retry import Retrier
from storage.store import MIN_PART_BYTES
from storage.writer import ObjectWriter
from tests.storage.server import KEY, REGION

if TYPE_CHECKING:
    from storage.b2 import B2Store
    from tests.storage.server import Server

MIB = 1 << 20
BUSY = {"status": 503, "code": "ServiceUnavailable", "message": "no tomes available"}
SLOW = {"status": 503, "code": "SlowDown", "headers": [["Retry-After", "7"]]}
CUT_UPLOAD = {"status": 400, "code": "InvalidRequest", "message": "The request body was too small"}
CAP = {"status": 403, "code": "AccessDenied", "message": "Cannot upload files, storage cap exceeded."}


def write(store: B2Store, data: bytes, key: str = "clip") -> None:
    with ObjectWriter(store, key, part_bytes=lambda _: MIN_PART_BYTES, head_bytes=MIN_PART_BYTES) as file:
        for start in range(0, len(data), MIB):
            file.write(data[start : start + MIB])


def read(store: B2Store, key: str = "clip") -> bytes:
    with ObjectReader(store, key, block_bytes=4 * MIB) as file:
        return file.read()


class Clock:
    """Time that passes only in waiting."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waits_s: list[float] = []

    def sleep(self, wait_s: float) -> None:
        self.waits_s.append(wait_s)
        self.now_s += wait_s

    def retrier(self, **more: Any) -> Retrier:
        return Retrier(clock=lambda: self.now_s, sleep=self.sleep, chance=lambda: 1.0, **more)


@pytest.mark.parametrize(
    "rule",
    [
        {"op": "UploadPart", "times": 7} | BUSY,
        {"op": "UploadPart", "times": 7} | SLOW,
        {"op": "UploadPart", "times": 3, "status": 500},
        {"op": "UploadPart", "times": 3, "after": 1},
        {"op": "UploadPart", "times": 3, "lose": 1},
        {"op": "UploadPart", "times": 3, "reset": 1},
        {"op": "UploadPart", "times": 1, "delay": 4},
        {"op": "UploadPart", "times": 2, "status": 400, "code": "BadDigest"},
        {
            "op": "UploadPart",
            "times": 2,
            "status": 400,
            "code": "InvalidRequest",
            "message": "The request body was too small",
        },
        {"op": "CreateMultipartUpload", "times": 3} | BUSY,
        {"op": "CreateMultipartUpload", "times": 1, "after": 1},
        {"op": "CompleteMultipartUpload", "times": 3} | BUSY,
        {"op": "CompleteMultipartUpload", "times": 1, "after": 1},
        {"op": "CompleteMultipartUpload", "times": 1, "lose": 1},
        {"times": 12} | BUSY,
    ],
    ids=str,
)
def test_what_passes_costs_nothing_when_writing(server: Server, remote: B2Store, rule: dict[str, Any]) -> None:
    data = os.urandom(18 * MIB)
    server.break_next(rule)
    write(remote, data)
    assert server.counts()["fault"] >= 1
    server.reset()
    assert read(remote) == data


@pytest.mark.parametrize(
    "rule",
    [
        {"op": "GetObject", "times": 7} | BUSY,
        {"op": "GetObject", "times": 7} | SLOW,
        {"op": "HeadObject", "times": 3, "status": 503},
        {"op": "GetObject", "times": 3, "reset": 1},
        {"op": "GetObject", "times": 6, "cut": 1_000_000},
        {"op": "GetObject", "times": 3, "cut": 0},
        {"op": "GetObject", "times": 1, "stall": 500_000, "delay": 4},
        {"op": "GetObject", "times": 2, "delay": 3},
        {"op": "GetObject", "times": 2, "status": 500},
    ],
    ids=str,
)
def test_what_passes_costs_nothing_when_reading(server: Server, remote: B2Store, rule: dict[str, Any]) -> None:
    data = os.urandom(11 * MIB + 5)
    write(remote, data)
    server.break_next(rule)
    assert read(remote) == data
    assert server.counts()["fault"] >= 1


def test_a_cut_body_goes_on_at_the_missing_byte(server: Server, remote: B2Store) -> None:
    data = os.urandom(3 * MIB)
    remote.put("clip", data)
    info = remote.head("clip")
    server.reset()
    # More cuts than tries: each brings something new, so none counts.
    server.break_next({"op": "GetObject", "times": 30, "cut": 65_536})
    assert fetch(remote, info, 0, len(data)) == data
    assert server.counts()["GetObject"] == 31


@pytest.mark.parametrize(
    ("rule", "error", "tries"),
    [
        ({"status": 501, "code": "NotImplemented"}, RequestError, 1),
        ({"status": 403, "code": "AccessDenied"}, AccessError, 1),
        (CAP, CapError, 1),
        ({"status": 403, "code": "RequestTimeTooSkewed"}, AccessError, 1),
        ({"status": 400, "code": "InvalidArgument"}, RequestError, 1),
        ({"status": 400, "code": "BadDigest"}, GaveUpError, 3),
        (BUSY, GaveUpError, 14),
        ({"status": 500}, GaveUpError, 14),
        ({"reset": 1}, GaveUpError, 10),
    ],
    ids=str,
)
def test_what_does_not_pass_ends_with_one_error_and_the_old_object(
    server: Server, remote: B2Store, rule: dict[str, Any], error: type[StorageError], tries: int
) -> None:
    remote.put("clip", b"old")
    server.reset()
    server.break_next({"op": "PutObject", "times": 99} | rule)
    with pytest.raises(error) as caught:
        remote.put("clip", b"new")
    assert server.counts()["PutObject"] == tries
    assert "\n" not in str(caught.value)
    assert "b2://" in str(caught.value)
    if error is GaveUpError:
        assert re.search(rf"tried {tries} times in \d+ s, last .+; try again later", str(caught.value))
    server.reset()
    assert read(remote) == b"old"


@pytest.mark.parametrize("fault", ["after", "lose"])
def test_a_completion_whose_answer_was_lost_is_recognised(server: Server, remote: B2Store, fault: str) -> None:
    """Swift completes twice without complaint; B2 knows the upload no more."""
    gone = {"op": "CompleteMultipartUpload", "status": 404, "code": "NoSuchUpload"}
    server.break_next({"op": "CompleteMultipartUpload", fault: 1}, gone)
    data = os.urandom(18 * MIB)
    write(remote, data)
    assert server.counts()["CompleteMultipartUpload"] == 2
    assert read(remote) == data


def test_a_completion_of_an_upload_that_somebody_aborted_is_an_error(server: Server, remote: B2Store) -> None:
    data = os.urandom(18 * MIB)
    remote.put("clip", data)
    before = remote.head("clip")
    server.break_next({"op": "CompleteMultipartUpload", "status": 404, "code": "NoSuchUpload"})
    with pytest.raises(MissingError, match="NoSuchUpload"):
        write(remote, data)
    assert remote.head("clip") == before


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_a_write_that_fails_leaves_the_old_object_and_no_upload(
    server: Server, remote: B2Store, operation: str
) -> None:
    remote.put("clip", b"old")
    server.break_next({"op": operation, "times": 99} | CAP)
    with pytest.raises(CapError, match="Caps & Alerts"):
        write(remote, os.urandom(18 * MIB))
    server.reset()
    assert read(remote) == b"old"
    assert list(remote.list_uploads()) == []


def test_a_part_of_what_was_given_up_is_not_sent_again(server: Server, bucket: str) -> None:
    waits, given_up = threading.Event(), threading.Event()

    def wait(_: float) -> None:
        waits.set()
        given_up.wait(20)

    store = server.store(bucket, retrier=Retrier(sleep=wait))
    server.break_next({"op": "UploadPart", "times": 99} | BUSY)
    file = ObjectWriter(store, "clip", part_bytes=lambda _: MIN_PART_BYTES, head_bytes=MIN_PART_BYTES)
    file.write(os.urandom(2 * MIN_PART_BYTES))
    assert waits.wait(20)
    file.discard()
    given_up.set()
    running = [thread for thread in threading.enumerate() if thread.name.startswith("storage-writer")]
    for thread in running:
        thread.join(20)
    assert server.counts()["UploadPart"] == 1


def test_the_service_is_waited_for_as_it_asks(server: Server, bucket: str) -> None:
    clock = Clock()
    store = server.store(bucket, retrier=clock.retrier())
    server.break_next({"op": "PutObject", "times": 3} | SLOW, {"op": "PutObject", "times": 3} | BUSY)
    store.put("clip", b"x")
    assert clock.waits_s == [7, 7, 7, 8, 16, 32]
    assert store.lanes.limit < Lanes().limit


def test_waiting_ends_with_the_budget(server: Server, bucket: str) -> None:
    clock = Clock()
    store = server.store(bucket, retrier=clock.retrier(budget_s=20))
    server.break_next({"op": "PutObject", "times": 99} | BUSY)
    with pytest.raises(GaveUpError, match="tried 5 times in 15 s") as caught:
        store.put("clip", b"x")
    assert isinstance(caught.value.__cause__, RequestError)


def test_a_wrong_key_is_refused_at_once(server: Server, bucket: str) -> None:
    wrong = make_credentials("test:worker", "K004WrongWrongWrong", region=REGION, endpoint=server.url)
    with pytest.raises(AccessError, match="check the key"):
        server.store(bucket, wrong).put("clip", b"x")
    with pytest.raises(AccessError):
        server.store(bucket, wrong).head("clip")
    with pytest.raises(AccessError):
        list(server.store(bucket, wrong).list())
    with pytest.raises(AccessError):
        ObjectReader(server.store(bucket, wrong), "clip")


def test_a_key_without_rights_is_refused_at_once(server: Server, remote: B2Store, bucket: str) -> None:
    remote.put("clip", b"old")
    with pytest.raises(AccessError, match="capabilities"):
        server.store(bucket, server.powerless).put("clip", b"x")
    assert read(remote) == b"old"


def test_no_bucket_and_no_server_are_told_apart(server: Server) -> None:
    with pytest.raises(MissingError, match="NoSuchBucket"):
        server.store("no-such-bucket-at-all").put("clip", b"x")
    nobody = make_credentials("k", KEY, region=REGION, endpoint="http://127.0.0.1:9")
    with pytest.raises(GaveUpError, match="no connection to the endpoint") as caught:
        server.store("bucket", nobody).put("clip", b"x")
    assert isinstance(caught.value.__cause__, ConnectionFailedError)


def test_an_object_replaced_during_a_read_is_an_error_without_versions(server: Server) -> None:
    store = server.store(server.new_bucket(versioned=False))
    store.put("clip", os.urandom(MIB))
    with ObjectReader(store, "clip", block_bytes=100_000) as file:
        file.read(10)
        store.put("clip", os.urandom(MIB))
        with pytest.raises(ChangedError, match="was replaced while it was read"):
            file.read()


def test_an_object_replaced_during_a_read_is_read_on_with_versions(remote: B2Store) -> None:
    data = os.urandom(MIB)
    remote.put("clip", data)
    with ObjectReader(remote, "clip", block_bytes=100_000) as file:
        start = file.read(10)
        remote.put("clip", b"new")
        assert start + file.read() == data
        assert read(remote) == b"new"


def test_a_listing_goes_past_every_page(server: Server, crowded: tuple[str, list[str]]) -> None:
    bucket, names = crowded
    store = server.store(bucket)
    server.break_next({"op": "ListObjects", "skip": 1, "times": 2} | BUSY)
    assert [info.key for info in store.list()] == names
    assert server.counts()["ListObjects"] == 3 + 2
    assert [one.info.key for one in store.list_versions()] == names


def test_requests_are_as_few_as_they_can_be(server: Server, remote: B2Store) -> None:
    data = os.urandom(40 * MIB)
    server.reset()
    write(remote, data)
    assert server.counts() == {"CreateMultipartUpload": 1, "UploadPart": 8, "CompleteMultipartUpload": 1}
    server.reset()
    with ObjectReader(remote, "clip") as file:
        file.read(100)  # the beginning, then the index at the end, then back
        file.seek(-MIB, os.SEEK_END)
        file.read()
        file.seek(100)
        file.read(MIB)
    assert server.counts() == {"HeadObject": 1, "GetObject": 2}
