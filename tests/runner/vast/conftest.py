"""The fake Vast.ai with a clock whose long waits take no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runner.vast.clocks import VirtualClock
from tests.runner.vast.fake import FakeVast
from tests.runner.vast.official import vastai  # noqa: F401  (a fixture)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.vast.api import VastClient


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def vast(tmp_path: Path, clock: VirtualClock) -> Iterator[FakeVast]:
    with FakeVast(tmp_path, clock=clock) as running:
        yield running


@pytest.fixture
def client(vast: FakeVast) -> Iterator[VastClient]:
    with vast.client() as opened:
        yield opened
