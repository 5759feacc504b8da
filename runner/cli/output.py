"""What commands print: one JSON object or array, a table, a warning line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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
    print(f"runner: warning: {' '.join(message.split())}", file=sys.stderr)


def clock(seconds: float) -> str:
    """`0:01:30.500`: hours, minutes, seconds with milliseconds."""
    ticks = round(abs(seconds) * 1000)
    sign = "-" if seconds < 0 else ""
    return f"{sign}{ticks // 3_600_000}:{ticks // 60_000 % 60:02}:{ticks // 1000 % 60:02}.{ticks % 1000:03}"
