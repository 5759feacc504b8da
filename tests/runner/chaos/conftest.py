"""The last word about the storms: how many there were, and what is left of them."""

from __future__ import annotations

import json
from collections import Counter
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

    ended, reaped = Counter(one["outcome"] for one in found), Counter[str]()
    for one in found:
        reaped.update(one["reaped"])
    over = sum(one["spent_usd"] > one["budget_usd"] for one in found)
    terminalreporter.write_line(
        f"storms: {len(found)} runs, {total('real')} with real workers ({_listed(ended)}), "
        f"{sum(len(one['events']) for one in found)} faults, {total('laptops')} laptops, "
        f"{total('machines')} machines rented, {total('losses')} workers lost, "
        f"${total('spent_usd'):.2f} spent of ${total('budget_usd'):.2f}, ${total('traffic_usd'):.2f} of it traffic"
    )
    terminalreporter.write_line(
        f"storms: {total('billing')} instances billing after reap (which found {_listed(reaped) or 'none'}, kept one "
        f"{total('kept')} times, and was misled {total('misled')} times), "
        f"{total('doubled_segments')} segments done twice without a loss, {total('doubled_outputs')} double outputs, "
        f"{total('corrupt')} corrupt outputs, {over} over budget, {total('understated')} that cost more than was told, "
        f"{total('foreign_touched')} foreign instances touched"
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
