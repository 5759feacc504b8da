"""`runner offers`: what is listed, in which order, and that it rents nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.clips import write_clip
from tests.runner.vast.fake import ACCOUNT_KEY, FakeVast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.runner.cli.conftest import Runner


@pytest.fixture
def vast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVast]:
    """An account that the command finds in its environment, in an empty folder."""
    with FakeVast(tmp_path / "vast") as running:
        running.intervals_apply = False  # each command is a client of its own
        for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            monkeypatch.setenv(name, str(tmp_path))
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield running
        assert not running.instances
        assert running.key_leaks() == []


def listed(inside: Runner, *words: str | Path) -> list[dict[str, Any]]:
    done = inside("offers", "--json", *words)
    assert (done.code, done.err) == (0, "")
    assert ACCOUNT_KEY not in done.out
    found: list[dict[str, Any]] = json.loads(done.out)["offers"]
    return found


def test_cheapest_first_within_the_preset(vast: FakeVast, inside: Runner) -> None:
    rows = listed(inside)
    assert [row["gpu"] for row in rows] == ["RTX 4060 Ti", "RTX 3090", "L4", "RTX 4090"]
    assert [row["usd_per_h"] for row in rows] == sorted(row["usd_per_h"] for row in rows)
    assert "dph_total" in vast.calls("search")[0].body


def test_what_the_engines_can_do(vast: FakeVast, inside: Runner) -> None:
    rows = {row["gpu"]: row for row in listed(inside, "--max-price", "5", "--min-reliability", "0.5")}
    assert (rows["A100 SXM4"]["nvenc_engines"], rows["A100 SXM4"]["encodes"]) == (0, [])
    assert "av1" not in rows["H100 SXM"]["decodes"]
    assert rows["RTX 4090"]["encodes"] == ["h264", "hevc", "av1"]


def test_a_gpu_that_nobody_knows(vast: FakeVast, inside: Runner) -> None:
    vast.offers.clear()
    vast.add_offer(gpu_name="RTX 9090")
    assert listed(inside)[0]["nvenc_engines"] is None
    line = inside("offers").out.splitlines()[1]
    assert "RTX 9090" in line
    assert " ?  " in line


def test_options_choose(vast: FakeVast, inside: Runner) -> None:
    rows = listed(inside, "--gpu", "rtx_4090,L4", "--country", "se", "--max-price", "0.5")
    assert [row["gpu"] for row in rows] == ["RTX 4090"]
    bids = listed(inside, "--market", "bid", "--gpu", "RTX 4090")
    assert [(row["is_bid"], row["usd_per_h"]) for row in bids] == [(True, pytest.approx(0.1455, abs=1e-4))]


def test_the_table(vast: FakeVast, inside: Runner) -> None:
    lines = inside("offers", "--limit", "2").out.splitlines()
    assert lines[0].split() == [
        "offer",
        "GPU",
        "VRAM",
        "cores",
        "$/h",
        "$/TB",
        "in/out",
        "Mb/s",
        "in/out",
        "NVENC",
        "NVDEC",
        "there",
        "where",
    ]
    assert lines[1].startswith("27400009  1x RTX 4060 Ti  16 GB  16     0.093  20/20")
    assert "1: h264 hevc av1" in lines[1]
    assert lines[-1] == "and 2 more: --limit 4"


def test_nothing_fits(vast: FakeVast, inside: Runner) -> None:
    done = inside("offers", "--max-price", "0.01")
    assert done.code == 0
    assert done.out.startswith("no offer meets the requirements: ask for less")


def test_ranked_by_what_a_job_would_cost(vast: FakeVast, inside: Runner, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", frames=30)
    (tmp_path / "out.mp4").write_text("here already")
    rows = listed(inside, clip, "--vf", "scale=128:-2", "--max-price", "2")
    assert [row["expected_usd"] for row in rows] == sorted(row["expected_usd"] for row in rows)
    assert all(row["fps"] > 0 for row in rows)
    assert {"encoder", "measured", "duration_s"} <= set(rows[0])
    assert (tmp_path / "out.mp4").read_text() == "here already"
    line = inside("offers", clip, "--vf", "scale=128:-2").out.splitlines()[1]
    assert "~" in line
    assert "$" in line


def test_the_output_need_not_be_possible(vast: FakeVast, inside: Runner, tmp_path: Path) -> None:
    """Nothing is written there."""
    clip = write_clip(tmp_path / "in.mkv", frames=30)
    assert listed(inside, clip, tmp_path / "no-such-folder" / "out.mp4")
    assert vast.calls("search")


def test_without_a_key(vast: FakeVast, inside: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAST_API_KEY")
    done = inside("offers")
    assert done.code == 5
    assert done.err.startswith("runner: no key for Vast.ai: set VAST_API_KEY, or write it into ")


def test_a_wrong_key(vast: FakeVast, inside: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAST_API_KEY", "wrong")
    done = inside("offers")
    assert done.code == 5
    assert "Invalid user key" in done.err
    assert len(done.err.splitlines()) == 1


def test_this_machine_costs_nothing(vast: FakeVast, inside: Runner) -> None:
    (row,) = listed(inside, "--on", "local")
    assert (row["usd_per_h"], row["gpu"], row["nvenc_engines"]) == (0, "", None)
    assert not vast.journal
