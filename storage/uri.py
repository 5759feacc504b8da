"""Where something is: a path, an object in a bucket, or a page on the web.

    clip.mp4    /data/clip.mp4    file:///data/a%20clip.mp4
    b2://bucket/folder/clip.mp4
    s3://bucket/folder/clip.mp4?endpoint=http://127.0.0.1:9000&region=us-west-004
    https://host/clip.mp4                                                            (reading only)

Keys are written as they are, without percent signs for anything: `b2://bucket/my clip + more.mp4`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from storage.errors import UriError

MAX_KEY_BYTES: Final = 1024
"""UTF-8 bytes of an object's key, in S3 and in B2."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9]")
_OPTIONS: Final = frozenset({"endpoint", "region"})
_SECRET_PARAMETERS: Final = re.compile(r"signature|credential|token|key|secret|auth|sig|password", re.IGNORECASE)


class _Named:
    """What every location has."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The last part: `clip.mp4`."""
        raise NotImplementedError

    @property
    def stem(self) -> str:
        """The name without its ending: `clip`."""
        return Path(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending with its dot: `.mp4`."""
        return Path(self.name).suffix


@dataclass(frozen=True, slots=True)
class LocalUri(_Named):
    """A file or folder on this machine."""

    path: Path
    folder: bool = False
    """Whether it was written as a folder, with a slash at its end."""

    def __str__(self) -> str:
        text = str(self.path)  # without "//", so never taken for a URL
        return text + ("/" if self.folder and not text.endswith("/") else "")

    @property
    def name(self) -> str:
        return self.path.name

    def child(self, name: str) -> LocalUri:
        """What is called `name` in this folder."""
        return LocalUri(self.path / name)


@dataclass(frozen=True, slots=True)
class ObjectUri(_Named):
    """An object of a bucket, or everything whose key begins with `key`."""

    scheme: str
    """`b2` or `s3`."""
    bucket: str
    key: str = ""
    endpoint: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        shown = {"endpoint": self.endpoint, "region": self.region}
        options = "&".join(f"{name}={quote(value, safe=':/')}" for name, value in shown.items() if value)
        if options:
            options = f"?{options}"
        elif self.scheme == "s3" and _split_options(self.key) != (self.key, {}):
            options = "?"
        return f"{self.scheme}://{self.bucket}/{self.key}{options}"

    @property
    def name(self) -> str:
        return self.key.rstrip("/").rpartition("/")[2]

    @property
    def folder(self) -> bool:
        """Whether it stands for what begins with it rather than for one object."""
        return not self.key or self.key.endswith("/")

    def child(self, name: str) -> ObjectUri:
        """What is called `name` in this folder."""
        return replace(self, key=self.key + ("" if self.folder else "/") + name)

    def with_key(self, key: str) -> ObjectUri:
        return replace(self, key=key)


@dataclass(frozen=True, slots=True)
class WebUri(_Named):
    """Something to read by HTTP. `url` may carry a signature; `str()` and `repr()` never do."""

    url: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        query = parts.query
        if _SECRET_PARAMETERS.search(query):
            query = "..."
        return urlunsplit((parts.scheme, host, parts.path, query, ""))

    def __repr__(self) -> str:
        return f"WebUri({str(self)!r})"

    @property
    def name(self) -> str:
        return unquote(urlsplit(self.url).path).rstrip("/").rpartition("/")[2]


Uri = LocalUri | ObjectUri | WebUri


def parse(text: str | Path | Uri) -> Uri:
    """The location that `text` names; `parse(str(uri)) == uri` for all that carry no secret.

    Raises `UriError` for an unknown scheme, a bucket that cannot exist, a key that is too long.
    """
    if isinstance(text, (LocalUri, ObjectUri, WebUri)):
        return text
    if isinstance(text, Path):
        return LocalUri(text)
    if not text or "\0" in text:
        raise UriError("an empty location was given; give a path or a URL such as b2://bucket/clip.mp4")
    found = _SCHEME.match(text)
    if found is None:
        return LocalUri(Path(text), folder=text.endswith("/"))
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme in {"b2", "s3"}:
        return _object(scheme, rest, text)
    if scheme == "file":
        return _file(rest, text)
    if scheme in {"http", "https"}:
        return _web(text)
    raise UriError(f"{scheme}:// is not known; use a path, file://, b2://, s3://, http:// or https://")


def _file(rest: str, text: str) -> LocalUri:
    host, slash, path = rest.partition("/")
    if host not in {"", "localhost"} or not slash:
        raise UriError(f"{text} names another machine; write file:///path/to/file")
    path = unquote(f"/{path}")
    return LocalUri(Path(path), folder=path.endswith("/"))


def _web(text: str) -> WebUri:
    try:
        host = urlsplit(text).hostname
    except ValueError:
        host = None
    if not host:
        raise UriError(f"{text.partition('://')[0]}:// needs a host; write https://host/clip.mp4")
    return WebUri(text)


def _object(scheme: str, rest: str, text: str) -> ObjectUri:
    key, options = _split_options(rest) if scheme == "s3" else (rest, {})
    bucket, _, key = key.partition("/")
    if not _BUCKET.fullmatch(bucket):
        shown = bucket or "no bucket"
        raise UriError(f"{shown} is no bucket's name; write {scheme}://bucket/key (3 to 63 letters, digits, - and .)")
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise UriError(f"the key in {text[:60]}... is too long; at most {MAX_KEY_BYTES} bytes are allowed")
    endpoint = options.get("endpoint")
    if endpoint is not None:
        _check_endpoint(endpoint)
    return ObjectUri(scheme, bucket, key, endpoint, options.get("region"))


def _split_options(rest: str) -> tuple[str, dict[str, str]]:
    """Key and options of an `s3://` location. A lone `?` at the end says that there are none."""
    head, mark, tail = rest.rpartition("?")
    if not mark:
        return rest, {}
    if not tail:
        return head, {}
    pairs = parse_qsl(tail, keep_blank_values=True)
    options = dict(pairs)
    if pairs and len(options) == len(pairs) == tail.count("&") + 1 and options.keys() <= _OPTIONS:
        return head, options
    return rest, {}


def _check_endpoint(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        sound = parts.scheme in {"http", "https"} and parts.hostname and not parts.username and not parts.query
    except ValueError:
        sound = False
    if not sound:
        raise UriError("the endpoint must be http:// or https:// and a host, without user name or options")
