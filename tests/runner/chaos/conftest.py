"""The last word about the storms: how many there were, and what is left of them."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import pytest

from runner.cli import main
from tests.kernels.io.clips import X264_OPEN_GOP, Clip, Sound, make
from tests.runner.chaos.real_storm import CHAIN, Film
from tests.runner.chaos.storm import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator

PROPERTY: Final = "storm"
NTSC: Final = Fraction(1001, 30000)
CLIP: Final = Clip(
    frames=60, options=X264_OPEN_GOP, sounds=(Sound(),), rate=1 / NTSC, time_base=NTSC, size=(96, 64),
    color={"color_range": 1, "colorspace": 1, "color_trc": 1, "color_primaries": 1},
)  # fmt: skip


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as opened:
        yield opened


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    """Two seconds of pictures and sound."""
    folder = tmp_path_factory.mktemp("film")
    source, target = folder / "in.mp4", folder / "out.mkv"
    source.write_bytes(make(CLIP))
    assert main(["run", str(source), str(target), "--vf", CHAIN, "--codec", "ffv1", "-q"]) == 0
    return Film(source=source.read_bytes(), wanted=target.read_bytes())


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
        f"${total('spent_usd'):.2f} spent of ${total('budget_usd'):.2f}, ${total('traffic_usd'):.2f} of it traffic, "
        f"{max(one['spent_usd'] / one['budget_usd'] for one in found):.0%} of a budget at most"
    )
    terminalreporter.write_line(
        f"storms: {total('billing')} instances billing after reap (which found {_listed(reaped) or 'none'}, kept one "
        f"{total('kept')} times, was misled "
        f"{total('misled')} times and ended unsure {total('unsure')} times), "
        f"{total('doubled_segments')} segments done twice without a loss, {total('doubled_outputs')} double outputs, "
        f"{total('corrupt')} corrupt outputs, {over} over budget, {total('understated')} that cost more than was told, "
        f"{total('foreign_touched')} foreign instances touched"
    )


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
