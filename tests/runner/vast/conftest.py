"""The fake Vast.ai with a clock whose long waits take no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runner.vast.clocks import VirtualClock
from tests.runner.vast.fake import IMAGE, FakeVast, Image
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
        running.images[IMAGE] = Image(entrypoint=("sleep", "1000000"))  # a worker without work ends, and starts again
        yield running


@pytest.fixture
def client(vast: FakeVast) -> Iterator[VastClient]:
    with vast.client() as opened:
        yield opened
