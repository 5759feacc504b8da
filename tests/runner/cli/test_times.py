from __future__ import annotations

from fractions import Fraction

import pytest

from runner.cli.times import parse_age, parse_time
from runner.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", Fraction(90)),
        ("90.5", Fraction(181, 2)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("1:30", Fraction(90)),
        ("00:01:30.5", Fraction(181, 2)),
        ("100:00:00.001", 360_000 + Fraction(1, 1000)),
        ("1500ms", Fraction(3, 2)),
        ("250us", Fraction(1, 4000)),
        ("2s", Fraction(2)),
        (" 7 ", Fraction(7)),
    ],
)
def test_times_are_exact(text: str, seconds: Fraction) -> None:
    assert parse_time(text, option="--start") == seconds


@pytest.mark.parametrize(
    "text", ["", "-1", "1:60", "1:75:00", "1:2:3:4", "abc", "1e3", "1:30ms", "nan", "0x10", "1.2.3"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--start .*not a time"):
        parse_time(text, option="--start")


def test_no_time_stays_none() -> None:
    assert parse_time(None, option="--start") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800), ("2w", 1_209_600)],
)
def test_ages(text: str, seconds: int) -> None:
    assert parse_age(text, option="--older-than") == seconds


@pytest.mark.parametrize("text", ["", "-1", "1.5h", "1y", "d", "1h30m", "9999999999"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--older-than .*not a length of time"):
        parse_age(text, option="--older-than")
