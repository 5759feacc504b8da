"""Presigned permission for one object: a machine that has it reads or writes that object and holds no key.

Whoever has the account makes a `WriteGrant`, sends its JSON, and gives it back with `revoke` when the other side
will not use it. The other side writes through `GrantStore`, as into any store.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Self
from xml.sax.saxutils import escape

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from storage.errors import Failure, JournalError, MissingError, RequestError, TooLargeError
from storage.http import Web, WebStore
from storage.lanes import Lanes
from storage.parts import PART_BYTES, part_bytes_for
from storage.retry import Retrier
from storage.store import MAX_PARTS, Grant, ObjectInfo, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from storage.place import Place

SPARE_PARTS: Final = 8
_ETAG: Final = re.compile(rb"<ETag>(?:&quot;|&#34;|\")?([\w-]+)")


class WriteGrant(BaseModel):
    """URLs for every step of writing one object. Whoever has it may write the object until it expires."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    """The object's location, for people."""
    key: str
    upload: str
    mark: str
    part_bytes: int = Field(ge=5 << 20)
    part_urls: tuple[str, ...] = Field(repr=False, min_length=1, max_length=MAX_PARTS)
    complete_url: str = Field(repr=False)
    abort_url: str = Field(repr=False)
    look_url: str = Field(repr=False)
    """GET of the object, to see whether a completion whose answer was lost has happened."""

    @property
    def max_bytes(self) -> int:
        """The largest object that can be written with it."""
        return self.part_bytes * len(self.part_urls)

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises `JournalError` for text that is no grant; the text is not quoted."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            wrong = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise JournalError(f"this is no permission to write: {wrong or 'it'} is wrong; ask for a new one") from None


def grant_reading(place: Place, *, expires_s: int) -> str:
    """A URL from which the object can be read, in ranges too, until `expires_s` from now."""
    return place.store.presign(Grant.GET, place.key, expires_s=expires_s)


def grant_writing(
    place: Place, *, mark: str, max_bytes: int, expires_s: int, content_type: str | None = None
) -> WriteGrant:
    """Begin an upload and sign all it may need for up to `max_bytes`. `mark` is unique to this attempt."""
    store, key = place.store, place.key
    part_bytes = max(PART_BYTES, part_bytes_for(max_bytes))
    count = min(MAX_PARTS, -(-max_bytes // part_bytes) + SPARE_PARTS)
    upload = store.create_upload(key, content_type=content_type, mark=mark)

    def url(grant: Grant, **more: Any) -> str:
        return store.presign(grant, key, expires_s=expires_s, **more)

    return WriteGrant(
        name=store.describe(key),
        key=key,
        upload=upload,
        mark=mark,
        part_bytes=part_bytes,
        part_urls=tuple(url(Grant.UPLOAD_PART, upload=upload, part=number + 1) for number in range(count)),
        complete_url=url(Grant.COMPLETE, upload=upload),
        abort_url=url(Grant.ABORT, upload=upload),
        look_url=url(Grant.GET),
    )


def revoke(place: Place, grant: WriteGrant) -> None:
    """Forget the upload: the URLs for its parts and its completion are worth nothing then."""
    place.store.abort_upload(grant.key, grant.upload)


class GrantStore:
    """The one object of a `WriteGrant`, as `ObjectWriter` and uploads write into it."""

    def __init__(self, grant: WriteGrant, *, retrier: Retrier | None = None, web: Web | None = None) -> None:
        self.grant = grant
        self.lanes = Lanes()
        self.retrier = retrier or Retrier()
        self._web = web or Web()

    def describe(self, key: str) -> str:
        del key
        return self.grant.name

    def part_bytes(self, _start: int) -> int:
        """Size of every part but the last, for `ObjectWriter`."""
        return self.grant.part_bytes

    def put(self, key: str, data: bytes | bytearray, *, content_type: str | None = None) -> ObjectInfo:
        upload = self.create_upload(key, content_type=content_type)
        return self.complete_upload(key, upload, [self.upload_part(key, upload, 1, data)])

    def create_upload(self, key: str, *, content_type: str | None = None, mark: str | None = None) -> str:
        del content_type, mark  # whoever made the grant has chosen them
        self._check(key)
        return self.grant.upload

    def upload_part(
        self, key: str, upload: str, number: int, data: bytes | bytearray, *, wanted: Callable[[], bool] = lambda: True
    ) -> Part:
        self._check(key)
        del upload
        if number > len(self.grant.part_urls):
            raise TooLargeError(f"{self.grant.name} grew past {self.grant.max_bytes} bytes, all that was permitted")
        answer = self._send(f"writing part {number} of", "PUT", self.grant.part_urls[number - 1], data, wanted)
        return Part(number=number, size_bytes=len(data), etag=answer.get("ETag", "").strip('"'))

    def complete_upload(self, key: str, upload: str, parts: Sequence[Part], *, mark: str | None = None) -> ObjectInfo:
        self._check(key)
        del upload, mark
        listed = "".join(
            f"<Part><PartNumber>{part.number}</PartNumber><ETag>{escape(part.etag)}</ETag></Part>" for part in parts
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        size_bytes = sum(part.size_bytes for part in parts)
        try:
            answer = self._send("completing", "POST", self.grant.complete_url, body)
        except MissingError:
            found = self._look()
            if found is None or found.mark != self.grant.mark or found.size_bytes != size_bytes:
                raise
            return found
        version = answer.get("x-amz-version-id")
        return ObjectInfo(key=key, size_bytes=size_bytes, etag=answer.get("ETag", "").strip('"'), version=version)

    def abort_upload(self, key: str, upload: str) -> None:
        self._check(key)
        del upload
        try:
            self._send("aborting", "DELETE", self.grant.abort_url, None)
        except MissingError:
            return

    def _look(self) -> ObjectInfo | None:
        try:
            return WebStore(retrier=self.retrier, web=self._web).head(self.grant.look_url)
        except MissingError:
            return None

    def _check(self, key: str) -> None:
        if key != self.grant.key:
            raise RequestError(f"writing {key}", Failure(status=403, message=f"only {self.grant.name} is permitted"))

    def _send(
        self,
        doing: str,
        method: str,
        url: str,
        data: bytes | bytearray | None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, str]:
        """The headers of the answer, by their usual names."""
        what = f"{doing} {self.grant.name}"

        def ask() -> dict[str, str]:
            with self._web.send(what, method, url, data=data) as answer:
                if b"<Error>" in answer.content[:1000]:  # a completion can fail after its answer has begun
                    raise RequestError(what, Failure(status=500, code="InternalError", message="completion failed"))
                found = {name: answer.headers[name] for name in ("ETag", "x-amz-version-id") if name in answer.headers}
                told = _ETAG.search(answer.content[:10_000])  # a completion says it in its body
                return found if told is None else {"ETag": told[1].decode()} | found

        return self.retrier.call(what, ask, on_throttle=self.lanes.narrow, wanted=wanted)
