"""`runner submit --dry-run` against the fake Vast.ai: machines and dollars are told, nothing is rented or written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runner.clips import write_clip
from tests.runner.submit.commands import Desk
from tests.runner.vast.fake import FakeVast

if TYPE_CHECKING:
    from collections.abc import Iterator


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


@pytest.fixture
def many(desk: Desk) -> Desk:
    (desk.home / "films").mkdir()
    for name, frames in (("a", 60), ("b", 30)):
        write_clip(desk.home / f"films/{name}.mkv", frames=frames, codec="libx264", audio="aac", gop=7)
    (desk.home / "films/bad.mkv").write_bytes(b"no video at all")
    return desk


def test_of_many_files_every_one_is_planned(many: Desk) -> None:
    words = ("submit", "films/", "out/", "-n", "--vf", "scale=iw*2:-2", "--segment-s", "0.8", "--ending", "mp4")
    done = many.run(*words, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 3, done.stderr
    assert (told["waiting"], told["skipped"], told["failed"], told["frames"]) == (2, 0, 1, 90)
    assert [(Path(one["input"]).name, one["state"], one["frames"]) for one in told["files"]] == [
        ("a.mkv", "waiting", 60), ("b.mkv", "waiting", 30), ("bad.mkv", "failed", None)
    ]  # fmt: skip
    (machine,) = told["machines"]
    assert (machine["files"], machine["frames"], machine["encoders"]) == (2, 90, ["software"])
    alone = many.json("submit", "films/a.mkv", "alone.mp4", *words[3:-2])["offers"][0]["cost_usd"]
    assert 0 < told["cost_usd"]["low"] < told["cost_usd"]["likely"] < told["cost_usd"]["high"]
    assert all(alone[name] < told["cost_usd"][name] < 2 * alone[name] for name in ("low", "likely", "high"))
    assert machine["offer"]["cost_usd"]["likely"] == told["cost_usd"]["likely"]
    assert not (many.home / "out").exists()
    assert {path.name for path in many.home.iterdir()} <= {"in.mkv", "films", "home", "state", "config"}


def test_of_many_files_a_table_is_shown(many: Desk) -> None:
    (many.home / "films/bad.mkv").unlink()
    done = many.run("submit", "films/", "out/", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split()[:3] == ["to", "do", "60"]
    assert lines[-1] == "nothing was rented"
    assert lines[-2].startswith("2 to do, 0 skipped, 0 failed; 90 frames: $")
    assert any("RTX" in line and "software" in line for line in lines)


def test_a_sample_is_of_one_file(many: Desk) -> None:
    done = many.run("submit", "films/", "out/", "--sample", "1")
    assert done.returncode == 2
    assert done.stderr.startswith("runner: --sample is for one file")
    assert "with a file as OUTPUT" in done.stderr
    assert not (many.home / "out").exists()
