"""`runner submit --on local`: the whole of it on this machine, killed at every place, with nothing lost or doubled."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import av
import pytest

from runner.cli import main
from tests.runner.clips import write_clip
from tests.runner.submit.commands import Desk, audio, frames, kill, until

if TYPE_CHECKING:
    from pathlib import Path

CHAIN = ("--vf", "hflip", "--codec", "ffv1")
SLOW = (
    "--vf", "scale=640:-2,scale=64:-2:flags=lanczos,scale=640:-2,scale=64:-2,hflip", "--codec", "ffv1",
    "--segment-s", "0.4",
)  # fmt: skip
HEAVY = ("--vf", "scale=1920:-2,scale=64:-2,scale=1920:-2,scale=64:-2", "--codec", "ffv1", "--segment-s", "0.4")
LONG = 400
LOCAL = ("--on", "local", "--segment-s", "0.8")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments and more, with open groups and sound."""
    return write_clip(tmp_path_factory.mktemp("clip") / "in.mkv", frames=60, codec="libx264", audio="aac", gop=7)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What takes a while: longer than whoever watches it may be kept waiting on a busy machine."""
    return write_clip(tmp_path_factory.mktemp("clip") / "long.mkv", frames=LONG, gop=12)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(home=tmp_path)


def expected(clip: Path, tmp_path: Path, *options: str) -> Path:
    path = tmp_path / "expected.mkv"
    assert main(["run", str(clip), str(path), *options, "-q"]) == 0
    return path


def check(out: Path, clip: Path, tmp_path: Path, *options: str) -> None:
    """The output is what one run on this machine makes."""
    wanted = expected(clip, tmp_path, *options)
    assert frames(out) == frames(wanted)
    assert audio(out) == audio(clip)


def test_it_makes_what_run_makes_and_leaves_nothing(desk: Desk, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    told = desk.json("submit", clip, out, *LOCAL, *CHAIN)
    assert told["state"] == "done"
    assert told["frames"] == 60
    assert told["segments"] >= 3
    check(out, clip, tmp_path, *CHAIN)
    assert desk.provider.instances() == []
    assert not list((desk.home / "state/framehaul/bucket").glob("**/*.nut"))
    assert not list((desk.home / "state/framehaul/boot").iterdir())
    (row,) = desk.json("ps")
    assert (row["state"], row["segments_done"], row["frames_done"]) == ("finished", told["segments"], 60)
    assert "Z segment 0: " in desk.run("logs", told["run"]).stdout
    again = desk.run("submit", clip, out, *LOCAL, *CHAIN)
    assert again.returncode == 4
    assert "already exists" in again.stderr


def test_damage_is_concealed_and_told(desk: Desk, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mkv", frames=60, codec="libx264", gop=1)
    with av.open(str(clip)) as opened:
        packet = [packet for packet in opened.demux(video=0) if packet.size][55]  # past what planning decodes
        data, size = bytearray(clip.read_bytes()), packet.size
        place = data.index(bytes(packet))
    data[place : place + size] = bytes(size)
    clip.write_bytes(data)
    done = desk.run("submit", clip, tmp_path / "out.mkv", *LOCAL, *CHAIN)
    assert done.returncode == 0, done.stderr
    assert "1 frames could not be decoded; the one before is shown for them (segment " in done.stderr
    assert len(frames(tmp_path / "out.mkv")) == 60


def test_an_output_that_cannot_be_written_starts_nothing(desk: Desk, clip: Path, tmp_path: Path) -> None:
    refused = desk.run("submit", clip, tmp_path / "missing" / "out.mkv", *LOCAL, *CHAIN)
    assert refused.returncode == 4
    assert "does not exist; create it" in refused.stderr
    assert desk.json("ps") == []
    assert not (desk.home / "state/framehaul/instances.jsonl").exists()


def test_dry_run_rents_and_writes_nothing(desk: Desk, clip: Path, tmp_path: Path) -> None:
    plan = desk.json("submit", clip, tmp_path / "out.mkv", *LOCAL, *CHAIN, "--dry-run")
    assert plan["frames"] == 60
    assert not (tmp_path / "out.mkv").exists()
    assert not (desk.home / "state").exists()


def test_a_killed_worker_is_replaced(desk: Desk, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    job = desk.start("submit", clip, out, "--on", "local", *SLOW, "--json")
    until(lambda: desk.committed() >= 1, watched=job)
    for pid in desk.workers():
        os.kill(pid, signal.SIGKILL)
    printed, told = job.communicate(timeout=120)
    assert job.returncode == 0, told
    assert json.loads(printed)["frames"] == 60
    check(out, clip, tmp_path, *SLOW[:4])
    assert desk.provider.instances() == []


def test_a_killed_laptop_resumes(desk: Desk, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    job = desk.start("submit", clip, out, "--on", "local", *SLOW)
    until(lambda: desk.committed() >= 1, watched=job)
    kill(job)
    for pid in desk.workers():
        os.kill(pid, signal.SIGKILL)
    before = desk.committed()
    assert not out.exists()
    (row,) = desk.json("ps")
    assert row["state"] == "stopped"
    assert desk.json("resume", row["run"])["frames"] == 60
    assert before >= 1
    check(out, clip, tmp_path, *SLOW[:4])
    assert desk.provider.instances() == []


def test_detached_and_attached(desk: Desk, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    told = desk.json("submit", clip, out, "--on", "local", *SLOW, "--detach")
    assert told["state"] == "detached"
    assert len(desk.provider.instances()) == 1
    done = desk.json("attach", told["run"][-6:])
    assert (done["run"], done["state"]) == (told["run"], "done")
    check(out, clip, tmp_path, *SLOW[:4])
    assert desk.provider.instances() == []


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_cancels(desk: Desk, long_clip: Path, tmp_path: Path, number: signal.Signals) -> None:
    job = desk.start("submit", long_clip, tmp_path / "out.mkv", "--on", "local", *SLOW)
    until(lambda: desk.committed() >= 1, watched=job)
    job.send_signal(number)
    _, told = job.communicate(timeout=120)
    assert job.returncode == 130, told
    assert told.splitlines()[-1] == "runner: interrupted"
    assert "Traceback" not in told
    assert desk.provider.instances() == []
    assert desk.json("ps")[0]["state"] == "cancelled"
    assert desk.json("resume", desk.run_name())["frames"] == LONG


def test_cancelled_from_elsewhere(desk: Desk, long_clip: Path, tmp_path: Path) -> None:
    told = desk.json("submit", long_clip, tmp_path / "out.mkv", "--on", "local", *HEAVY, "--detach")
    assert desk.json("cancel", told["run"])["destroyed"]
    assert desk.provider.instances() == []
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.long
def test_reap_without_keys(desk: Desk, long_clip: Path, tmp_path: Path) -> None:
    nothing = desk.run("reap")
    assert nothing.returncode == 0
    assert "vast: not looked at" in nothing.stdout
    job = desk.start("submit", long_clip, tmp_path / "out.mkv", "--on", "local", *HEAVY)
    until(lambda: desk.committed() >= 1, watched=job)
    kill(job)
    assert "kept" in desk.run("reap").stdout
    run = desk.run_name()
    folder = desk.home / "state/framehaul/bucket/ctl" / run
    folder.rename(folder.with_name("lost"))
    ended = desk.run("reap")
    assert ended.returncode == 0
    assert desk.provider.instances() == []


def test_a_job_that_cannot_be_done(desk: Desk, clip: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(clip.read_bytes()[:200])
    failed = desk.run("submit", damaged, tmp_path / "out.mkv", *LOCAL, *CHAIN)
    assert failed.returncode == 3
    assert failed.stderr.count("\n") == 1
    missing = desk.run("submit", tmp_path / "none.mp4", tmp_path / "out.mkv", *LOCAL, *CHAIN)
    assert missing.returncode == 3


@pytest.mark.long
def test_a_sample_comes_first(desk: Desk, clip: Path, tmp_path: Path) -> None:
    done = desk.run("submit", clip, tmp_path / "out.mkv", *LOCAL, *CHAIN, "--sample", "0.5")
    assert done.returncode == 0, done.stderr
    assert "quality: PSNR" in done.stdout
    assert "the whole: 60 frames" in done.stdout
    assert len(frames(tmp_path / "out.mkv")) == 60
