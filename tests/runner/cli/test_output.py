"""Sizes, dates and names as commands print them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from runner.cli.cp import progress_line
from runner.cli.output import date_text, one_line, size_text
from runner.copying import Amount


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (99_951, "100 kB"),
        (999_499, "999 kB"),
        (999_501, "1.0 MB"),
        (7_800_000, "7.8 MB"),
        (10**13, "10000 GB"),
    ],
)
def test_sizes_are_decimal(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


def test_dates_are_utc_and_as_wide_as_none() -> None:
    when = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert date_text(when) == "2026-02-28 23:30:00Z"
    assert date_text(datetime.now(UTC)) != date_text(None)
    assert len(date_text(None)) == len(date_text(when))


def test_a_name_cannot_steer_the_terminal() -> None:
    assert one_line("a\nb\x1b[2J\x9bc é 日本") == "a\\nb\\x1b[2J\\x9bc é 日本"


def test_progress_of_a_copy() -> None:
    line = progress_line(Amount(done_bytes=12_300_000, total_bytes=50_000_000, bytes_per_s=4_000_000.0))
    assert str(line) == "copying  12.3 MB of 50.0 MB  25 %  4.0 MB/s  0:00:09 left"
    assert str(progress_line(Amount(done_bytes=0, total_bytes=0, bytes_per_s=0.0))) == "copying  0 B of 0 B"
