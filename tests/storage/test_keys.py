"""A rented machine gets a key for a while, or signed URLs; both do the whole job."""

from __future__ import annotations

import hashlib
import hmac
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest

from storage.credentials import make_credentials
from storage.errors import (
    AccessError,
    CapError,
    CredentialsError,
    GaveUpError,
    JournalError,
    MissingError,
    RequestError,
    WriteError,
)
from storage.grants import GrantStore, WriteGrant, grant_reading, grant_writing, revoke
from storage.http import Web, WebStore
from storage.keys import READING, WRITING, KeyService, account_service
from storage.place import Place
from storage.reader import ObjectReader
from storage.writer import ObjectWriter
from tests.storage.native_api import NativeApi
from tests.storage.server import KEY, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.b2 import B2Store
    from tests.storage.server import Server

MIB = 1 << 20
ACCOUNT_KEY = "K004AccountSecretThatNobodyMaySee"


@pytest.fixture
def api(server: Server, bucket: str) -> Iterator[NativeApi]:
    account = ("004account", ACCOUNT_KEY)
    made = (server.credentials.key_id, server.credentials.key)
    with NativeApi(account=account, made=made, s3_url=server.url, buckets={bucket: "b-1", "other": "b-2"}) as running:
        yield running


@pytest.fixture
def service(server: Server, api: NativeApi) -> KeyService:
    account = make_credentials("004account", ACCOUNT_KEY, region=REGION)
    return KeyService(account, api=api.url, retrier=server.retrier())


def test_a_key_for_a_while_does_a_workers_job(server: Server, api: NativeApi, service: KeyService, bucket: str) -> None:
    made = service.create(bucket, prefix="jobs/7/", capabilities=WRITING, duration_s=3600, name="job 7: über")
    [(_, body)] = [call for call in api.calls if call[0] == "b2_create_key"]
    assert body["bucketIds"] == ["b-1"]
    assert body["namePrefix"] == "jobs/7/"
    assert body["capabilities"] == sorted(WRITING)
    assert body["validDurationInSeconds"] == 3600
    assert body["keyName"] == "job-7---ber"
    assert made.expires is not None
    assert abs(made.expires - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
    assert KEY not in repr(made)
    store = server.store(bucket, made.credentials)
    store.put("jobs/7/in", b"picture")
    with ObjectReader(store, "jobs/7/in") as file:
        assert file.read() == b"picture"
    service.delete(made.key_id)
    service.delete(made.key_id)
    assert api.keys == {}


def test_the_token_is_renewed_when_it_has_expired(api: NativeApi, service: KeyService, bucket: str) -> None:
    service.create(bucket, duration_s=60, name="a")
    api.token = "4_token_1"
    service.create(bucket, duration_s=60, name="b")
    assert [name for name, _ in api.calls].count("b2_authorize_account") == 2


def test_what_passes_is_waited_for(api: NativeApi, service: KeyService, bucket: str) -> None:
    api.failures = [(503, "service_unavailable", "busy", {}), (429, "too_many_requests", "slow", {"Retry-After": "3"})]
    assert service.create(bucket, duration_s=60, name="a").capabilities == READING


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ((403, "transaction_cap_exceeded", "Transaction cap exceeded", {}), CapError),
        ((401, "unauthorized", "missing capability writeKeys", {}), AccessError),
        ((400, "bad_request", "no", {}), RequestError),
    ],
)
def test_what_does_not_pass_is_one_error(
    api: NativeApi,
    service: KeyService,
    bucket: str,
    failure: tuple[int, str, str, dict[str, str]],
    error: type[RequestError],
) -> None:
    api.failures = [failure]
    with pytest.raises(error) as caught:
        service.create(bucket, duration_s=60, name="a")
    assert "\n" not in str(caught.value)
    assert api.keys == {}


def test_a_wrong_account_key_and_a_missing_bucket_are_told(server: Server, api: NativeApi, service: KeyService) -> None:
    wrong = make_credentials("004account", "K004Wrong", region=REGION)
    with pytest.raises(AccessError, match="invalid application key"):
        KeyService(wrong, api=api.url, retrier=server.retrier()).create("other", duration_s=60, name="a")
    with pytest.raises(MissingError, match="NoSuchBucket"):
        service.create("nowhere", duration_s=60, name="a")
    with pytest.raises(ValueError, match="duration_s"):
        service.create("other", duration_s=0, name="a")
    with pytest.raises(CredentialsError, match="not Backblaze"):
        account_service(make_credentials("k", "s", endpoint="http://127.0.0.1:1"))


def test_signed_urls_do_a_workers_job(server: Server, remote: B2Store) -> None:
    remote.put("in", b"0123456789" * MIB)
    url = grant_reading(Place(remote, "in"), expires_s=600)
    sent = grant_writing(Place(remote, "out"), mark="try-1", max_bytes=100 * MIB, expires_s=600).to_json()
    # From here on, as on a machine that has only these two texts:
    web = WebStore(retrier=server.retrier())
    store = GrantStore(WriteGrant.from_json(sent), retrier=server.retrier())
    with (
        ObjectReader(web, url, block_bytes=2 * MIB) as source,
        ObjectWriter(store, "out", part_bytes=store.part_bytes) as target,
    ):
        while data := source.read(MIB):
            target.write(data)
        for _ in range(30):
            target.write(bytes(MIB))
        target.seek(4)
        target.write(b"HEAD")
    with ObjectReader(remote, "out") as file:
        written = file.read()
    assert written == b"0123HEAD89" + b"0123456789" * (MIB - 1) + bytes(30 * MIB)
    assert list(remote.list_uploads()) == []


