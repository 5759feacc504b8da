"""The key to a bucket: from the caller, the environment or a file, in this order, checked before it is used.

    explicit  >  B2_APPLICATION_KEY_ID, B2_APPLICATION_KEY, B2_REGION or B2_ENDPOINT
              >  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL
              >  the file that FRAMEHAUL_CONFIG names, else ~/.config/framehaul/storage.toml

A role that the machine itself may have with a cloud, and the profiles of other tools, are never used.
The file: `[storage]` with `key_id`, `key`, and `region` or `endpoint`; readable by its owner alone.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from storage.errors import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_B2_HOST: Final = re.compile(r"s3\.([a-z0-9-]+)\.backblazeb2\.com")
_REGION: Final = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
_PLAIN: Final = re.compile(r"[!-~]+")
"""Printable ASCII without spaces: what a header can carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A key, its secret and where they are valid. Never shows the secret; shows four characters of the id."""

    key_id: str = field(repr=False)
    key: str = field(repr=False)
    region: str
    """The one that requests are signed for."""
    endpoint: str
    """`https://host`."""
    origin: str = "given"
    """Where it was found, for messages."""

    def __repr__(self) -> str:
        return f"Credentials({self.key_id[:4]}..., {self.endpoint}, from {self.origin})"

    def __str__(self) -> str:
        return repr(self)


@dataclass(frozen=True, slots=True)
class _Names:
    """How the four facts are called in one place they may come from."""

    key_id: str
    key: str
    region: tuple[str, ...]
    endpoint: tuple[str, ...]


_B2: Final = _Names("B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY", ("B2_REGION",), ("B2_ENDPOINT",))
_AWS: Final = _Names(
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    ("AWS_REGION", "AWS_DEFAULT_REGION"),
    ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
)
_FILE: Final = _Names("key_id", "key", ("region",), ("endpoint",))


def find_credentials(
    scheme: str = "b2",
    *,
    endpoint: str | None = None,
    region: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Credentials:
    """The first complete set of the table above for a `b2://` or `s3://` location.

    `endpoint` and `region` are those of the location itself and come before any other. Raises `CredentialsError`
    that names the variable which is missing or malformed.
    """
    values = os.environ if environment is None else environment
    for names in (_B2, _AWS):
        if values.get(names.key_id) or values.get(names.key):
            return _read(values, names, endpoint, region, names.key_id)
    path = config_path(values)
    settings = _config(path)
    if settings:
        return _read(settings, _FILE, endpoint, region, str(path))
    raise CredentialsError(
        f"no key for {scheme}://: set {_B2.key_id}, {_B2.key} and {_B2.region[0]}, or write them into {path}"
    )


def make_credentials(
    key_id: str, key: str, *, region: str | None = None, endpoint: str | None = None, origin: str = "given"
) -> Credentials:
    """Credentials from what the caller has; region and endpoint of B2 follow from each other.

    Raises `CredentialsError` for what cannot be one.
    """
    values = {"key_id": key_id, "key": key, "region": region or "", "endpoint": endpoint or ""}
    return _read(values, _FILE, None, None, origin)


def config_path(environment: Mapping[str, str] | None = None) -> Path:
    """Where the file is, whether it exists or not."""
    values = os.environ if environment is None else environment
    if values.get("FRAMEHAUL_CONFIG"):
        return Path(values["FRAMEHAUL_CONFIG"])
    base = values.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "framehaul" / "storage.toml"


def _read(
    values: Mapping[str, str], names: _Names, endpoint: str | None, region: str | None, origin: str
) -> Credentials:
    for name in (names.key_id, names.key):
        value = values.get(name, "")
        if not value:
            raise CredentialsError(f"{name} is not set, but the other half of the key is ({origin}); set both")
        if not _PLAIN.fullmatch(value):
            raise CredentialsError(f"{name} has a space, a line break or a letter that no key has; copy it again")
    url = endpoint or _first(values, names.endpoint)
    where = region or _first(values, names.region)
    if url and "://" not in url:
        url = f"https://{url}"
    if url:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise CredentialsError(f"{names.endpoint[0]} is no endpoint; write https://s3.us-west-004.backblazeb2.com")
        known = _B2_HOST.fullmatch(parts.hostname)
        if known and where not in {"", known[1]} and not endpoint and not region:
            raise CredentialsError(f"{names.region[0]} is {where}, but {names.endpoint[0]} is in {known[1]}; unset one")
        where = known[1] if known else where or "us-east-1"
    if not where:
        raise CredentialsError(f"{names.region[0]} is not set; it is in the bucket's endpoint, such as us-west-004")
    if not _REGION.fullmatch(where):
        raise CredentialsError(f"{names.region[0]} is no region; write it as in the endpoint, such as us-west-004")
    url = url or f"https://s3.{where}.backblazeb2.com"
    return Credentials(
        key_id=values[names.key_id], key=values[names.key], region=where, endpoint=url.rstrip("/"), origin=origin
    )


def _first(values: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((values[name] for name in names if values.get(name)), "")


def _config(path: Path) -> dict[str, str]:
    """The `[storage]` table of the file; empty without a file."""
    try:
        found = path.stat()
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no UTF-8'}") from error
    if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
        raise CredentialsError(f"{path} holds a key and others may read it; chmod 600 it")
    try:
        table = tomllib.loads(text).get("storage", {})
    except tomllib.TOMLDecodeError:
        raise CredentialsError(f"{path} is no TOML file") from None  # the cause may quote the key
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise CredentialsError(f'{path}: [storage] holds key_id, key, and region or endpoint, each as "text"')
    return table
