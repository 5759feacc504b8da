"""`runner rm`: delete objects, or versions of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from runner.cli.output import one_line, print_json, size_text
from runner.errors import UsageError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from runner.selection import Selection
    from storage.store import ObjectStore


class _Victim(NamedTuple):
    """One thing to delete."""

    store: ObjectStore
    key: str
    version: str | None
    """None for what is visible."""
    location: str
    size_bytes: int


def rm(
    *,
    locations: Annotated[
        list[str],
        typer.Argument(metavar="LOCATION", path_type=str, help="Objects or files; with -r also folders."),
    ],
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Delete all of a folder, or all that matches a pattern.")
    ] = False,
    version_id: Annotated[
        str | None, typer.Option("--version-id", metavar="ID", help="Delete that version for good, and no other.")
    ] = None,
    all_versions: Annotated[bool, typer.Option("--all-versions", help="Delete every version for good.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Delete objects.

    Where a bucket keeps versions, as all of B2 do, a plain delete hides the object: its versions stay and are
    paid for until --all-versions, --version-id or `runner gc` removes them.

    \b
    Examples:
      runner rm b2://bucket/clips/film.mp4
      runner rm b2://bucket/clips/film.mp4 --version-id 4_z27c88f...
      runner rm -r 'b2://bucket/tests/*.mkv'
      runner rm -r b2://bucket/tests/ --all-versions -y
    """
    from runner.cli.interrupt import run_interruptibly

    if version_id is not None and (recursive or all_versions or len(locations) > 1):
        raise UsageError("--version-id is for one LOCATION, without -r and --all-versions")
    victims = [
        victim
        for location in locations
        for victim in _find(location, recursive=recursive, version=version_id, all_versions=all_versions)
    ]
    if (recursive or all_versions) and not yes and not _confirm(victims):
        raise UsageError("nothing was deleted")
    run_interruptibly(lambda stop: _delete(victims, stop), discard=lambda: None)
    if json:
        rows = [{"location": one.location, "version": one.version, "size_bytes": one.size_bytes} for one in victims]
        print_json({"deleted": rows})
    elif not quiet:
        print(f"deleted {_amount(victims)}")


def _find(location: str, *, recursive: bool, version: str | None, all_versions: bool) -> list[_Victim]:
    from runner.media import missing_input
    from runner.selection import select

    found = select(location, exact=not recursive)
    if all_versions:
        victims = list(_versions(found))
    elif recursive:
        victims = [
            _Victim(found.store, info.key, None, found.locate(info.key), info.size_bytes) for info in found.objects()
        ]
    else:
        if not found.prefix or found.prefix.endswith("/"):
            raise UsageError(f"{location} is a folder; add -r to delete what is in it")
        with missing_input():
            info = found.store.head(found.prefix, version=version)
        victims = [_Victim(found.store, info.key, version, found.locate(info.key), info.size_bytes)]
    if not victims:
        raise found.nothing()
    return victims


def _versions(found: Selection) -> Iterator[_Victim]:
    """The oldest of each key first: an interrupted deletion never brings an old version back to light."""
    from itertools import groupby

    for key, group in groupby(found.versions(), key=lambda one: one.info.key):
        for one in reversed(list(group)):
            yield _Victim(found.store, key, one.info.version, found.locate(key), one.info.size_bytes)


def _confirm(victims: Sequence[_Victim]) -> bool:
    """Whether the user says yes; someone must be there to say it."""
    if not sys.stdin.isatty():
        raise UsageError(f"this would delete {_amount(victims)}; add -y to do it")
    print(f"Delete {_amount(victims)}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _delete(victims: Sequence[_Victim], stop: threading.Event) -> None:
    from itertools import groupby

    from runner.errors import Interrupted
    from storage.pieces import do_all

    keys = [list(group) for _, group in groupby(victims, key=lambda one: (id(one.store), one.key))]

    def work(number: int) -> None:
        for one in keys[number]:
            if stop.is_set():
                raise Interrupted
            one.store.delete(one.key, version=one.version)

    do_all(range(len(keys)), work, most=8)


def _amount(victims: Sequence[_Victim]) -> str:
    if len(victims) == 1:
        return f"{one_line(victims[0].location)}, {size_text(victims[0].size_bytes)}"
    return f"{len(victims)} objects, {size_text(sum(one.size_bytes for one in victims))}"
