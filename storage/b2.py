"""Backblaze B2, and any other store that speaks S3: the one place that imports boto3."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, ParamValidationError

from storage.errors import (
    ChangedError,
    ConnectionFailedError,
    CredentialsError,
    Failure,
    KeyNameError,
    MissingError,
    refused,
)
from storage.lanes import Lanes
from storage.retry import TIDYING_S, Retrier, retry_after_s
from storage.store import MARK, MAX_PRESIGN_S, Grant, ObjectInfo, ObjectVersion, Part, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from storage.credentials import Credentials

T = TypeVar("T")
CONNECT_TIMEOUT_S: Final = 10
READ_TIMEOUT_S: Final = 60

_clients: dict[tuple[str, ...], Any] = {}
_clients_lock = threading.Lock()


class B2Store:
    """One bucket. `scheme` is how its objects are called in messages."""

    def __init__(
        self,
        bucket: str,
        credentials: Credentials,
        *,
        scheme: str = "b2",
        retrier: Retrier | None = None,
        lanes: Lanes | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self.bucket = bucket
        self.credentials = credentials
        self.retrier = retrier or Retrier()
        self.lanes = lanes or Lanes()
        self._scheme = scheme
        self._client = _client(credentials, read_timeout_s)

    def __repr__(self) -> str:
        return f"B2Store({self.bucket!r}, {self.credentials!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, B2Store):
            return NotImplemented
        return (self.bucket, self.credentials.endpoint) == (other.bucket, other.credentials.endpoint)

    def __hash__(self) -> int:
        return hash((self.bucket, self.credentials.endpoint))

    def describe(self, key: str) -> str:
        return f"{self._scheme}://{self.bucket}/{key}"

    def identify(self, key: str) -> str:
        return f"{self.credentials.endpoint}/{self.bucket}/{key}"

    def head(self, key: str, *, version: str | None = None) -> ObjectInfo:
        answer = self._call("looking at", key, "head_object", **_version(version))
        return ObjectInfo(
            key=key,
            size_bytes=answer["ContentLength"],
            etag=_etag(answer),
            version=answer.get("VersionId"),
            modified=answer.get("LastModified"),
            content_type=answer.get("ContentType"),
            mark=answer.get("Metadata", {}).get(MARK),
        )

    def open_range(self, info: ObjectInfo, start: int, stop: int) -> _RangeBody:
        what = f"reading {self.describe(info.key)}"
        # A version is exact by itself; only stores that keep one version need the condition.
        pinned = _version(info.version) or {"IfMatch": f'"{info.etag}"'}
        try:
            answer = self._once(what, info.key, "get_object", Range=f"bytes={start}-{stop - 1}", **pinned)
        except MissingError as error:
            raise ChangedError(f"{self.describe(info.key)} was deleted while it was read; start again") from error
        except OSError as error:
            failure = getattr(error, "failure", None)
            if failure is not None and failure.status == 412:
                raise self._changed(info) from error
            raise
        body = _RangeBody(answer["Body"], what, stop - start)
        try:
            self._check(answer, info, start, stop)
        except BaseException:  # whatever comes, the connection goes back
            body.close()
            raise
        return body

    def put(self, key: str, data: bytes | bytearray, *, content_type: str | None = None) -> ObjectInfo:
        answer = self._call("writing", key, "put_object", Body=data, **_content_type(content_type))
        return ObjectInfo(key=key, size_bytes=len(data), etag=_etag(answer), version=answer.get("VersionId"))

    def create_upload(self, key: str, *, content_type: str | None = None, mark: str | None = None) -> str:
        more: dict[str, Any] = _content_type(content_type) | ({"Metadata": {MARK: mark}} if mark else {})
        upload: str = self._call("beginning", key, "create_multipart_upload", **more)["UploadId"]
        return upload

    def upload_part(
        self, key: str, upload: str, number: int, data: bytes | bytearray, *, wanted: Callable[[], bool] = lambda: True
    ) -> Part:
        what = f"writing part {number} of {self.describe(key)}"

        def send() -> dict[str, Any]:
            return self._once(what, key, "upload_part", UploadId=upload, PartNumber=number, Body=data)

        answer = self.retrier.call(what, send, on_throttle=self.lanes.narrow, wanted=wanted)
        return Part(number=number, size_bytes=len(data), etag=_etag(answer))

    def complete_upload(self, key: str, upload: str, parts: Sequence[Part], *, mark: str | None = None) -> ObjectInfo:
        listed = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]
        size_bytes = sum(part.size_bytes for part in parts)
        try:
            answer = self._call(
                "completing", key, "complete_multipart_upload", UploadId=upload, MultipartUpload={"Parts": listed}
            )
        except MissingError:
            # An earlier answer may have been lost after the work was done: then the object is there, with our mark.
            with suppress(MissingError):
                found = self.head(key)
                if mark and found.mark == mark and found.size_bytes == size_bytes:
                    return found
            raise
        return ObjectInfo(key=key, size_bytes=size_bytes, etag=_etag(answer), version=answer.get("VersionId"))

    def abort_upload(self, key: str, upload: str) -> None:
        what = f"aborting {self.describe(key)}"
        with suppress(MissingError):
            self.retrier.within(TIDYING_S).call(
                what, lambda: self._once(what, key, "abort_multipart_upload", UploadId=upload)
            )

    def list_parts(self, key: str, upload: str) -> Iterator[Part]:
        more: dict[str, Any] = {}
        while True:
            page = self._call("listing the parts of", key, "list_parts", UploadId=upload, **more)
            for part in page.get("Parts", ()):
                yield Part(number=part["PartNumber"], size_bytes=part["Size"], etag=_etag(part))
            if not page.get("IsTruncated"):
                return
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def list_uploads(self, prefix: str = "") -> Iterator[Upload]:
        for page in self._pages("list_multipart_uploads", prefix, "KeyMarker", "UploadIdMarker"):
            for upload in page.get("Uploads", ()):
                yield Upload(key=upload["Key"], id=upload["UploadId"], started=upload.get("Initiated"))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        more: dict[str, Any] = {}
        while True:
            page = self._call("listing", None, "list_objects_v2", prefix=prefix, Prefix=prefix, **more)
            for entry in page.get("Contents", ()):
                yield _entry(entry, version=None)
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def list_versions(self, prefix: str = "") -> Iterator[ObjectVersion]:
        for page in self._pages("list_object_versions", prefix, "KeyMarker", "VersionIdMarker"):
            found = [
                ObjectVersion(info=_entry(entry, version=entry["VersionId"]), latest=entry["IsLatest"], marker=marker)
                for name, marker in (("Versions", False), ("DeleteMarkers", True))
                for entry in page.get(name, ())
            ]
            # The page gives objects and deletions apart; by key and from the newest, they are a history again.
            yield from sorted(found, key=_history_order)

    def delete(self, key: str, *, version: str | None = None) -> None:
        with suppress(MissingError):
            self._call("deleting", key, "delete_object", **_version(version))

    def presign(
        self, grant: Grant, key: str, *, expires_s: int, upload: str | None = None, part: int | None = None
    ) -> str:
        if not 1 <= expires_s <= MAX_PRESIGN_S:
            raise ValueError(f"expires_s is {expires_s}; allowed are 1 to {MAX_PRESIGN_S} (7 days)")
        given = {"Bucket": self.bucket, "Key": key, "UploadId": upload, "PartNumber": part}
        parameters = {name: value for name, value in given.items() if value is not None}
        url: str = self._client.generate_presigned_url(grant.value, Params=parameters, ExpiresIn=expires_s)
        return url

    def _pages(self, operation: str, prefix: str, *markers: str) -> Iterator[dict[str, Any]]:
        more: dict[str, Any] = {}
        while True:
            page = self._call("listing", None, operation, prefix=prefix, Prefix=prefix, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {name: page[f"Next{name}"] for name in markers if page.get(f"Next{name}")}

    def _call(self, doing: str, key: str | None, operation: str, *, prefix: str = "", **more: Any) -> dict[str, Any]:
        """The answer to `operation`, with retries. `doing` says it to people: "reading"."""
        what = f"{doing} {self.describe(prefix if key is None else key)}"
        return self.retrier.call(what, lambda: self._once(what, key, operation, **more), on_throttle=self.lanes.narrow)

    def _once(self, what: str, key: str | None, operation: str, **more: Any) -> dict[str, Any]:
        target = {"Bucket": self.bucket} if key is None else {"Bucket": self.bucket, "Key": key}
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**target, **more)
        except ParamValidationError:
            raise KeyNameError(f"{what}: this name is not possible in a bucket; choose another") from None
        except (ClientError, BotoCoreError, OSError) as error:
            raise refused(what, _failure(error)) from error
        return answer

    def _check(self, answer: dict[str, Any], info: ObjectInfo, start: int, stop: int) -> None:
        """An answer to a range request says whose bytes it carries and which; all of it must be right."""
        said = answer["ResponseMetadata"]
        version = answer.get("VersionId")
        if _etag(answer) != info.etag or (info.version and version and version != info.version):
            raise self._changed(info)
        expected = f"bytes {start}-{stop - 1}/{info.size_bytes}"
        if said["HTTPStatusCode"] != 206 or answer.get("ContentRange") != expected:
            text = f"answered {answer.get('ContentRange') or 'the whole object'} when asked for {expected}"
            raise ConnectionFailedError(f"reading {self.describe(info.key)}", Failure(message=text))
        if answer["ContentLength"] != stop - start:
            text = f"announced {answer['ContentLength']} bytes when asked for {stop - start}"
            raise ConnectionFailedError(f"reading {self.describe(info.key)}", Failure(message=text))

    def _changed(self, info: ObjectInfo) -> ChangedError:
        return ChangedError(f"{self.describe(info.key)} was replaced while it was read; start again")


class _RangeBody:
    """The body of an answer, as long as it was announced or an error."""

    def __init__(self, stream: Any, what: str, size_bytes: int) -> None:
        self._stream = stream
        self._raw = stream._raw_stream  # noqa: SLF001  (StreamingBody's own readinto copies twice)
        self._what = what
        self._left = size_bytes

    def readinto(self, target: memoryview, /) -> int:
        wanted = min(len(target), self._left)
        if not wanted:
            return 0
        try:
            data = self._stream.read(min(wanted, 1 << 20))
        except (BotoCoreError, OSError) as error:
            raise refused(self._what, _failure(error)) from error
        if not data:
            message = f"the answer ended {self._left} bytes early"
            raise ConnectionFailedError(self._what, Failure(message=message))
        target[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._left:  # what still comes on this connection is not wanted
            self._stream.close()
        else:
            self._raw.release_conn()


def _client(credentials: Credentials, read_timeout_s: float) -> Any:
    """The client for `credentials`: slow to make, safe for many threads, so made once."""
    identity = (credentials.endpoint, credentials.region, credentials.key_id, credentials.key, str(read_timeout_s))
    with _clients_lock:
        if identity not in _clients:
            _clients[identity] = _new_client(credentials, read_timeout_s)
        return _clients[identity]


def _new_client(credentials: Credentials, read_timeout_s: float) -> Any:
    for name in ("botocore", "boto3", "urllib3"):
        # At DEBUG these print whole requests, signatures included.
        logging.getLogger(name).setLevel(logging.WARNING)
    # The profiles and settings of other tools on this machine have no say, whatever their variables name.
    unset = (None, None, None, None)
    variables = dict.fromkeys(("profile", "config_file", "credentials_file"), unset)
    session = botocore.session.Session(session_vars=variables)
    try:
        return boto3.Session(
            aws_access_key_id=credentials.key_id,
            aws_secret_access_key=credentials.key,
            region_name=credentials.region,
            botocore_session=session,
        ).client("s3", endpoint_url=credentials.endpoint, config=_config(credentials.region, read_timeout_s))
    except (BotoCoreError, ValueError) as error:
        raise CredentialsError(f"{credentials.endpoint} cannot be used as an endpoint: {error}") from error


def _config(region: str, read_timeout_s: float) -> Config:
    return Config(
        region_name=region,
        signature_version="s3v4",
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 1},  # storage.retry does it
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s,
        tcp_keepalive=True,
        max_pool_connections=40,  # two stores' worth of lanes and some
        ignore_configured_endpoint_urls=True,
        s3={"addressing_style": "path"},
        user_agent_extra="framehaul",
    )


def _failure(error: Exception) -> Failure:
    """The facts of what botocore raised. Its own text may hold a signed URL, so only parts of it are kept."""
    response = getattr(error, "response", None) or {}
    if not response:
        kind = type(error.__cause__ or error).__name__ if isinstance(error, HTTPClientError) else type(error).__name__
        return Failure(message=_NETWORK.get(kind, kind))
    said = response.get("Error", {})
    meta = response.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode")
    code = str(said.get("Code", ""))
    if status == 200 and code:  # a completion can fail after its answer has begun
        status = 500
    return Failure(
        status=status,
        code=code,
        message=str(said.get("Message", ""))[:300].replace("\n", " "),
        retry_after_s=retry_after_s(meta.get("HTTPHeaders", {}).get("retry-after")),
    )


_NETWORK: Final = {
    "EndpointConnectionError": "no connection to the endpoint",
    "ConnectTimeoutError": f"no connection within {CONNECT_TIMEOUT_S} s",
    "ReadTimeoutError": "no data in time",
    "ConnectionClosedError": "the connection was closed",
    "IncompleteReadError": "the answer broke off",
    "IncompleteRead": "the answer broke off",
    "ProtocolError": "the answer broke off",
    "ResponseStreamingError": "the answer broke off",
    "SSLError": "no secure connection",
    "ProxyConnectionError": "no connection to the proxy",
    "ConnectionResetError": "the connection was reset",
}


def _entry(entry: dict[str, Any], *, version: str | None) -> ObjectInfo:
    return ObjectInfo(
        key=entry["Key"],
        size_bytes=entry.get("Size", 0),
        etag=_etag(entry),
        version=version,
        modified=entry.get("LastModified"),
    )


def _history_order(one: ObjectVersion) -> tuple[bytes, bool, float]:
    written = one.info.modified
    return one.info.key.encode(), not one.latest, -written.timestamp() if written else 0.0


def _etag(answer: dict[str, Any]) -> str:
    return str(answer.get("ETag", "")).strip('"')


def _version(version: str | None) -> dict[str, str]:
    return {} if version is None else {"VersionId": version}


def _content_type(value: str | None) -> dict[str, str]:
    return {} if value is None else {"ContentType": value}
