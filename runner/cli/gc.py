"""`runner gc`: find what is paid for and of no use, and remove it when asked to."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from runner.cli.output import date_text, one_line, print_json, size_text

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from runner.selection import Selection
    from storage.sweep import Litter

RUNS: Final = "runs/"
"""The folder in which each run has one of its own."""


class What(StrEnum):
    """Kinds of rubbish."""

    UPLOADS = "uploads"
    VERSIONS = "versions"
    RUNS = "runs"


def gc(
    *,
    location: Annotated[str, typer.Argument(metavar="LOCATION", path_type=str, help="A bucket, or a folder in one.")],
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what was found; without, it is only listed.")
    ] = False,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="Leave alone what is younger: 12h, 7d, 4w.")
    ] = "7d",
    only: Annotated[
        list[What] | None, typer.Option("--only", help="Look for that alone; may be given several times.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """List unfinished uploads, replaced and deleted versions, and old folders under runs/; remove them with --delete.

    All three are stored and billed, and the first two are in no ordinary listing. An upload that is under way looks
    like one that was left: --older-than must be longer than the longest job.

    \b
    Examples:
      runner gc b2://bucket
      runner gc b2://bucket --delete
      runner gc b2://bucket --only uploads --older-than 1d --delete
      runner gc b2://bucket/tests/ --only versions --older-than 0 --delete
    """
    from runner.cli.interrupt import run_interruptibly
    from runner.cli.times import parse_age
    from runner.selection import select

    seconds = parse_age(older_than, option="--older-than")
    age = timedelta(seconds=seconds) if seconds else timedelta.min  # the server's clock may be ahead of this one
    found, kinds = select(location), set(only or What)
    litter = list(_find(found, kinds, age))
    if delete:
        run_interruptibly(lambda stop: _remove(found, litter, stop), discard=lambda: None)
        marks = list(_find(found, kinds & {What.VERSIONS}, age))  # deletions hide nothing once the versions are gone
        run_interruptibly(lambda stop: _remove(found, marks, stop), discard=lambda: None)
        litter += marks
    if json:
        print_json({"deleted": delete, "found": [_describe(one, found) for one in litter]})
    else:
        _print(litter, found, delete=delete)


def _find(found: Selection, kinds: set[What], age: timedelta) -> Iterator[Litter]:
    from storage.sweep import find_folders, find_uploads, find_versions

    if What.UPLOADS in kinds:
        yield from (one for one in find_uploads(found.store, found.prefix, older_than=age) if found.accepts(one.key))
        yield from _unfinished_files(found, age)
    if What.VERSIONS in kinds:
        yield from (one for one in find_versions(found.store, found.prefix, older_than=age) if found.accepts(one.key))
    if What.RUNS in kinds:
        yield from find_folders(found.store, _runs_folder(found), older_than=age)


def _unfinished_files(found: Selection, age: timedelta) -> Iterator[Litter]:
    """What outputs and copies that were killed left on this machine."""
    import os
    from datetime import UTC, datetime

    from storage.folder import UNFINISHED, FolderStore
    from storage.sweep import Litter, LitterKind

    if not isinstance(found.store, FolderStore):
        return
    for folder, _, names in os.walk(found.store.root / found.prefix):
        for path in (Path(folder) / name for name in names if UNFINISHED.fullmatch(name)):
            facts = path.stat()
            since = datetime.fromtimestamp(facts.st_mtime, UTC)
            if datetime.now(UTC) - since >= age:
                key = path.relative_to(found.store.root).as_posix()
                yield Litter(kind=LitterKind.UPLOAD, key=key, id=None, since=since, size_bytes=facts.st_size)


def _runs_folder(found: Selection) -> str:
    folder = found.prefix if not found.prefix or found.prefix.endswith("/") else f"{found.prefix}/"
    return folder if folder.endswith(f"/{RUNS}") or folder == RUNS else folder + RUNS


def _remove(found: Selection, litter: Sequence[Litter], stop: threading.Event) -> None:
    from runner.errors import Interrupted
    from storage.pieces import do_all
    from storage.sweep import LitterKind, remove

    def work(number: int) -> None:
        if stop.is_set():
            raise Interrupted
        one = litter[number]
        if one.kind is LitterKind.UPLOAD and one.id is None:
            Path(found.locate(one.key)).unlink(missing_ok=True)
        else:
            remove(found.store, one)

    do_all(range(len(litter)), work, most=8)


def _describe(one: Litter, found: Selection) -> dict[str, Any]:
    return {
        "kind": one.kind.value,
        "location": found.locate(one.key),
        "id": one.id,
        "since": one.since.isoformat() if one.since is not None else None,
        "size_bytes": one.size_bytes,
    }


def _print(litter: Sequence[Litter], found: Selection, *, delete: bool) -> None:
    for one in litter:
        size = size_text(one.size_bytes)
        print(f"{size:>8}  {date_text(one.since)}  {one.kind.value:27}  {one_line(found.locate(one.key))}")
    total = size_text(sum(one.size_bytes for one in litter))
    count = f"{len(litter)} {'thing' if len(litter) == 1 else 'things'}, {total}"
    if not litter:
        print("nothing to remove")
    else:
        print(f"removed {count}" if delete else f"{count} could be removed; add --delete to do it")
