"""From a location to the store that has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.errors import Failure, MissingError, UnsupportedError
from storage.uri import LocalUri, ObjectUri, Uri, WebUri, parse

if TYPE_CHECKING:
    from pathlib import Path

    from storage.credentials import Credentials
    from storage.retry import Retrier
    from storage.store import ObjectInfo, ObjectStore, ReadableStore


@dataclass(frozen=True, slots=True)
class Place:
    """A store that can be written, and a key or prefix in it."""

    store: ObjectStore
    key: str


@dataclass(frozen=True, slots=True)
class Source:
    """Something to read: a store and one version of one object."""

    store: ReadableStore
    info: ObjectInfo


def place_of(
    location: str | Path | Uri, *, credentials: Credentials | None = None, retrier: Retrier | None = None
) -> Place:
    """The store of a path, `b2://` or `s3://` location. Raises `UnsupportedError` for the web, which is for reading.

    Without `credentials`, they are looked for as `storage.credentials` says.
    """
    uri = parse(location)
    match uri:
        case LocalUri():
            from storage.folder import FolderStore

            if uri.folder or uri.path.is_dir():
                return Place(FolderStore(uri.path), "")
            return Place(FolderStore(uri.path.parent), uri.path.name)
        case ObjectUri():
            from storage.b2 import B2Store
            from storage.credentials import find_credentials

            found = credentials or find_credentials(uri.scheme, endpoint=uri.endpoint, region=uri.region)
            return Place(B2Store(uri.bucket, found, scheme=uri.scheme, retrier=retrier), uri.key)
        case WebUri():
            raise UnsupportedError(f"{uri} is on the web, which can only be read; write to a path or b2://bucket/key")


def source_of(
    location: str | Path | Uri,
    *,
    version: str | None = None,
    credentials: Credentials | None = None,
    retrier: Retrier | None = None,
) -> Source:
    """What `location` holds now, or its `version`. Raises `MissingError` and what `head` raises."""
    uri = parse(location)
    if isinstance(uri, WebUri):
        from storage.http import WebStore

        store = WebStore(retrier=retrier)
        return Source(store, store.head(uri.url, version=version))
    place = place_of(uri, credentials=credentials, retrier=retrier)
    if not place.key:
        failure = Failure(status=404, message="it is a folder, and one file was asked for")
        raise MissingError(f"looking at {uri}", failure)
    return Source(place.store, place.store.head(place.key, version=version))
