"""Many files in one command: one machine for all, none stopped by another, none done twice."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.runner.clips import write_clip
from tests.runner.submit.commands import Desk, frames, until

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("--on", "local", "--vf", "hflip", "--codec", "ffv1", "--segment-s", "0.4")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder / "a.mkv", frames=30)
    write_clip(folder / "b.mkv", frames=20)
    (folder / "more").mkdir()
    write_clip(folder / "more/c.mp4", frames=10, codec="libx264")
    (folder / "bad.mkv").write_bytes(b"no video at all")
    (folder / "notes.txt").write_text("no video")
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(home=tmp_path)


def test_a_folder(desk: Desk, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = desk.run("submit", f"{clips}/", f"{out}/", *WORDS, "--ending", "mkv")
    assert done.returncode == 3, done.stderr
    assert done.stdout.splitlines()[-1] == "3 done, 0 skipped, 1 failed"
    assert "failed: " in done.stdout
    made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.mkv"))
    assert made == ["a.mkv", "b.mkv", "more/c.mkv"]
    assert [len(frames(out / name)) for name in made] == [30, 20, 10]
    assert desk.provider.instances() == []
    journal = (desk.home / "state/framehaul/instances.jsonl").read_text()
    assert journal.count('"intent"') == 1  # one machine for all of them
    again = desk.json_of("submit", f"{clips}/", f"{out}/", *WORDS, "--ending", "mkv", "--skip-existing")
    assert (again["skipped"], again["done"], again["failed"]) == (3, 0, 1)


def test_what_changed_is_done_again(desk: Desk, clips: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(clips, source)
    words = ("submit", f"{source}/*.mkv", f"{out}/", *WORDS, "--skip-existing", "-y")
    (source / "bad.mkv").unlink()
    told = desk.json_of(*words)
    assert told["done"] == 2, told
    write_clip(source / "b.mkv", frames=12)
    told = desk.json_of(*words)
    assert (told["done"], told["skipped"]) == (1, 1)
    assert len(frames(out / "b.mkv")) == 12
    other = desk.json_of(*[word if word != "hflip" else "vflip" for word in words])
    assert (other["done"], other["skipped"]) == (2, 0)


def test_a_lost_machine_loses_no_file(desk: Desk, clips: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = desk.start("submit", f"{clips}/*.mkv", f"{out}/", *WORDS, "--json")
    until(lambda: desk.committed() >= 3, watched=job)
    for pid in desk.workers():
        os.kill(pid, signal.SIGKILL)
    _, told = job.communicate(timeout=120)
    assert job.returncode == 3, told  # bad.mkv
    assert [len(frames(out / name)) for name in ("a.mkv", "b.mkv")] == [30, 20]
    assert desk.provider.instances() == []


def test_two_inputs_of_one_name(desk: Desk, tmp_path: Path) -> None:
    write_clip(tmp_path / "x.mkv", frames=3)
    write_clip(tmp_path / "x.mp4", frames=3)
    done = desk.run("submit", f"{tmp_path}/x.*", f"{tmp_path}/out/", *WORDS, "--ending", "mkv")
    assert done.returncode == 2
    assert "several inputs" in done.stderr
