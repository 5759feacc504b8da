"""Keys for a while and for one purpose, through B2's native API: what a rented machine may have.

The account's own key makes and deletes them and never leaves this machine. Calls and replies: version 4 of
https://www.backblaze.com/apidocs (b2_authorize_account, b2_list_buckets, b2_create_key, b2_delete_key).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from storage.credentials import Credentials, make_credentials
from storage.errors import AccessError, CredentialsError, Failure, MissingError, RequestError
from storage.http import Web
from storage.retry import Retrier

if TYPE_CHECKING:
    from collections.abc import Iterable

API: Final = "https://api.backblazeb2.com"
API_VARIABLE: Final = "B2_API_URL"
_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})
READING: Final = ("listBuckets", "listFiles", "readFiles")
"""What a machine needs that only reads objects whose keys begin with a prefix."""
WRITING: Final = (*READING, "writeFiles", "deleteFiles")
MAX_DURATION_S: Final = 1000 * 86400 - 1
MAX_NAME: Final = 100

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopedKey:
    """A key that may do only what it was made for, until it expires."""

    credentials: Credentials
    bucket: str
    prefix: str
    capabilities: tuple[str, ...]
    expires: datetime | None
    key_id: str = field(repr=False)


class _Reply(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", hide_input_in_errors=True)


class _StorageApi(_Reply):
    api_url: str
    s3_api_url: str


class _ApiInfo(_Reply):
    storage_api: _StorageApi


class _Authorization(_Reply):
    account_id: str
    authorization_token: str = Field(repr=False)
    api_info: _ApiInfo


class _Bucket(_Reply):
    bucket_id: str
    bucket_name: str


class _Buckets(_Reply):
    buckets: list[_Bucket]


class _Key(_Reply):
    application_key_id: str
    application_key: str = Field(repr=False)
    capabilities: list[str]
    expiration_timestamp: int | None = None
    """Milliseconds since 1970."""


class KeyService:
    """Makes and deletes keys with the account's own. Raises `RequestError` for what B2 refuses."""

    def __init__(
        self, credentials: Credentials, *, api: str = API, retrier: Retrier | None = None, web: Web | None = None
    ) -> None:
        self._credentials = credentials
        self._api = api.rstrip("/")
        self._retrier = retrier or Retrier()
        self._web = web or Web()
        self._authorization: _Authorization | None = None

    def create(
        self, bucket: str, *, prefix: str = "", capabilities: Iterable[str] = READING, duration_s: int, name: str
    ) -> ScopedKey:
        """A key for objects of `bucket` whose keys begin with `prefix`, gone after `duration_s`.

        Should an answer be lost, a second key is made; the first one is known to nobody and expires too.
        """
        if not 1 <= duration_s <= MAX_DURATION_S:
            raise ValueError(f"duration_s is {duration_s}; allowed are 1 to {MAX_DURATION_S} (1000 days)")
        what = f"making a key for b2://{bucket}/{prefix}"
        body = {
            "capabilities": sorted(set(capabilities)),
            "keyName": "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)[:MAX_NAME],
            "validDurationInSeconds": duration_s,
            "bucketIds": [self._bucket_id(bucket)],
            "namePrefix": prefix or None,
        }
        made = self._call(what, "b2_create_key", body, _Key)
        endpoint = self._authorize().api_info.storage_api.s3_api_url
        until = made.expiration_timestamp
        return ScopedKey(
            credentials=make_credentials(
                made.application_key_id,
                made.application_key,
                endpoint=endpoint,
                region=None if "backblazeb2.com" in endpoint else self._credentials.region,
                origin="made for a while",
            ),
            bucket=bucket,
            prefix=prefix,
            capabilities=tuple(made.capabilities),
            expires=None if until is None else datetime.fromtimestamp(until / 1000, UTC),
            key_id=made.application_key_id,
        )

    def delete(self, key_id: str) -> None:
        """Make a key useless at once. Does nothing when there is none."""
        try:
            self._call("deleting a key", "b2_delete_key", {"applicationKeyId": key_id}, _Reply)
        except MissingError:
            return
        except RequestError as error:
            if error.failure.status != 400 or "not found" not in error.failure.message.lower():
                raise

    def _bucket_id(self, bucket: str) -> str:
        what = f"looking for b2://{bucket}"
        found = self._call(what, "b2_list_buckets", {"bucketName": bucket}, _Buckets)
        for one in found.buckets:
            if one.bucket_name == bucket:
                return one.bucket_id
        raise MissingError(what, Failure(status=404, code="NoSuchBucket"))

    def _authorize(self) -> _Authorization:
        if self._authorization is None:
            what = "opening the account"
            auth = (self._credentials.key_id, self._credentials.key)
            url = f"{self._api}/b2api/v4/b2_authorize_account"
            answer = self._retrier.call(what, lambda: self._web.send(what, "GET", url, auth=auth))
            self._authorization = _read(what, answer.content, _Authorization)
        return self._authorization

    def _call(self, what: str, name: str, body: dict[str, Any], model: type[M]) -> M:
        try:
            return self._call_once(what, name, body, model)
        except AccessError as error:
            if error.failure.code not in {"expired_auth_token", "bad_auth_token"}:
                raise
            self._authorization = None  # a token lasts a day
            return self._call_once(what, name, body, model)

    def _call_once(self, what: str, name: str, body: dict[str, Any], model: type[M]) -> M:
        account = self._authorize()
        url = f"{account.api_info.storage_api.api_url}/b2api/v4/{name}"
        whole = body if name == "b2_delete_key" else {"accountId": account.account_id} | body
        headers = {"Authorization": account.authorization_token}
        answer = self._retrier.call(what, lambda: self._web.send(what, "POST", url, headers=headers, json=whole))
        return _read(what, answer.content, model)


def account_service(credentials: Credentials) -> KeyService:
    """The service of the account that `credentials` belong to. Raises `CredentialsError` where there is none.

    `B2_API_URL` names another server that speaks the same API, for accounts elsewhere than at Backblaze.
    """
    other = os.environ.get(API_VARIABLE, "").strip()
    if other:
        parts = urlsplit(other)
        local = parts.scheme == "http" and parts.hostname in _THIS_MACHINE
        if not (parts.scheme == "https" or local) or not parts.hostname or parts.username or parts.query:
            raise CredentialsError(
                f"{API_VARIABLE} is no https:// address (http:// is for this machine alone); unset it"
            )
        return KeyService(credentials, api=other)
    if not credentials.endpoint.endswith(".backblazeb2.com"):
        raise CredentialsError(f"{credentials.endpoint} is not Backblaze B2, which alone makes keys for a while")
    return KeyService(credentials)


def _read(what: str, content: bytes, model: type[M]) -> M:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        wrong = ".".join(str(part) for part in error.errors()[0]["loc"])
        failure = Failure(status=200, message=f"the answer has no sound {wrong or 'content'}")
        raise RequestError(what, failure) from None  # the cause may quote a key
