"""`runner presign`: a URL that lets others read one object for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from runner.cli.output import print_json
from runner.errors import UsageError


def presign(
    *,
    location: Annotated[str, typer.Argument(metavar="LOCATION", path_type=str, help="An object in a bucket.")],
    expires: Annotated[
        str, typer.Option("--expires", metavar="TIME", help="How long it works: 90s, 15m, 12h, up to 7d.")
    ] = "1h",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the URL.")] = False,
) -> None:
    """Print a URL that lets whoever has it read the object, without a key, until it expires.

    It cannot be taken back before that, except by deleting the key it was signed with.

    \b
    Examples:
      runner presign b2://bucket/clips/film.mp4
      runner presign b2://bucket/clips/film.mp4 --expires 7d
      runner probe "$(runner presign b2://bucket/clips/film.mp4)"
    """
    from runner.cli.times import parse_age
    from runner.media import missing_input
    from storage.grants import grant_reading
    from storage.place import place_of
    from storage.store import MAX_PRESIGN_S

    seconds = parse_age(expires, option="--expires")
    if not 1 <= seconds <= MAX_PRESIGN_S:
        raise UsageError(f"--expires {expires}: must be 1s to 7d")
    place = place_of(location)
    with missing_input():
        place.store.head(place.key)
    url = grant_reading(place, expires_s=seconds)
    if json:
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        print_json({"location": location, "url": url, "expires": until.isoformat(timespec="seconds")})
    else:
        print(url)
