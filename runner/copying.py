"""Copying objects between any two stores: what is to be copied where, and doing it."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Final

from runner.errors import Interrupted, UsageError
from runner.media import missing_input
from runner.selection import select
from storage.errors import MissingError, OutputExistsError, OutputFolderError, SameFileError
from storage.folder import FolderStore
from storage.journal import usable_journal
from storage.local import check_distinct
from storage.parts import PART_BYTES
from storage.pieces import do_all
from storage.place import Place, Source, place_of, source_of
from storage.transfer import copy_object, target_of
from storage.uri import LocalUri, ObjectUri, Uri, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from runner.uploads import OpenUploads
    from storage.store import ObjectInfo

SMALL_AT_A_TIME: Final = 6
"""Objects of one part; larger ones are copied one after another, in several parts at a time."""
WINDOW_S: Final = 5.0
"""Over which the speed is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One object to be copied."""

    source: Source
    target: Place
    source_name: str
    target_name: str
    exists: ObjectInfo | None
    """What the target is now."""
    makes_folders: bool = False

    @property
    def is_done(self) -> bool:
        """Whether the target looks like a copy of the source: as large and not older."""
        old, new = self.exists, self.source.info
        if old is None or old.size_bytes != new.size_bytes:
            return False
        return old.modified is None or new.modified is None or old.modified >= new.modified

    def journal(self) -> Path | None:
        """Where the copy notes what it has done; None where nothing can be noted."""
        return usable_journal(
            self.source.store.identify(self.source.info.key), self.target.store.identify(self.target.key)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How far a transfer is."""

    done_bytes: int
    total_bytes: int
    bytes_per_s: float

    @property
    def eta_s(self) -> float | None:
        return (self.total_bytes - self.done_bytes) / self.bytes_per_s if self.bytes_per_s > 0 else None


def plan_copies(sources: Sequence[str], target: str, *, recursive: bool, version: str | None = None) -> list[Copy]:
    """What a command line asks to be copied. Raises `UsageError`, `MissingInputError` and what `storage` raises."""
    goal = parse(target)
    if recursive:
        made = [copy for source in sources for copy in _below(source, goal)]
    else:
        if len(sources) > 1 and not _is_folder(goal):
            raise UsageError(f"{goal}: several sources need a folder as target; end it with /")
        made = [_one(source, goal, version) for source in sources]
    names: set[str] = set()
    for copy in made:
        if copy.target_name in names:
            raise UsageError(f"two sources would both become {copy.target_name}; copy them to different folders")
        names.add(copy.target_name)
        _check_different(copy)
    return made


def check_free(copies: Sequence[Copy]) -> None:
    """Raises `OutputExistsError` when a target is there."""
    taken = [copy.target_name for copy in copies if copy.exists is not None]
    if len(taken) == 1:
        raise OutputExistsError(f"{taken[0]} already exists; add -y to replace it")
    if taken:
        count = f"{len(taken)} of {len(copies)} targets exist already, the first is {taken[0]}"
        raise OutputExistsError(f"{count}; add -y to replace them or --update to keep those that are copied")


def copy_all(
    copies: Sequence[Copy],
    *,
    overwrite: bool,
    uploads: OpenUploads | None,
    stop: threading.Event,
    on_progress: Callable[[Amount], object],
) -> list[ObjectInfo]:
    """Copy them; what each target then is. Several small ones run at a time. Raises the first error.

    With `uploads`, which knows those under way, nothing of a copy that fails is kept. Without, the next copy of the
    same object goes on with what is there.
    """
    gauge = _Gauge(sum(copy.source.info.size_bytes for copy in copies), on_progress, stop)
    results: dict[int, ObjectInfo] = {}

    def work(number: int) -> None:
        copy = copies[number]
        gauge.check()
        if copy.makes_folders and isinstance(copy.target.store, FolderStore):
            _make_parents(copy.target.store.root / copy.target.key)
        results[number] = copy_object(
            copy.source,
            uploads.watch(copy.target) if uploads is not None else copy.target,
            journal=copy.journal() if uploads is None else None,
            overwrite=overwrite,
            on_progress=gauge.part(number),
        )

    small = [n for n, copy in enumerate(copies) if copy.source.info.size_bytes <= PART_BYTES]
    do_all(small, work, most=SMALL_AT_A_TIME)
    for number in sorted(set(range(len(copies))) - set(small)):
        work(number)
    return [results[number] for number in range(len(copies))]


