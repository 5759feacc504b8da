"""A request to stop, a kill and a full disk while the input is sent, the market is searched and the output is fetched.

What has to be held up is held up by the server, so that each test meets the moment that it means.
"""

from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING, Final

import pytest

from tests.runner.e2e.stage import RENTED
from tests.runner.submit.commands import frames, kill, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.e2e.stage import Stage

PART_BYTES: Final = 16 << 20
PARTS: Final = 3
CHAIN: Final = ("--vf", "hflip", "--codec", "ffv1", "--segment-s", "0.55")
FOREVER_S: Final = 600.0


@pytest.fixture
def large(sources: dict[str, bytes], tmp_path: Path) -> Path:
    """A clip in three parts, of which most is a box that nobody reads."""
    path = tmp_path / "in.mp4"
    clip = sources["cfr.mp4"]
    size_bytes = PART_BYTES * (PARTS - 1) + 4096
    path.write_bytes(clip + (size_bytes - len(clip)).to_bytes(4, "big") + b"free")
    with path.open("r+b") as file:
        file.truncate(size_bytes)
    return path


def words(stage: Stage, source: Path | str, target: Path | str, *options: str) -> tuple[str, ...]:
    return ("submit", str(source), str(target), "--bucket", stage.location("work"), *RENTED, *CHAIN, *options)


def noted_parts(stage: Stage) -> int:
    """How many parts this laptop knows to be there."""
    return sum(path.read_text().count('"part"') for path in (stage.desk.home / "state").rglob("transfers/*.jsonl"))


def sent_parts(stage: Stage) -> list[int]:
    store = stage.store("work")
    return [
        part.number
        for upload in store.list_uploads()
        if upload.key.startswith("inputs/")
        for part in store.list_parts(upload.key, upload.id)
    ]


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_sending_the_input(stage: Stage, large: Path, tmp_path: Path, how: signal.Signals) -> None:
    """It ends at once, and the same command sends only what is missing."""
    out = tmp_path / "out.mkv"
    hold = {"op": "UploadPart", "path": "/inputs/", "delay": FOREVER_S}
    stage.server.break_next(hold | {"skip": 1, "times": 99})
    job = stage.desk.start(*words(stage, large, out))
    until(lambda: noted_parts(stage) == 1, watched=job)
    job.send_signal(how)
    _, told = job.communicate(timeout=60)
    stage.server.reset()
    assert job.returncode == (-how if how is signal.SIGKILL else 130), told
    (sent,) = sent_parts(stage)
    left = [info.key for info in stage.store("work").list("inputs/")]
    if how is signal.SIGKILL:
        assert [key.split("/")[2] for key in left] == ["for"]  # whom nobody could ask to tidy up
    else:
        assert left == []
        assert "rented machine" not in told
        assert "the same command goes on with it" in told
        assert told.splitlines()[-1] == "runner: interrupted"
    assert stage.vast.calls("create") == []
    refused = {"op": "UploadPart", "path": "/inputs/", "status": 403, "code": "AccessDenied"}
    stage.server.break_next(refused | {"query": f"partNumber={sent}(&|$)", "times": 99})
    done = stage.desk.run(*words(stage, large, out))
    assert done.returncode == 0, done.stderr
    assert len(frames(out)) == 60
    assert list(stage.store("work").list_uploads()) == []


@pytest.mark.long
def test_fetching_the_output(stage: Stage, sources: dict[str, bytes], tmp_path: Path) -> None:
    """By then the machine's keys are worth nothing; what is made stays to be fetched."""
    stage.store("input").put("in.mp4", sources["cfr.mp4"])
    out = tmp_path / "out.mkv"
    stage.server.break_next({"op": "GetObject", "path": "/output/out.mkv", "times": 99, "delay": FOREVER_S})
    job = stage.desk.start(*words(stage, stage.location("input", "in.mp4"), out))
    until(lambda: stage.native.given and not stage.native.keys, watched=job)
    assert not out.exists()
    job.send_signal(signal.SIGTERM)
    _, told = job.communicate(timeout=60)
    stage.server.reset()
    assert job.returncode == 130, told
    run = stage.desk.run_name()
    assert f"`runner attach {run}` fetches it" in told
    assert stage.vast.billing() == []
    assert stage.desk.json("attach", run)["state"] == "done"
    assert len(frames(out)) == 60
    assert len(stage.vast.calls("create")) == 1


