"""Inputs and outputs that cannot work: one clear line, the right code, nothing left, no traceback."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.runner.clips import write_audio, write_clip

if TYPE_CHECKING:
    from tests.runner.cli.conftest import Ended, Runner


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def assert_refused(ended: Ended, code: int, message: str, out: Path) -> None:
    assert ended.code == code, ended.err
    first, *chain = ended.err.splitlines()
    assert re.fullmatch(f"runner: .*{message}.*", first), ended.err
    assert not chain or (len(chain) == 2 and chain[1].strip() == "^"), ended.err
    assert ended.out == ""
    assert list(out.iterdir()) == []


def make_input(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "a_folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "random":
        path.write_bytes(random.Random(7).randbytes(5000))
    elif kind == "audio_only":
        write_audio(path)
    elif kind == "no_frames":
        write_clip(path, frames=0)
    elif kind == "unknown_codec":
        clip = write_clip(path, codec="libx264").read_bytes()
        path.write_bytes(clip.replace(b"avc1", b"zzz9"))
    return path


@pytest.mark.parametrize("command", ["run", "probe", "plan"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "does not exist"),
        ("a_folder", "is a folder; give a video file"),
        ("empty", "is not a video"),
        ("random", "is not a video"),
        ("audio_only", "no video stream"),
        ("unknown_codec", "no decoder|codec"),
    ],
)
def test_inputs_that_hold_no_video(
    inside: Runner, tmp_path: Path, out: Path, kind: str, message: str, command: str
) -> None:
    path = make_input(kind, tmp_path)
    words: dict[str, list[str | Path]] = {
        "run": ["run", "-q", path, out / "o.mkv"],
        "probe": ["probe", path],
        "plan": ["plan", path, "--vf", "hflip"],
    }
    assert_refused(inside(*words[command]), 3, f"{path.name}.*({message})", out)


def test_a_video_without_frames(inside: Runner, tmp_path: Path, out: Path) -> None:
    path = make_input("no_frames", tmp_path)
    assert_refused(inside("run", "-q", path, out / "o.mkv"), 3, path.name, out)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_clips_cut_at_ten_places(inside: Runner, tmp_path: Path, out: Path, container: str) -> None:
    whole = write_clip(tmp_path / f"whole.{container}", audio="aac").read_bytes()
    codes = []
    for tenth in range(10):
        cut = tmp_path / f"cut{tenth}.{container}"
        cut.write_bytes(whole[: len(whole) * tenth // 10])
        target = out / f"{tenth}.mkv"
        ended = inside("run", cut, target, "--codec", "ffv1", "-q", "--drop-unsupported")
        assert "Traceback" not in ended.err
        assert ended.code in (0, 3), ended.err
        assert target.exists() == (ended.code == 0)
        assert all(line.startswith("runner: ") for line in ended.err.splitlines()), ended.err
        codes.append(ended.code)
    assert codes[0] == 3
    assert codes[5] == (3 if container == "mp4" else 0)  # the index of an MP4 is at its end
    assert not [entry for entry in out.iterdir() if entry.name.startswith(".")]


def test_strict_refuses_a_damaged_clip_that_is_else_concealed(inside: Runner, tmp_path: Path, out: Path) -> None:
    whole = bytearray(write_clip(tmp_path / "whole.mkv", codec="mpeg2video", frames=20).read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 300] = bytes(300)
    path = tmp_path / "damaged.mkv"
    path.write_bytes(whole)
    ended = inside("run", "-q", path, out / "o.mkv", "--codec", "ffv1", "--strict")
    assert_refused(ended, 3, "damaged.mkv", out)
    ended = inside("run", "-q", path, out / "o.mkv", "--codec", "ffv1")
    assert ended.code == 0
    assert "runner: warning: " in ended.err


def test_a_change_of_size_in_the_middle(inside: Runner, tmp_path: Path, out: Path) -> None:
    first = write_clip(tmp_path / "a.ts", codec="libx264", size=(64, 48)).read_bytes()
    second = write_clip(tmp_path / "b.ts", codec="libx264", size=(96, 64)).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(first + second)
    ended = inside("run", "-q", path, out / "o.mkv", "--codec", "ffv1")
    assert_refused(ended, 3, "64x48.*96x64", out)


@pytest.mark.parametrize("chain", ["crop=9999:9999", "scale=40000:40000", "pad=8:8"])
def test_a_chain_that_yields_an_impossible_size(inside: Runner, tmp_path: Path, out: Path, chain: str) -> None:
    path = write_clip(tmp_path / "a.mp4")
    assert_refused(inside("run", "-q", path, out / "o.mkv", "--vf", chain), 2, chain.partition("=")[0], out)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("missing/o.mkv", "does not exist; create it"),
        ("file/o.mkv", "is a file, not a folder"),
        ("folder.mkv", "is a folder; give a file name"),
    ],
)
def test_outputs_that_cannot_be_made(inside: Runner, tmp_path: Path, out: Path, target: str, message: str) -> None:
    path = write_clip(tmp_path / "a.mp4")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.mkv").mkdir()
    assert_refused(inside("run", "-q", path, tmp_path / target, "-y"), 4, message, out)


def test_a_folder_that_takes_no_file(inside: Runner, tmp_path: Path, out: Path) -> None:
    path = write_clip(tmp_path / "a.mp4")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if os.geteuid() == 0:
        locked = Path("/sys")  # permissions do not stop root, but nobody can make a file here
    assert_refused(inside("run", "-q", path, locked / "o.mkv"), 4, "no file can be made in", out)


def test_a_full_disk(tmp_path: Path, out: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=30)
    program = (
        "import resource, sys\n"
        "from runner.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = ["run", "-q", path, out / "o.mkv", "--codec", "ffv1", "-q"]
    # Compiled kernels are files too: the chain is empty, so that only the output meets the limit.
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith(f"runner: cannot write {out / 'o.mkv'}: ")
    assert done.stderr.count("\n") == 1
    assert list(out.iterdir()) == []
