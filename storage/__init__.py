"""Files and objects by their location: `clip.mp4`, `b2://bucket/clip.mp4`, `https://host/clip.mp4`.

    import storage

    for info in storage.list("b2://bucket/clips/"):
        print(info.key, info.size_bytes)
    storage.upload("clip.mp4", "b2://bucket/clips/")
    with storage.open("b2://bucket/clips/clip.mp4") as file:
        header = file.read(1024)

Every function takes `credentials`; without, `storage.credentials` says where they are looked for. All raise
`storage.errors.StorageError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from storage.credentials import Credentials
    from storage.outputs import Output
    from storage.pieces import OnProgress
    from storage.store import ObjectInfo
    from storage.uri import Uri

    Location = str | os.PathLike[str] | Uri


def list(  # noqa: A001  (called storage.list)
    location: Location, *, pattern: str | None = None, credentials: Credentials | None = None
) -> Iterator[ObjectInfo]:
    """Everything whose key begins with that of `location`, or that a folder on this machine has.

    `pattern` keeps the keys that match it below the last slash of the location: `*` and `?` stand for anything but
    a slash, `**` for anything.
    """
    from storage.pattern import matcher
    from storage.place import place_of

    place = place_of(_uri(location), credentials=credentials)
    prefix = place.key
    matches = matcher(prefix.rpartition("/")[0], pattern)
    return (info for info in place.store.list(prefix) if matches(info.key))


def stat(location: Location, *, version: str | None = None, credentials: Credentials | None = None) -> ObjectInfo:
    """What is known about one object. Raises `MissingError`."""
    from storage.place import source_of

    return source_of(_uri(location), version=version, credentials=credentials).info


def exists(location: Location, *, credentials: Credentials | None = None) -> bool:
    """Whether there is such an object. Raises where that cannot be found out: a wrong key is no absence."""
    from storage.errors import MissingError

    try:
        stat(location, credentials=credentials)
    except MissingError:
        return False
    return True


def copy(
    source: Location,
    target: Location,
    *,
    version: str | None = None,
    overwrite: bool = False,
    resume: bool = True,
    on_progress: OnProgress | None = None,
    check: Callable[[], object] | None = None,
    source_credentials: Credentials | None = None,
    target_credentials: Credentials | None = None,
) -> ObjectInfo:
    """Copy one object, from anywhere to anywhere but the web; into a folder, under its own name.

    The target appears once all of it is there. With `resume`, a copy that failed or was killed goes on where it
    stopped when it is called again with the same source and target. `on_progress(done_bytes, total_bytes)` is
    called from other threads, one at a time; `check()` again and again from this one, and what it raises ends the
    copy. Raises `OutputExistsError` when the target is there and `overwrite` is false, `SameFileError` when source
    and target are one.
    """
    from storage.journal import usable_journal
    from storage.place import place_of, source_of
    from storage.transfer import check_target, copy_object, target_of

    from_uri = _uri(source)
    to_uri = target_of(_uri(target), from_uri.name)
    found = source_of(from_uri, version=version, credentials=source_credentials)
    place = place_of(to_uri, credentials=target_credentials)
    check_target(found, place, overwrite=overwrite)
    journal = None
    if resume:
        journal = usable_journal(found.store.identify(found.info.key), place.store.identify(place.key))
    return copy_object(found, place, journal=journal, overwrite=overwrite, on_progress=on_progress, check=check)


def upload(
    path: str | os.PathLike[str],
    target: Location,
    *,
    overwrite: bool = False,
    resume: bool = True,
    on_progress: OnProgress | None = None,
    credentials: Credentials | None = None,
) -> ObjectInfo:
    """Copy the file `path` to `target`, as `copy` does."""
    from pathlib import Path

    from storage.uri import LocalUri

    return copy(
        LocalUri(Path(path)),
        target,
        overwrite=overwrite,
        resume=resume,
        on_progress=on_progress,
        target_credentials=credentials,
    )


def download(
    source: Location,
    path: str | os.PathLike[str],
    *,
    version: str | None = None,
    overwrite: bool = False,
    resume: bool = True,
    on_progress: OnProgress | None = None,
    credentials: Credentials | None = None,
) -> ObjectInfo:
    """Copy `source` to the file or folder `path`, as `copy` does."""
    from pathlib import Path

    from storage.uri import LocalUri

    return copy(
        source,
        LocalUri(Path(path)),
        version=version,
        overwrite=overwrite,
        resume=resume,
        on_progress=on_progress,
        source_credentials=credentials,
    )


def presign(location: Location, *, expires_s: int = 3600, credentials: Credentials | None = None) -> str:
    """A URL that lets whoever has it read the object, for `expires_s` (1 s to 7 days)."""
    from storage.grants import grant_reading
    from storage.place import place_of

    return grant_reading(place_of(_uri(location), credentials=credentials), expires_s=expires_s)


def delete(location: Location, *, version: str | None = None, credentials: Credentials | None = None) -> None:
    """Delete one version for good; without `version`, hide the object where versions are kept."""
    from storage.place import place_of

    place = place_of(_uri(location), credentials=credentials)
    place.store.delete(place.key, version=version)


def open(  # noqa: A001  (called storage.open)
    location: Location,
    mode: str = "rb",
    *,
    overwrite: bool = False,
    credentials: Credentials | None = None,
) -> AbstractContextManager[BinaryIO]:
    """A binary file for a `with` block: `rb` to read and seek, `wb` to write what appears when the block ends well.

    A `wb` file can be changed within its first megabytes after they were written, as muxers do.
    """
    if mode == "wb":
        return output(location, overwrite=overwrite, credentials=credentials)
    if mode != "rb":
        raise ValueError(f"mode is {mode!r}; allowed are 'rb' and 'wb'")
    from storage.reader import open_source

    return cast("AbstractContextManager[BinaryIO]", open_source(_uri(location), credentials=credentials))


def output(
    location: Location,
    *,
    overwrite: bool = False,
    head_bytes: int = 0,
    resume: str | None = None,
    credentials: Credentials | None = None,
) -> Output:
    """What `open(location, "wb")` gives, with `discard` for other threads.

    `head_bytes` is how far into the file the writer will go back; a reserve of zeros there is recognised by itself.
    `resume` says what is written, so that nothing else has the same text: what was sent of an output in a bucket is
    then kept after an exception or a kill (not after `discard`), and the next output to the same place with the same
    text sends only what is missing or differs. One with another text drops it.
    """
    from storage.errors import UriError
    from storage.uri import LocalUri, ObjectUri

    uri = _uri(location)
    if isinstance(uri, LocalUri):
        from storage.local import LocalOutput

        return LocalOutput(uri.path, overwrite=overwrite)
    from storage.outputs import ObjectOutput
    from storage.place import place_of

    if isinstance(uri, ObjectUri) and uri.folder:
        raise UriError(f"{uri} is a folder; give the output a name")
    place = place_of(uri, credentials=credentials)
    return ObjectOutput(place, overwrite=overwrite, head_bytes=head_bytes, resume=resume)


def check_writable(location: Location, *, credentials: Credentials | None = None) -> None:
    """That bytes can be stored at `location`, by beginning to: nothing appears there, and what is there stays.

    Raises what writing would raise at its start: a key without the right, no such bucket or folder, a quota.
    """
    from storage.uri import LocalUri

    uri = _uri(location)
    if isinstance(uri, LocalUri):
        from storage.local import LocalOutput

        tried = LocalOutput(uri.path, overwrite=True)
        try:
            tried.__enter__().write(b"\0")
        finally:
            tried.discard()
        return
    from storage.outputs import check_writable as check
    from storage.place import place_of

    check(place_of(uri, credentials=credentials))


def _uri(location: Location) -> Uri:
    import os

    from storage.uri import parse

    return parse(os.fspath(location) if isinstance(location, os.PathLike) else location)
