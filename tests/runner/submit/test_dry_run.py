"""`runner submit --dry-run` against the fake Vast.ai: machines and dollars are told, nothing is rented or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runner.clips import write_clip
from tests.runner.submit.commands import Desk
from tests.runner.vast.fake import FakeVast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def vast(tmp_path: Path) -> Iterator[FakeVast]:
    folder = tmp_path / "vast"
    folder.mkdir()
    with FakeVast(folder) as running:
        yield running
        assert not running.instances


@pytest.fixture
def desk(tmp_path: Path, vast: FakeVast) -> Desk:
    home = tmp_path / "desk"
    home.mkdir()
    write_clip(home / "in.mkv", frames=60, codec="libx264", audio="aac", gop=7)
    return Desk(home=home, variables={"FRAMEHAUL_BUCKET": "b2://bucket", **vast.environment()})


def test_machines_are_ranked_and_nothing_is_rented(desk: Desk) -> None:
    words = ("submit", "in.mkv", "out.mp4", "--dry-run", "--vf", "scale=iw*2:-2", "--segment-s", "0.8")
    told = desk.json(*words)
    assert (told["frames"], told["segments"], told["encoder"], told["provider"]) == (60, 3, "software", "vast")
    expected = [offer["cost_usd"]["expected"] for offer in told["offers"]]
    assert expected == sorted(expected)
    assert expected
    assert all(offer["usd_per_h"] <= told["limits"]["max_price_usd_per_h"] for offer in told["offers"])
    left = {path.name for path in desk.home.iterdir()}
    assert left <= {"in.mkv", "home", "state", "config"}
    done = desk.run(*words)
    assert done.returncode == 0
    assert told["offers"][0]["id"] in done.stdout
    assert done.stdout.endswith("nothing was rented\n")


def test_the_gpu_encodes_where_that_is_cheaper(desk: Desk) -> None:
    words = ("submit", "in.mkv", "out.mp4", "-n", "--machine-preset", "high", "--budget", "50", "--encoder")
    told = desk.json(*words, "nvenc")
    assert told["encoder"].startswith("nvenc-")
    assert {offer["gpu"] for offer in told["offers"]} <= {"RTX 4090", "RTX 5090", "RTX 3090", "L4", "RTX 4060 Ti"}
    done = desk.run(*words, "nvenc", "--codec", "ffv1")
    assert done.returncode == 2
    assert "ffv1" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--max-price", "0.001"), "no machine on offer meets the requirements"),
        (("--budget", "0.001"), "the budget of $0.001 leaves"),
        (("--deadline", "5s"), "the deadline leaves 5 s"),
        (("--vf", "scael=2"), "did you mean 'scale'"),
        (("--codec", "vp9", "--audio-codec", "opus", "--subtitles", "soup"), "unknown subtitle choice"),
        (("--machine-preset", "huge"), "unknown machine preset"),
    ],
)
def test_what_cannot_be_is_one_line(desk: Desk, words: tuple[str, ...], message: str) -> None:
    done = desk.run("submit", "in.mkv", "out.mp4", "--dry-run", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("runner: ")
    assert "Traceback" not in done.stderr


def test_an_output_that_is_there_is_not_planned_over(desk: Desk) -> None:
    (desk.home / "out.mp4").write_bytes(b"precious")
    done = desk.run("submit", "in.mkv", "out.mp4", "--dry-run")
    assert done.returncode == 4
    assert "add -y" in done.stderr
    assert desk.run("submit", "in.mkv", "out.mp4", "--dry-run", "-y").returncode == 0
