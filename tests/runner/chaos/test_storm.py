"""Runs in bad weather: laptops and workers killed, replies lost, machines outbid, an API that is silent for minutes.

What each seed did is repeated only as far as real processes repeat anything; what has to hold holds for every order.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Final

import pytest

from tests.runner.chaos.conftest import PROPERTY
from tests.runner.chaos.real_storm import RealStorm
from tests.runner.chaos.storm import Storm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.runner.chaos.real_storm import Film
    from tests.runner.chaos.storm import Nursery
    from tests.storage.server import Server

COUNT: Final = int(os.environ.get("FRAMEHAUL_CHAOS") or 6)
"""Runs of an ordinary test; `just chaos` has 500."""
REAL: Final = range(1, COUNT, 10)
"""Those whose workers are real."""


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs that this machine remembers are those of the test: none. What a storm leaves goes before another test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    gc.collect()


@pytest.mark.parametrize("seed", REAL)
@pytest.mark.long
def test_storm_over_real_workers(
    seed: int,
    nursery: Nursery,
    server: Server,
    film: Film,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    report = RealStorm(seed, nursery, tmp_path, server, film).run()
    record_property(PROPERTY, str(report))
    assert report.is_sound, str(report)


@pytest.mark.parametrize("seed", [one for one in range(COUNT) if one not in REAL])
def test_storm(seed: int, nursery: Nursery, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    report = Storm(seed, nursery, tmp_path).run()
    record_property(PROPERTY, str(report))
    assert report.is_sound, str(report)