@pytest.mark.parametrize("fault", ["after", "lose"])
def test_a_lost_completion_is_found_by_looking(server: Server, remote: B2Store, fault: str) -> None:
    grant = grant_writing(Place(remote, "out"), mark="try-1", max_bytes=MIB, expires_s=600)
    store = GrantStore(grant, retrier=server.retrier())
    part = store.upload_part("out", grant.upload, 1, b"all")
    # Once the work is done, B2 knows the upload no more.
    gone = {"op": "CompleteMultipartUpload", "skip": 1, "status": 404, "code": "NoSuchUpload"}
    server.break_next({"op": "CompleteMultipartUpload", fault: 1}, gone | {"skip": 0})
    assert store.complete_upload("out", grant.upload, [part]).size_bytes == 3
    with ObjectReader(remote, "out") as file:
        assert file.read() == b"all"


def test_a_completion_that_never_happened_stays_an_error(server: Server, remote: B2Store) -> None:
    remote.put("out", b"old")
    grant = grant_writing(Place(remote, "out"), mark="try-1", max_bytes=MIB, expires_s=600)
    store = GrantStore(grant, retrier=server.retrier())
    part = store.upload_part("out", grant.upload, 1, b"new")
    revoke(Place(remote, "out"), grant)
    with pytest.raises(MissingError):
        store.complete_upload("out", grant.upload, [part])
    with ObjectReader(remote, "out") as file:
        assert file.read() == b"old"


def test_a_grant_is_for_one_object_and_so_many_bytes(server: Server, remote: B2Store) -> None:
    grant = grant_writing(Place(remote, "out"), mark="m", max_bytes=MIB, expires_s=600)
    store = GrantStore(grant, retrier=server.retrier())
    with pytest.raises(RequestError, match="only b2://"):
        store.create_upload("other")
    with pytest.raises(WriteError, match="all that was permitted"):
        store.upload_part("out", grant.upload, len(grant.part_urls) + 1, b"x")
    store.abort_upload("out", grant.upload)
    store.abort_upload("out", grant.upload)
    assert list(remote.list_uploads()) == []
    with pytest.raises(JournalError, match="ask for a new one"):
        WriteGrant.from_json('{"key": "secret"}')


def signed(server: Server, remote: B2Store, when: datetime, *, expires_s: int) -> str:
    """A presigned GET of the object `in`, signed as if it were `when` (AWS Signature Version 4, query form)."""
    stamp, day = f"{when:%Y%m%dT%H%M%SZ}", f"{when:%Y%m%d}"
    scope = f"{day}/{REGION}/s3/aws4_request"
    host = server.url.removeprefix("http://")
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{server.credentials.key_id}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": "host",
    }
    encoded = urlencode(query, quote_via=quote, safe="")
    request = f"GET\n/{remote.bucket}/in\n{encoded}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{KEY}".encode()
    for piece in (day, REGION, "s3", "aws4_request"):
        key = hmac.digest(key, piece.encode(), "sha256")
    return (
        f"{server.url}/{remote.bucket}/in?{encoded}&X-Amz-Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"
    )


def test_an_expired_url_is_refused_without_showing_it(server: Server, remote: B2Store) -> None:
    remote.put("in", b"x")
    now = datetime.now(UTC)
    assert WebStore().head(signed(server, remote, now, expires_s=60)).size_bytes == 1
    url = grant_reading(Place(remote, "in"), expires_s=60)
    expired = signed(server, remote, now - timedelta(minutes=10), expires_s=60)
    for wrong in (expired, url.replace("X-Amz-Signature=", "X-Amz-Signature=0")):
        with pytest.raises(AccessError) as caught:
            WebStore(retrier=server.retrier()).head(wrong)
        assert "X-Amz" not in str(caught.value)
        assert "127.0.0.1" in str(caught.value)
    with pytest.raises(ValueError, match="7 days"):
        grant_reading(Place(remote, "in"), expires_s=604_801)


@pytest.mark.parametrize(
    "rule",
    [
        {"op": "GetObject", "times": 3, "cut": 100_000},
        {"op": "GetObject", "times": 3, "status": 503, "code": "SlowDown"},
        {"op": "GetObject", "times": 2, "reset": 1},
        {"op": "GetObject", "times": 1, "stall": 50_000, "delay": 4},
    ],
    ids=str,
)
def test_what_passes_costs_nothing_over_http(server: Server, remote: B2Store, rule: dict[str, object]) -> None:
    data = os.urandom(3 * MIB)
    remote.put("in", data)
    store = WebStore(retrier=server.retrier(), web=Web(read_timeout_s=2))
    url = grant_reading(Place(remote, "in"), expires_s=600)
    with ObjectReader(store, url, block_bytes=MIB) as file:
        server.break_next(rule)
        assert file.read() == data
    assert server.counts()["fault"] >= 1


def test_nobody_there_is_told_without_the_url(server: Server) -> None:
    with pytest.raises(GaveUpError, match="the connection failed") as caught:
        WebStore(retrier=server.retrier()).head("http://127.0.0.1:9/clip?X-Amz-Signature=abcdef")
    text = f"{caught.value} {caught.value.__cause__} {caught.value.__cause__.__cause__}"
    assert "abcdef" not in text
