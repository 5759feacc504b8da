"""What commands print: one JSON object or array, a table, a warning line."""

from __future__ import annotations

import sys
from datetime import UTC
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime


def print_json(value: object) -> None:
    """`value` as indented JSON on standard output; the only thing a command prints there under `--json`."""
    import json

    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_rows(rows: Iterable[Sequence[str]], *, indent: str = "") -> None:
    """`rows` in aligned columns; the last column is as long as it likes."""
    kept = [tuple(row) for row in rows]
    count = max((len(row) for row in kept), default=0)
    widths = [max((len(row[i]) for row in kept if len(row) > i + 1), default=0) for i in range(count)]
    for row in kept:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        print((indent + "  ".join([*cells, *row[-1:]])).rstrip())


def warn(message: str) -> None:
    """One warning line on standard error."""
    print(f"runner: warning: {one_line(' '.join(message.split()))}", file=sys.stderr)


def size_text(size_bytes: float) -> str:
    """`7.8 MB`: decimal units, as storage is sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 999.5 or unit == "GB":
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 99.95 else f"{size_bytes:.1f} {unit}"


def date_text(when: datetime | None) -> str:
    """`2026-11-22 11:30:05Z`, or as many blanks."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if when is not None else " " * 20


def one_line(text: str) -> str:
    """`text` without what a terminal would obey: keys may hold line breaks and escape sequences."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def clock(seconds: float) -> str:
    """`0:01:30.500`: hours, minutes, seconds with milliseconds."""
    ticks = round(abs(seconds) * 1000)
    sign = "-" if seconds < 0 else ""
    return f"{sign}{ticks // 3_600_000}:{ticks // 60_000 % 60:02}:{ticks // 1000 % 60:02}.{ticks % 1000:03}"
