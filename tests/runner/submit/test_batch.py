"""Many files in one command: one machine for all, none stopped by another, none done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from runner.batch import Pair
from runner.bucket import Bucket
from runner.cli.batch import run_batch
from runner.cli.carry import Manner
from runner.clock import StopRequest
from runner.providers import open_provider
from runner.runs import local_root
from runner.spec import EncodeSpec, JobSpec
from runner.ticket import Ticket
from storage.uri import LocalUri
from tests.runner.clips import write_clip
from tests.runner.jobs import spec_of
from tests.runner.submit.commands import Desk, frames, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG_S: Final = 3600.0

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
    assert journal.count('"intent"') == 1, done.stderr  # one machine for all of them
    again = desk.json_of("submit", f"{clips}/", f"{out}/", *WORDS, "--ending", "mkv", "--skip-existing")
    assert (again["skipped"], again["done"], again["failed"]) == (3, 0, 1)


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.fixture
def several(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A batch of two files, one per machine, in this process; gives what `--json` prints beside the exit code."""
    for name in ("state", "config"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / name))
    found = [
        Pair(source=LocalUri(clips / name), target=LocalUri(tmp_path / "out" / name)) for name in ("a.mkv", "b.mkv")
    ]

    def make(pair: Pair) -> JobSpec:
        return spec_of(
            input=str(pair.source), output=str(pair.target), container="mkv", provider="local", chain="hflip",
            encode=EncodeSpec(codec="ffv1"), budget_usd=None, max_price_usd_per_h=None, deadline_s=LONG_S, segment_s=1,
        )  # fmt: skip

    def run(**more: Any) -> int:
        return run_batch(
            found, make, open_provider("local"), local_root(), StopRequest(), manner=Manner(json=True),
            skip_existing=False, code_version="1", chunk=1, **more,
        )  # fmt: skip

    return run


def test_one_deadline_for_all_machines(several: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    started_s = time.time() - 5
    assert several(started_s=started_s) == 0
    assert json.loads(capfd.readouterr().out)["done"] == 2
    bucket = Bucket(local_root())
    tickets = [one.read(one.folder.ticket, Ticket) for one in map(bucket.run, bucket.runs())]
    assert len(tickets) == 4  # two files and two machines
    assert {ticket.deadline_s for ticket in tickets if ticket} == {started_s + LONG_S}


def test_what_comes_too_late_is_not_begun(several: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    assert several(started_s=time.time() - LONG_S) == 2
    told = json.loads(capfd.readouterr().out)
    assert (told["done"], told["failed"]) == (0, 2)
    assert {one["message"].partition(";")[0] for one in told["files"]} == {"the deadline of the whole batch is past"}
    assert Bucket(local_root()).runs() == []


def test_two_inputs_of_one_name(desk: Desk, tmp_path: Path) -> None:
    write_clip(tmp_path / "x.mkv", frames=3)
    write_clip(tmp_path / "x.mp4", frames=3)
    done = desk.run("submit", f"{tmp_path}/x.*", f"{tmp_path}/out/", *WORDS, "--ending", "mkv")
    assert done.returncode == 2
    assert "several inputs" in done.stderr
