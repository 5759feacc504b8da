"""`runner run` as a user meets it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import av
import pytest

from tests.runner.clips import count_frames, write_clip

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.cli.conftest import Runner


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return write_clip(tmp_path / "in" / "clip.mp4", audio="aac")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_video_comes_out_and_json_describes_it(inside: Runner, clip: Path, out: Path) -> None:
    target = out / "big.mp4"
    ended = inside("run", clip, target, "--vf", "hflip,scale=iw*2:-2", "--preset", "ultrafast", "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told.keys() == {
        "frames_in", "frames_out", "damaged_packets", "elapsed_s", "fps", "backend", "decoder", "encoder", "output",
        "stages", "warnings",
    }  # fmt: skip
    assert (told["frames_in"], told["frames_out"], told["damaged_packets"]) == (12, 12, 0)
    assert (told["backend"], told["output"]) == ("cpu", str(target))
    for stage in told["stages"]:
        assert {"name", "frames", "busy_s", "wait_s"} <= stage.keys()
    assert names(out) == ["big.mp4"]
    with av.open(target) as made:
        assert (made.streams.video[0].width, made.streams.video[0].height) == (128, 96)
        assert len(made.streams.audio) == 1
    assert count_frames(target) == 12


def test_text_ends_with_a_summary(inside: Runner, clip: Path, out: Path) -> None:
    ended = inside("run", clip, out / "a.mkv", "--codec", "ffv1")
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"{out / 'a.mkv'}: 12 frames in ")


def test_quiet_prints_nothing(inside: Runner, clip: Path, out: Path) -> None:
    ended = inside("run", clip, out / "a.mkv", "--codec", "ffv1", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_start_and_duration_are_exact(inside: Runner, clip: Path, out: Path) -> None:
    ended = inside("run", clip, out / "a.mkv", "--codec", "ffv1", "--start", "0.08", "--duration", "0:00.2", "--json")
    assert json.loads(ended.out)["frames_out"] == 5
    assert count_frames(out / "a.mkv") == 5


def test_an_existing_output_needs_y(inside: Runner, clip: Path, out: Path) -> None:
    target = out / "a.mkv"
    target.write_bytes(b"old")
    ended = inside("run", clip, target, "--codec", "ffv1")
    assert ended.code == 4
    assert ended.err == f"runner: {target} already exists; add -y to replace it\n"
    assert target.read_bytes() == b"old"
    assert inside("run", clip, target, "--codec", "ffv1", "-y").code == 0
    assert count_frames(target) == 12
    assert names(out) == ["a.mkv"]


@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
def test_input_and_output_may_not_be_one_file(inside: Runner, clip: Path, out: Path, link: str) -> None:
    before = clip.read_bytes()
    target = out / "b.mp4"
    if link == "symbolic":
        target.symlink_to(clip)
    elif link == "hard":
        target.hardlink_to(clip)
    else:
        target = clip
    ended = inside("run", clip, target, "-y")
    assert ended.code == 2
    assert "are the same file" in ended.err
    assert clip.read_bytes() == before


def test_an_unfinished_output_is_removed(inside: Runner, clip: Path, out: Path) -> None:
    ended = inside("run", clip, out / "a.mp4", "--vf", "crop=9999:9999")
    assert ended.code == 2
    assert names(out) == []


def test_plan_shows_stages(inside: Runner, clip: Path) -> None:
    told = json.loads(inside("plan", clip, "--vf", "scale=iw*2:-2,eq=contrast=1.1", "--json").out)
    assert told["source"] == "64x48 yuv420p"
    assert told["target"].startswith("128x96 yuv420p")
    assert [stage["name"] for stage in told["stages"]] == ["scale", "eq"]
    assert all(stage["read_bytes_per_pixel"] > 0 for stage in told["stages"])
    printed = inside("plan", clip, "--vf", "scale=iw*2:-2").out
    assert "bytes per pixel" in printed


def test_probe(inside: Runner, clip: Path) -> None:
    told = json.loads(inside("probe", clip, "--json").out)
    assert isinstance(told, dict)
    printed = inside("probe", clip).out
    assert "64x48" in printed


def test_compare(inside: Runner, clip: Path, out: Path) -> None:
    inside("run", clip, out / "same.mkv", "--codec", "ffv1")
    told = json.loads(inside("compare", clip, out / "same.mkv", "--json", "--html", out / "page.html").out)
    assert told["frames"] == 12
    assert told["psnr"]["average"] == "inf"
    assert told["ssim"]["all"] == 1.0
    assert (out / "page.html").read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")
    printed = inside("compare", clip, out / "same.mkv", "--start", "0.1", "--duration", "0.2").out
    assert "PSNR" in printed
    assert "5 frames" in printed


def test_compare_needs_two_of_a_kind(inside: Runner, clip: Path, out: Path) -> None:
    inside("run", clip, out / "big.mkv", "--codec", "ffv1", "--vf", "scale=iw*2:-2")
    ended = inside("compare", clip, out / "big.mkv", "-q")
    assert ended.code == 2
    assert "128x96" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("page", "code", "message"), [("page.mp4", 2, "must be named .html"), ("no/page.html", 4, "no is no folder")]
)
def test_compare_refuses_a_page_it_cannot_write(
    inside: Runner, clip: Path, out: Path, page: str, code: int, message: str
) -> None:
    ended = inside("compare", clip, clip, "--html", out / page)
    assert ended.code == code
    assert message in ended.err
    assert not (out / page).exists()


def test_webm_gets_av1_and_the_encoder_keeps_quiet(spawn: Runner, clip: Path, out: Path) -> None:
    ended = spawn("run", clip, out / "a.webm", "--audio-codec", "opus", "--preset", "10", "-q")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    with av.open(out / "a.webm") as made:
        assert made.streams.video[0].codec_context.codec.canonical_name == "av1"