@pytest.mark.long
def test_an_output_that_cannot_be_put_down_leaves_no_keys(
    stage: Stage, sources: dict[str, bytes], tmp_path: Path
) -> None:
    stage.store("input").put("in.mp4", sources["cfr.mp4"])
    folder = tmp_path / "films"
    folder.mkdir()
    job = stage.desk.start(*words(stage, stage.location("input", "in.mp4"), folder / "out.mkv"))
    until(stage.commits, watched=job)
    shutil.rmtree(folder)
    _, told = job.communicate(timeout=120)
    assert job.returncode == 4, told
    assert stage.native.given
    assert stage.native.keys == {}
    folder.mkdir()
    assert stage.desk.json("attach", stage.desk.run_name())["state"] == "done"
    assert len(frames(folder / "out.mkv")) == 60


@pytest.mark.long
def test_searching(stage: Stage, sources: dict[str, bytes]) -> None:
    """The market is empty once the plan is made: between two searches, a request to stop ends the run at once."""
    stage.store("input").put("in.mp4", sources["cfr.mp4"])
    stage.vast.break_next("search", skip=1, times=99, status=200, body={"offers": []})
    job = stage.desk.start(*stage.words("in.mp4", "out.mkv", *CHAIN))
    assert job.stderr is not None
    told = ""
    while "no machine on offer" not in told:
        told += (line := job.stderr.readline())
        assert line, told
    job.send_signal(signal.SIGTERM)
    _, rest = job.communicate(timeout=60)
    assert job.returncode == 130, told + rest
    assert "rented machine" not in rest
    assert rest.splitlines()[-1] == "runner: interrupted"
    stage.vast.faults.clear()
    (row,) = stage.desk.json("ps")
    assert row["state"] == "cancelled"
    assert stage.desk.json("resume", row["run"])["frames"] == 60


@pytest.mark.long
def test_looking_on(stage: Stage, sources: dict[str, bytes]) -> None:
    """Who has rented nothing ends nothing, and says so."""
    stage.store("input").put("in.mp4", sources["large.mp4"])
    slow = ("--vf", "nlmeans=s=3:p=9:r=41", "--codec", "ffv1", "--segment-s", "0.3")
    run = stage.desk.json(*stage.words("in.mp4", "out.mkv", *slow, "--detach"))["run"]
    (number,) = stage.vast.billing()
    stage.vast.instances[number].freeze(frozen=True)
    asked = len(stage.vast.calls("show"))
    looked = stage.desk.start("attach", run)
    until(lambda: len(stage.vast.calls("show")) > asked, watched=looked)
    looked.send_signal(signal.SIGTERM)
    out, told = looked.communicate(timeout=60)
    assert looked.returncode == 0, told
    assert "goes on by itself" in out
    assert "rented machine" not in told
    assert stage.vast.billing() == [number]
    assert stage.desk.run("cancel", run).returncode == 0


def test_planning_leaves_nothing(stage: Stage, sources: dict[str, bytes]) -> None:
    """A dry run finds out whether the output could be written, and a list of offers does not even ask."""
    stage.store("input").put("in.mp4", sources["cfr.mp4"])
    planned = stage.desk.json(*stage.words("in.mp4", "out.mkv", *CHAIN, "--dry-run"))
    assert planned["frames"] == 60
    for role in ("work", "output"):
        store = stage.store(role)
        assert [*store.list_versions(""), *store.list_uploads()] == []
    stage.server.reset()
    places = stage.location("input", "in.mp4"), stage.location("output", "out.mkv")
    assert stage.desk.json("offers", *places, *RENTED[2:])["offers"]
    assert set(stage.server.counts()) <= {"HeadObject", "GetObject", "HeadBucket"}


@pytest.mark.long
def test_an_output_that_is_gone_is_made_again(stage: Stage, sources: dict[str, bytes]) -> None:
    """From what is there: no segment is done twice. Once the run is over, that is what it says."""
    stage.store("input").put("in.mp4", sources["cfr.mp4"])
    words = stage.words("in.mp4", "out.mkv", *CHAIN)
    job = stage.desk.start(*words)
    until(stage.commits, watched=job)
    kill(job)
    run = stage.desk.run_name()
    bucket = stage.run_bucket(run)
    until(lambda: bucket.exists(bucket.folder.object(bucket.folder.DONE)))
    until(lambda: not stage.vast.billing())
    before = {info.key: info.etag for info in stage.store("work").list(f"runs/{run}/commit/")}
    stage.store("output").delete("out.mkv")
    told = stage.desk.run("attach", run)
    assert told.returncode == 5
    assert f"`runner resume {run}` makes it again" in told.stderr
    assert stage.desk.json("resume", run)["frames"] == 60
    assert stage.store("output").head("out.mkv").size_bytes > 0
    assert {info.key: info.etag for info in stage.store("work").list(f"runs/{run}/commit/")} == before
    stage.store("output").put("out.mkv", b"something else")
    over = stage.desk.run("resume", run)
    assert over.returncode == 2
    assert "is finished, and its output is no longer at" in over.stderr
