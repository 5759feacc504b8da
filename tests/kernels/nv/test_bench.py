"""`runner bench --suite encoder` beside a driver; figures themselves are not judged here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.kernels.nv.conftest import Machine


def bench(machine: Machine, *options: str) -> dict[str, Any]:
    ended = machine.runner("bench", "--suite", "encoder", "--height", "64", "--frames", "8", "--json", *options)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def test_each_preset_of_a_codec_is_measured(machine: Machine) -> None:
    told = bench(machine.with_(NV_ENCODERS="h264"))
    assert told["device"] == "Stand-in 0"
    assert [row["name"] for row in told["rows"]] == [f"h264 P{number}" for number in range(1, 8)]
    assert all(row["size"] == "112x64" and row["fps"] > 0 for row in told["rows"])
    assert [entry["preset"] for entry in machine.log("encoder")] == list(range(1, 8))
    assert len(machine.log("picture")) == 7 * 8
    assert told["not_measured"] == [f"{codec} at 64 lines: this GPU cannot encode {codec}" for codec in ("hevc", "av1")]


def test_a_gpu_without_an_encoder_says_so(machine: Machine) -> None:
    told = bench(machine.with_(NV_ENCODERS="none"), "--only", "hevc")
    assert told["rows"] == []
    assert not told["on_gpu"]
    assert told["not_measured"] == ["hevc at 64 lines: this GPU has no encoder (NVENC)"]
