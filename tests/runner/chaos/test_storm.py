"""Runs in bad weather: laptops and workers killed, replies lost, machines outbid, an API that is silent for minutes.

What each seed did is repeated only as far as real processes repeat anything; what has to hold holds for every order.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from tests.runner.chaos.conftest import PROPERTY
from tests.runner.chaos.storm import Storm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.runner.chaos.storm import Nursery

COUNT: Final = int(os.environ.get("FRAMEHAUL_CHAOS") or 20)
"""Runs of an ordinary test; `just chaos` has 500."""


# A machine whose host is killed while it starts leaves a process object behind that nobody waits for any more.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seed", range(COUNT))
def test_storm(
    seed: int,
    nursery: Nursery,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    report = Storm(seed, nursery, tmp_path).run()
    record_property(PROPERTY, str(report))
    assert report.is_sound, str(report)
