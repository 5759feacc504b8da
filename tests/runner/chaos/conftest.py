"""The last word about the storms: how many there were, and what is left of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from tests.runner.chaos.storm import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator

PROPERTY: Final = "storm"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as opened:
        yield opened


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [one for name in ("passed", "failed") for one in terminalreporter.stats.get(name, ())]
    properties = [value for one in reports for name, value in getattr(one, "user_properties", ()) if name == PROPERTY]
    found = [json.loads(str(value)) for value in properties]
    if not found:
        return

    def total(name: str) -> int:
        return sum(one[name] for one in found)

    outcomes = {
        name: sum(one["outcome"] == name for one in found) for name in sorted({one["outcome"] for one in found})
    }
    ended = ", ".join(f"{count} {name}" for name, count in outcomes.items())
    over = sum(one["spent_usd"] > one["budget_usd"] for one in found)
    terminalreporter.write_line(
        f"storms: {len(found)} runs ({ended}), {sum(len(one['events']) for one in found)} faults, "
        f"{total('laptops')} laptops, {total('machines')} machines rented, {total('losses')} workers lost"
    )
    terminalreporter.write_line(
        f"storms: {total('billing')} instances billing after reap ({total('reaped')} were found by it), "
        f"{total('doubled_segments')} segments done twice without a loss, {total('doubled_outputs')} double outputs, "
        f"{total('corrupt')} corrupt outputs, {over} over budget, {total('foreign_touched')} foreign instances touched"
    )
