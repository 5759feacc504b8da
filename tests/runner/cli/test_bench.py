"""What `runner bench` measures and says; figures themselves are not judged here."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kernels.launch import Queue
from runner.bench.cases import CASES, PIPELINES, by_name, size_of
from runner.bench.kernel_suite import measure_on
from runner.bench.peers import time_peer
from tests.kernels.conftest import compiler  # noqa: F401  (a fixture)
from tests.kernels.cuda.frames import StrictFrameEngine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.bench.rows import Row
    from tests.runner.cli.conftest import Runner


class TimedStrictEngine(StrictFrameEngine):
    """The strict engine with a clock, as a GPU with a small cache."""

    name = "no GPU"
    cache_bytes = 1 << 14

    def seconds(self, work: Callable[[], None]) -> float:
        begin = time.perf_counter()
        work()
        self.finish(self.record(Queue.COMPUTE))
        return time.perf_counter() - begin

    def duplicate(self, source: Any, target: Any) -> None:
        self._works[Queue.COMPUTE].append(lambda: np.copyto(target, source))


@pytest.mark.usefixtures("compiler")
def test_a_device_is_measured_against_its_own_copy() -> None:
    told: list[Row] = []
    report = measure_on(TimedStrictEngine(), by_name(("hflip", "B:"), CASES), (36,), told.append)
    assert [row.name for row in report.rows] == [row.name for row in told] == ["hflip", "B: five pointwise steps"]
    assert report.on_gpu
    assert report.copy_bytes_per_s is not None
    for row in report.rows:
        assert row.moved_bytes == 64 * 36 * 3
        assert row.rate == row.moved_bytes / row.seconds
        assert row.copy_share == pytest.approx(row.rate / report.copy_bytes_per_s)
    assert all(line.startswith("torch five steps: ") for line in report.not_measured)
    json.dumps(report.to_json(), allow_nan=False)


def test_peers_say_why_they_are_not_measured() -> None:
    for case in CASES:
        for peer in case.peers:
            found = time_peer(peer, 64, 36)
            assert found > 0 if isinstance(found, float) else "is not installed" in found or "fails here" in found


def test_cases_are_found_by_the_start_of_their_names() -> None:
    assert by_name((), PIPELINES) == PIPELINES
    assert [case.name for case in by_name(("cas", "A:"), CASES)] == ["cas", "A: scale 2x, cas, format"]
    with pytest.raises(ValueError, match="there are: transcode, B"):
        by_name(("upscale",), PIPELINES)
    assert size_of(1080) == (1920, 1080)
    assert size_of(38) == (66, 38)


def test_a_machine_without_a_gpu_says_what_it_did_not_measure(inside: Runner, tmp_path: Path) -> None:
    kept = tmp_path / "bench.json"
    ended = inside("bench", "--height", "36", "--only", "hflip", "--json", "--output", kept)
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told == json.loads(kept.read_text())
    (row,) = told["rows"]
    assert (row["name"], row["size"], row["gb_per_s"]) == ("hflip", "64x36", None)
    if not told["on_gpu"]:
        assert told["not_measured"][0].startswith("GPU figures are not measured: ")


def test_a_pipeline_is_measured_against_decoding_alone(inside: Runner) -> None:
    ended = inside("bench", "--suite", "pipeline", "--height", "36", "--frames", "6", "--only", "transcode", "--json")
    assert ended.code == 0, ended.err
    alone, whole = json.loads(ended.out)["rows"]
    assert alone["name"].startswith("decode only (")
    assert whole["times_as_fast"].keys() == {"decode only"}


def test_text_has_a_line_for_each_case(inside: Runner) -> None:
    ended = inside("bench", "--height", "36", "--only", "hflip")
    assert ended.code == 0, ended.err
    head, row, *_ = ended.out.splitlines()
    assert head.split() == ["case", "size", "ms", "fps"]
    assert row.split()[:2] == ["hflip", "64x36"]


def test_unknown_cases_are_a_usage_error(inside: Runner) -> None:
    ended = inside("bench", "--only", "upscale")
    assert ended.code == 2
    assert "no case is called upscale" in ended.err
