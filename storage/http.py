"""HTTP by itself: reading what a web server has, and using presigned URLs without any key."""

from __future__ import annotations

import logging
import re
import threading
from contextlib import suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, Self

import requests

from storage.errors import ChangedError, ConnectionFailedError, Failure, RequestError, UnsupportedError, refused
from storage.lanes import Lanes
from storage.retry import Retrier, retry_after_s
from storage.store import MARK, ObjectInfo
from storage.uri import WebUri

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

CONNECT_TIMEOUT_S: Final = 10
READ_TIMEOUT_S: Final = 60
CHUNK_BYTES: Final = 1 << 18
_CODE: Final = re.compile(r"<Code>([^<]{1,80})</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,300})</Message>")
_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Web:
    """Sends requests. One connection pool a thread, because sessions are for one thread."""

    def __init__(self, *, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        logging.getLogger("urllib3").setLevel(logging.WARNING)  # at DEBUG it prints URLs, signatures included
        self._timeout_s = (CONNECT_TIMEOUT_S, read_timeout_s)
        self._local = threading.local()

    def send(
        self,
        what: str,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        data: bytes | bytearray | None = None,
        json: Any = None,
        auth: tuple[str, str] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        """The answer when it is a success; `RequestError` with its facts, without the URL, when it is not."""
        content = None if data is None else bytes(data)
        more: dict[str, Any] = {"headers": headers, "data": content, "json": json, "auth": auth, "stream": stream}
        try:
            answer = self._session().request(method, url, timeout=self._timeout_s, **more)
        except (requests.RequestException, OSError) as error:
            raise broken(what, error) from None  # the cause quotes the URL, which may be signed
        if not answer.ok:
            failure = _failure(answer)
            answer.close()
            raise refused(what, failure)
        return answer

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.trust_env = True  # proxies and certificates of this machine; never its .netrc:
            session.auth = _no_auth
            self._local.session = session
        return session


class WebStore:
    """Objects by their URL, to be read. Servers must answer ranges."""

    def __init__(self, *, retrier: Retrier | None = None, web: Web | None = None) -> None:
        self.retrier = retrier or Retrier()
        self.lanes = Lanes()
        self._web = web or Web()

    def describe(self, key: str) -> str:
        return str(WebUri(key))

    def identify(self, key: str) -> str:
        return self.describe(key)  # another signature does not make another object

    def head(self, key: str, *, version: str | None = None) -> ObjectInfo:
        """Asks for the first byte: a presigned URL allows GET and not HEAD."""
        if version is not None:
            raise UnsupportedError(f"{self.describe(key)}: a web server has no versions")
        what = f"looking at {self.describe(key)}"

        def ask() -> ObjectInfo:
            try:
                headers = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
                answer = self._web.send(what, "GET", key, headers=headers, stream=True)
            except RequestError as error:
                if error.failure.status == 416:  # there is no first byte
                    return ObjectInfo(key=key, size_bytes=0, etag="")
                raise
            with answer:
                return self._info(key, answer)

        return self.retrier.call(what, ask, on_throttle=self.lanes.narrow)

    def open_range(self, info: ObjectInfo, start: int, stop: int) -> _WebRange:
        what = f"reading {self.describe(info.key)}"
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        answer = self._web.send(what, "GET", info.key, headers=headers, stream=True)
        try:
            self._check(answer, info, start, stop)
        except BaseException:  # whatever comes, the connection goes back
            answer.close()
            raise
        return _WebRange(answer, what, stop - start)

    def _info(self, key: str, answer: requests.Response) -> ObjectInfo:
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if answer.status_code != 206 or found is None:
            if answer.headers.get("Content-Length") == "0":
                return ObjectInfo(key=key, size_bytes=0, etag="")
            raise UnsupportedError(f"{self.describe(key)}: this server does not answer ranges; download the file first")
        return ObjectInfo(
            key=key,
            size_bytes=int(found[3]),
            etag=_tag(answer),
            modified=_date(answer.headers.get("Last-Modified")),
            content_type=answer.headers.get("Content-Type"),
            mark=answer.headers.get(f"x-amz-meta-{MARK}"),
        )

    def _check(self, answer: requests.Response, info: ObjectInfo, start: int, stop: int) -> None:
        said = answer.headers.get("Content-Range", "")
        found = _RANGE.fullmatch(said)
        if _tag(answer) != info.etag or (found and int(found[3]) != info.size_bytes):
            raise ChangedError(f"{self.describe(info.key)} was replaced while it was read; start again")
        if answer.status_code != 206 or said != f"bytes {start}-{stop - 1}/{info.size_bytes}":
            text = f"answered {said or 'the whole file'} when asked for bytes {start}-{stop - 1}"
            raise ConnectionFailedError(f"reading {self.describe(info.key)}", Failure(message=text))


class _WebRange:
    """The body of an answer."""

    def __init__(self, answer: requests.Response, what: str, size_bytes: int) -> None:
        self._answer = answer
        self._what = what
        self._left = size_bytes

    def readinto(self, target: memoryview, /) -> int:
        wanted = min(len(target), self._left, CHUNK_BYTES)
        if not wanted:
            return 0
        try:
            data: bytes = self._answer.raw.read(wanted)
        except Exception as error:  # noqa: BLE001  (urllib3's own errors come through here, which is no dependency)
            raise broken(self._what, error) from None
        if not data:
            raise ConnectionFailedError(self._what, Failure(message=f"the answer ended {self._left} bytes early"))
        target[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if self._left:
            self._answer.close()  # what still comes on this connection is not wanted
        else:
            self._answer.raw.release_conn()


def broken(what: str, error: Exception) -> RequestError:
    """The error for a request without an answer."""
    reasons: tuple[tuple[type[Exception], str], ...] = (
        (requests.ConnectTimeout, f"no connection within {CONNECT_TIMEOUT_S} s"),
        (requests.Timeout, "no data in time"),
        (requests.exceptions.SSLError, "no secure connection"),
        (requests.ConnectionError, "the connection failed"),
    )
    message = next((text for kind, text in reasons if isinstance(error, kind)), "the answer broke off")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)):
        return RequestError(what, Failure(status=400, message="this is no URL"))
    if isinstance(error, requests.TooManyRedirects):
        return RequestError(what, Failure(status=400, message="the server redirects in a circle"))
    return ConnectionFailedError(what, Failure(message=message))


def _failure(answer: requests.Response) -> Failure:
    """The facts of a refusal, in S3's XML or B2's JSON or nothing at all."""
    try:
        text = answer.text[:4000]
    except (requests.RequestException, OSError):
        text = ""
    code, message = _CODE.search(text), _MESSAGE.search(text)
    said = {"code": code[1] if code else "", "message": message[1] if message else ""}
    if text.startswith("{"):
        with suppress(ValueError):
            said |= answer.json()
    return Failure(
        status=answer.status_code,
        code=str(said["code"])[:80],
        message=str(said["message"])[:300].replace("\n", " "),
        retry_after_s=retry_after_s(answer.headers.get("Retry-After")),
    )


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _tag(answer: requests.Response) -> str:
    """What changes with the content: the ETag, or the time where there is none."""
    return (answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "").strip('"')


def _date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text or "").astimezone(UTC)
    except ValueError:
        return None
