"""Times on the command line, as FFmpeg writes them."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from runner.errors import UsageError

_CLOCK: Final = re.compile(r"(?:(?:(?P<h>\d+):)?(?P<m>[0-5]?\d):)?(?P<s>\d+(?:\.\d*)?|\.\d+)(?P<unit>s|ms|us)?")
_UNITS: Final = {None: Fraction(1), "s": Fraction(1), "ms": Fraction(1, 1000), "us": Fraction(1, 10**6)}


def parse_time(text: str | None, *, option: str) -> Fraction | None:
    """Exact seconds from `90`, `90.5`, `1:30`, `00:01:30.5` or `1500ms`; None stays None.

    Raises `UsageError` naming `option`.
    """
    if text is None:
        return None
    match = _CLOCK.fullmatch(text.strip())
    if match is None or (match["m"] and (match["unit"] or Fraction(match["s"]) >= 60)):
        raise UsageError(f"{option} {text}: not a time; write seconds (90.5), minutes (1:30) or hours (00:01:30.5)")
    hours, minutes = int(match["h"] or 0), int(match["m"] or 0)
    return 3600 * hours + 60 * minutes + Fraction(match["s"].rstrip(".")) * _UNITS[match["unit"]]


def parse_length(text: str | None, *, option: str) -> Fraction | None:
    """As `parse_time`, but more than nothing."""
    seconds = parse_time(text, option=option)
    if seconds is not None and seconds <= 0:
        raise UsageError(f"{option} {text}: must be more than 0")
    return seconds


_AGES: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_age(text: str, *, option: str) -> int:
    """Whole seconds from `90`, `90s`, `15m`, `12h`, `7d` or `2w`. Raises `UsageError` naming `option`."""
    match = re.fullmatch(r"(\d{1,9})([smhdw]?)", text.strip())
    if match is None:
        raise UsageError(f"{option} {text}: not a length of time; write 90s, 15m, 12h, 7d or 2w")
    return int(match[1]) * _AGES[match[2]]
