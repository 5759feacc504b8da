"""Every operation and reference chain on a GPU, and whole jobs: what `runner bench` measures, kept as results.

FRAMEHAUL_GPU_HEIGHTS   lines of the 16:9 pictures (720,1080,2160)
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from kernels.backends import probe
from runner.bench.cases import CASES, HEIGHTS, PIPELINES
from runner.bench.encoder_suite import ENCODERS, measure_encoder
from runner.bench.kernel_suite import measure_kernels
from runner.bench.pipeline_suite import measure_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_benchmark.fixture import BenchmarkFixture

    from runner.bench.rows import Report, Row

CHOSEN: Final = tuple(map(int, filter(None, os.environ.get("FRAMEHAUL_GPU_HEIGHTS", "").split(",")))) or HEIGHTS

# A warning from torch or kornia, somebody else's, must not count as a failure of theirs.
pytestmark = [pytest.mark.gpu, pytest.mark.timeout(3600), pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def device() -> str:
    """The GPU as a folder name; without one nothing is measured, which REQUIRE_GPU makes a failure."""
    reason = probe()
    if reason:
        (pytest.fail if os.environ.get("REQUIRE_GPU") else pytest.skip)(f"no NVIDIA GPU to measure: {reason}")
    from kernels.backends.cuda import engine

    return re.sub(r"[^a-z0-9]+", "-", engine().name.lower()).strip("-")


def show(row: Row) -> None:
    print(json.dumps(row.to_json()))


def keep(report: Report, device: str) -> None:
    folder = Path(__file__).parent / "results" / device
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.suite}.json"
    path.write_text(json.dumps(report.to_json(), indent=2) + "\n", encoding="utf-8")


def test_kernels(benchmark: BenchmarkFixture, device: str) -> None:
    pedantic: Callable[..., Report] = benchmark.pedantic
    report = pedantic(lambda: measure_kernels(CASES, CHOSEN, show), rounds=1, iterations=1)
    assert report.on_gpu
    keep(report, device)


def test_pipelines(benchmark: BenchmarkFixture, device: str) -> None:
    pedantic: Callable[..., Report] = benchmark.pedantic
    report = pedantic(lambda: measure_pipeline(PIPELINES, CHOSEN, show), rounds=1, iterations=1)
    assert report.on_gpu
    keep(report, device)


def test_encoders(benchmark: BenchmarkFixture, device: str) -> None:
    """NVENC at each preset; on a GPU without one, the result says so."""
    pedantic: Callable[..., Report] = benchmark.pedantic
    report = pedantic(lambda: measure_encoder(ENCODERS, CHOSEN, show, frames=240), rounds=1, iterations=1)
    assert report.rows or report.not_measured
    keep(report, device)