class _Gauge:
    """Adds up the progress of several copies."""

    def __init__(self, total_bytes: int, on_progress: Callable[[Amount], object], stop: threading.Event) -> None:
        self._total_bytes = total_bytes
        self._on_progress = on_progress
        self._stop = stop
        self._done: dict[int, int] = {}
        self._done_bytes = 0
        self._seen: deque[tuple[float, int]] = deque([(monotonic(), 0)])
        self._lock = threading.Lock()

    def check(self) -> None:
        if self._stop.is_set():
            raise Interrupted

    def part(self, number: int) -> Callable[[int, int], None]:
        """What the copy `number` calls."""

        def on_progress(done_bytes: int, _total_bytes: int) -> None:
            self.check()
            with self._lock:
                self._done_bytes += done_bytes - self._done.get(number, 0)
                self._done[number] = done_bytes
                now = monotonic()
                self._seen.append((now, self._done_bytes))
                while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_S:
                    self._seen.popleft()
                began, before = self._seen[0]
                speed = (self._done_bytes - before) / (now - began) if now > began else 0.0
                self._on_progress(Amount(done_bytes=self._done_bytes, total_bytes=self._total_bytes, bytes_per_s=speed))

        return on_progress


def _one(source: str, goal: Uri, version: str | None) -> Copy:
    uri = parse(source)
    if (isinstance(uri, ObjectUri) and uri.folder) or (isinstance(uri, LocalUri) and uri.path.is_dir()):
        raise UsageError(f"{uri} is a folder; add -r to copy what is in it")
    if not uri.name and _is_folder(goal):
        raise UsageError(f"{uri} has no name of its own; say what {goal} is to be called")
    with missing_input():
        found = source_of(uri, version=version)
    target = target_of(goal, uri.name)
    place = _place(target)
    return Copy(
        source=found,
        target=place,
        source_name=str(uri),
        target_name=str(target),
        exists=_look(place),
    )


def _below(source: str, goal: Uri) -> Iterator[Copy]:
    """Copies of all that `source` selects, under their names in it."""
    found = select(source)
    # Some tools make empty objects for folders.
    chosen = [info for info in found.objects() if info.size_bytes or not info.key.endswith("/")]
    if not chosen:
        raise found.nothing()
    folder = replace(goal, key=f"{goal.key}/") if isinstance(goal, ObjectUri) and not goal.folder else goal
    place = _folder_place(folder)
    existing = {info.key: info for info in place.store.list(place.key)} if isinstance(folder, ObjectUri) else None
    for info in chosen:
        key = place.key + info.key[len(found.base) :]
        target = Place(place.store, key)
        yield Copy(
            source=Source(found.store, info),
            target=target,
            source_name=found.locate(info.key),
            target_name=str(folder.with_key(key)) if isinstance(folder, ObjectUri) else place.store.describe(key),
            exists=_look(target) if existing is None else existing.get(key),
            makes_folders=True,
        )


def _is_folder(uri: Uri) -> bool:
    if isinstance(uri, LocalUri):
        return uri.folder or uri.path.is_dir()
    return isinstance(uri, ObjectUri) and uri.folder


def _folder_place(uri: Uri) -> Place:
    return Place(FolderStore(uri.path), "") if isinstance(uri, LocalUri) else place_of(uri)


def _place(uri: Uri) -> Place:
    return Place(FolderStore(uri.path.parent), uri.path.name) if isinstance(uri, LocalUri) else place_of(uri)


def _look(place: Place) -> ObjectInfo | None:
    """What is at a target. For a folder also the check that its files may have such names."""
    try:
        return place.store.head(place.key)
    except MissingError:
        return None


def _check_different(copy: Copy) -> None:
    first, second = copy.source, copy.target
    if isinstance(first.store, FolderStore) and isinstance(second.store, FolderStore):
        check_distinct(first.store.root / first.info.key, second.store.root / second.key)
    elif first.store.identify(first.info.key) == second.store.identify(second.key):
        raise SameFileError(f"{copy.source_name} is both source and target; give the target another name")


def _make_parents(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputFolderError(f"{path.parent} cannot be made: {reason}; write to another folder") from error
