"""`runner ls`: what is in a bucket or a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli.output import date_text, one_line, print_json, size_text

if TYPE_CHECKING:
    from storage.store import ObjectInfo


def ls(
    *,
    location: Annotated[
        str, typer.Argument(metavar="LOCATION", path_type=str, help="An object, a folder, a bucket or a pattern.")
    ],
    versions: Annotated[
        bool, typer.Option("--versions", help="Also versions that were replaced or deleted, with their ids.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead of text.")] = False,
) -> None:
    """List objects with their size and date, those in folders included.

    A name means the object and the folder of that name. In a pattern, * and ? stop at a slash and ** does not;
    quote it, or the shell takes it. Listing costs one Class C request for every 1,000 objects.

    \b
    Examples:
      runner ls b2://bucket
      runner ls b2://bucket/clips/
      runner ls 'b2://bucket/clips/**/*.mp4' --json
      runner ls b2://bucket/clips/film.mp4 --versions
      runner ls 's3://bucket/clips/?endpoint=https://s3.example.com'
    """
    from runner.selection import select

    found = select(location)
    rows: list[dict[str, Any]] = []
    empty = True
    if versions:
        for one in found.versions():
            empty = False
            state = "deleted" if one.marker else "latest" if one.latest else "old"
            where = found.locate(one.info.key)
            if json:
                rows.append(describe(one.info, where) | {"latest": one.latest, "deleted": one.marker})
            else:
                print(f"{_row(one.info)}  {state:7}  {one.info.version or '-':32}  {one_line(where)}")
    else:
        for info in found.objects():
            empty = False
            where = found.locate(info.key)
            if json:
                rows.append(describe(info, where))
            else:
                print(f"{_row(info)}  {one_line(where)}")
    if empty and not found.may_be_empty:
        raise found.nothing()
    if json:
        print_json(rows)


def describe(info: ObjectInfo, location: str) -> dict[str, Any]:
    """One object as JSON."""
    return {
        "location": location,
        "key": info.key,
        "size_bytes": info.size_bytes,
        "modified": info.modified.isoformat() if info.modified is not None else None,
        "etag": info.etag,
        "version": info.version,
    }


def _row(info: ObjectInfo) -> str:
    return f"{size_text(info.size_bytes):>8}  {date_text(info.modified)}"
