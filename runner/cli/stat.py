"""`runner stat`: what is known about one object."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli.ls import describe
from runner.cli.output import date_text, one_line, print_json, print_rows, size_text


def stat(
    *,
    location: Annotated[
        str, typer.Argument(metavar="LOCATION", path_type=str, help="An object, a file or a web page.")
    ],
    version_id: Annotated[
        str | None, typer.Option("--version-id", metavar="ID", help="That version of it; `ls --versions` lists them.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show size, date, version and type of one object. Costs one Class B request.

    \b
    Examples:
      runner stat b2://bucket/clips/film.mp4
      runner stat https://example.com/film.mp4 --json
    """
    from runner.media import missing_input
    from storage.place import source_of
    from storage.uri import parse

    uri = parse(location)
    with missing_input():
        info = source_of(uri, version=version_id).info
    if json:
        print_json(describe(info, str(uri)) | {"key": _key(info.key, str(uri)), "content_type": info.content_type})
        return
    print(one_line(str(uri)))
    facts = {
        "size": f"{size_text(info.size_bytes)} ({info.size_bytes:,} bytes)",
        "modified": date_text(info.modified).strip(),
        "etag": info.etag,
        "version": info.version,
        "type": info.content_type,
    }
    print_rows([(name, one_line(value)) for name, value in facts.items() if value], indent="  ")


def _key(key: str, shown: str) -> str:
    """A web page's key is its URL, which may be signed: then what may be shown of it."""
    return shown if "://" in key else key
