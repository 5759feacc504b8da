"""What a location on a command line means: one object, all of a folder, or those that match a pattern.

b2://bucket/clip.mp4        that object, and whatever is in a folder of that name
b2://bucket/clips/          everything in it
b2://bucket/clips/*.mp4     what matches: * and ? stop at a slash, ** does not, [ab] is one of these
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runner.errors import MissingInputError
from runner.media import missing_input
from storage.pattern import matcher
from storage.place import place_of
from storage.uri import LocalUri, ObjectUri, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from storage.store import ObjectInfo, ObjectStore, ObjectVersion

_PATTERN: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Some objects of one store."""

    given: str
    """As it was written."""
    uri: LocalUri | ObjectUri
    store: ObjectStore
    prefix: str
    """What all their keys begin with."""
    base: str
    """The folder that their names are relative to: beginning of every key, empty or with a slash at its end."""
    accepts: Callable[[str], bool]
    """Whether a key that begins with `prefix` is meant."""
    may_be_empty: bool = False
    """Whether it is a folder that is known to exist, or a whole bucket."""

    def locate(self, key: str) -> str:
        """The location of an object, as a command line takes it."""
        return str(self.uri.with_key(key)) if isinstance(self.uri, ObjectUri) else self.store.describe(key)

    def objects(self) -> Iterator[ObjectInfo]:
        """In the order of their keys. Raises `MissingInputError` when the bucket is missing."""
        with missing_input():
            yield from (info for info in self.store.list(self.prefix) if self.accepts(info.key))

    def versions(self) -> Iterator[ObjectVersion]:
        """Their whole history, by key."""
        with missing_input():
            yield from (one for one in self.store.list_versions(self.prefix) if self.accepts(one.info.key))

    def nothing(self) -> MissingInputError:
        """The error for a selection without an object."""
        return MissingInputError(f"{self.given}: nothing there; `runner ls` shows what is")


def select(location: str, *, exact: bool = False) -> Selection:
    """The selection that `location` means; with `exact`, the one object of that name, whatever letters it has.

    Raises `UriError`, and `UnsupportedError` for the web, which has no listing.
    """
    uri = parse(location)
    if isinstance(uri, LocalUri):
        return _exactly(location, uri) if exact else _local(location, uri)
    place = place_of(uri)
    assert isinstance(uri, ObjectUri)
    if exact:
        return _exactly(location, uri)
    found = _PATTERN.search(place.key)
    if found:
        return _matching(location, uri, place.store, place.key, found.start())
    return _below(location, uri, place.store, place.key, may_be_empty=not place.key)


def _local(given: str, uri: LocalUri) -> Selection:
    path = uri.path
    found = _PATTERN.search(os.fspath(path))
    if found and not os.path.lexists(path):
        anchor = "/" if path.is_absolute() else "."
        key = os.fspath(path).lstrip("/")
        return _matching(given, uri, _folder(anchor), key, found.start() - len(os.fspath(path)) + len(key))
    if path.is_dir() and (uri.folder or path.name in {"", ".."}):
        return _below(given, uri, _folder(path), "", may_be_empty=True)
    return _below(given, uri, _folder(path.parent), path.name, may_be_empty=path.is_dir())


def _folder(path: str | Path) -> ObjectStore:
    from storage.folder import FolderStore

    return FolderStore(path)


def _below(given: str, uri: LocalUri | ObjectUri, store: ObjectStore, key: str, *, may_be_empty: bool) -> Selection:
    """An object, and what is in a folder of its name."""
    folder = key if not key or key.endswith("/") else f"{key}/"
    return Selection(
        given=given,
        uri=uri,
        store=store,
        prefix=key,
        base=key[: key.rfind("/") + 1],
        accepts=lambda name: name == key or name.startswith(folder),
        may_be_empty=may_be_empty,
    )


def _matching(given: str, uri: LocalUri | ObjectUri, store: ObjectStore, key: str, first: int) -> Selection:
    """What matches the pattern `key`, whose first special letter is at `first`."""
    base = key[: key.rfind("/", 0, first) + 1]
    return Selection(
        given=given,
        uri=uri,
        store=store,
        prefix=key[:first],
        base=base,
        accepts=matcher("", key),
    )


def _exactly(given: str, uri: LocalUri | ObjectUri) -> Selection:
    if isinstance(uri, LocalUri):
        store, key = _folder(uri.path.parent), uri.path.name
    else:
        place = place_of(uri)
        store, key = place.store, place.key
    return Selection(
        given=given,
        uri=uri,
        store=store,
        prefix=key,
        base=key[: key.rfind("/") + 1],
        accepts=lambda name: name == key,
    )
