"""The tests with real accounts promise not to spend more than this."""

from __future__ import annotations

from tests.runner.live.allowance import TOGETHER_USD, most_usd


def test_all_of_them_together_stay_within_it() -> None:
    assert most_usd() <= TOGETHER_USD
