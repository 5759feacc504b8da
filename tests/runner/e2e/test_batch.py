"""Many files from bucket to bucket on one rented machine: what the host bills stays within the budget."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from runner.accounts import read_rents
from runner.batch import SIDECAR
from tests.kernels.io.clips import make
from tests.kernels.io.jobs import samples
from tests.runner.e2e.conftest import CFR
from tests.runner.submit.commands import LONG_S, until
from tests.runner.vast.fake import IMAGE

if TYPE_CHECKING:
    from tests.runner.e2e.stage import Stage

COUNT: Final = 4
WORDS: Final = ("--vf", "hflip", "--codec", "ffv1", "--ending", "mkv", "--segment-s", "0.4")


@pytest.fixture(scope="module")
def films() -> list[bytes]:
    """Grain, which no codec makes small."""
    return [make(replace(CFR, frames=20 + number, size=(160, 120), noise=40 + number)) for number in range(COUNT)]


def put(stage: Stage, films: list[bytes]) -> None:
    for number, data in enumerate(films):
        stage.store("input").put(f"in/{number}.mp4", data)


def rents(stage: Stage) -> list[Any]:
    """Of every run there is."""
    bucket = stage.run_bucket("x").bucket
    return [rent for run in bucket.runs() for rent in read_rents(bucket.run(run))]


@pytest.mark.long
def test_one_machine_does_what_it_can(stage: Stage, films: list[bytes]) -> None:
    put(stage, films[:3])
    stage.store("input").put("in/1.mp4", b"no video at all")
    words = stage.words("in/*.mp4", "out/", *WORDS, "--skip-existing")
    done = stage.desk.run(*words, "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 3, done.stderr
    assert (told["done"], told["skipped"], told["failed"]) == (2, 0, 1)
    assert [one["state"] for one in told["files"]] == ["done", "failed", "done"]
    for number in (0, 2):
        assert len(samples(stage.read("output", f"out/{number}.mkv"))) == len(samples(films[number]))
    assert {one.key for one in stage.store("output").list("out/")} == {
        name for number in (0, 2) for name in (f"out/{number}.mkv", f"out/{number}.mkv{SIDECAR}")
    }
    assert len(stage.vast.instances) == 1
    assert stage.vast.billing() == []
    assert stage.native.keys == {}
    assert 0 < stage.vast.spent_usd() <= told["spent_usd"] < 1

    stage.store("input").put("in/1.mp4", films[1])
    dry = stage.desk.json(*words, "--dry-run")
    assert [one["state"] for one in dry["files"]] == ["skipped", "waiting", "skipped"]
    assert (dry["skipped"], dry["waiting"], dry["frames"]) == (2, 1, len(samples(films[1])))
    assert stage.desk.json(*words)["done"] == 1
    machines, runs = len(stage.vast.instances), stage.run_bucket("x").bucket.runs()
    again = stage.desk.json(*words)
    assert (again["done"], again["skipped"], again["spent_usd"]) == (0, 3, 0)
    assert len(stage.vast.instances) == machines == 2
    assert stage.run_bucket("x").bucket.runs() == runs
    assert len(stage.vast.calls("create")) == 2


@pytest.mark.long
def test_what_only_the_worker_finds_gone_stops_no_other(stage: Stage, films: list[bytes]) -> None:
    put(stage, films[:3])
    job = stage.desk.start(*stage.words("in/*.mp4", "out/", *WORDS, "--json"))
    until(lambda: stage.vast.calls("create"), watched=job)  # the worker needs a second to start
    store = stage.store("input")
    for version in list(store.list_versions("in/1.mp4")):
        store.delete(version.info.key, version=version.info.version)
    out, err = job.communicate(timeout=LONG_S)
    told = json.loads(out)
    assert job.returncode == 3, err
    assert [one["state"] for one in told["files"]] == ["done", "failed", "done"]
    assert told["files"][1]["run"] is not None
    assert len(stage.vast.instances) == 1
    assert stage.vast.billing() == []


@pytest.mark.long
def test_the_traffic_of_every_file_is_counted(stage: Stage, films: list[bytes]) -> None:
    """At 20 dollars per GB sent, four files cost several times what the worst one of them could."""
    for offer in stage.vast.offers:
        offer["inet_down_cost"], offer["inet_up_cost"] = 0.0, 20.0
    put(stage, films)
    told = stage.desk.json(*stage.words("in/*.mp4", "out/", *WORDS))
    assert told["done"] == COUNT
    assert len(stage.vast.instances) == 1
    (rent,) = rents(stage)
    (instance,) = stage.vast.instances.values()
    sizes = [len(stage.read("output", f"out/{number}.mkv")) for number in range(COUNT)]
    billed = instance.meter.traffic_usd
    assert billed > 20e-9 * 1.9 * sum(sizes)  # segments, and the outputs that they are joined to
    assert billed <= float(rent.traffic_usd)
    assert stage.vast.spent_usd() <= told["spent_usd"] <= 1


@pytest.mark.long
def test_what_all_files_cost_together_is_weighed_before_anything_is_rented(stage: Stage, films: list[bytes]) -> None:
    """A price per GB at which the budget pays for the traffic of any of the files, and not for that of all."""
    for offer in stage.vast.offers:
        offer["inet_down_cost"], offer["inet_up_cost"] = 0.0, 200.0
    put(stage, films)
    one = stage.desk.run(*stage.words("in/3.mp4", "one.mkv", "--codec", "ffv1", "--dry-run"))
    assert one.returncode == 0, one.stderr
    for options in ((), ("--dry-run",)):
        done = stage.desk.run(*stage.words("in/*.mp4", "out/", *WORDS, *options))
        assert done.returncode == 2, done.stdout
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("failed: "))
        assert line.startswith("failed: 4 files: none of ")
        assert "can do these 4 files within their limits" in line
        assert "the budget of $1 leaves" in line
    assert stage.run_bucket("x").bucket.runs() == []
    assert not stage.vast.instances


@pytest.mark.long
def test_the_image_is_billed_too(stage: Stage, films: list[bytes]) -> None:
    stage.vast.images[IMAGE] = replace(stage.vast.images[IMAGE], size_bytes=4 * 10**9)
    for offer in stage.vast.offers:
        offer["inet_down_cost"] = 0.02
    put(stage, films[:2])
    told = stage.desk.json(*stage.words("in/*.mp4", "out/", *WORDS))
    assert 0.08 < stage.vast.spent_usd() <= told["spent_usd"] < 1


@pytest.mark.long
def test_a_lost_machine_is_replaced_for_what_is_left(stage: Stage, films: list[bytes]) -> None:
    """The next one is weighed, and billed, for the other files only."""
    for offer in stage.vast.offers:
        offer["inet_down_cost"], offer["inet_up_cost"] = 0.0, 20.0
    put(stage, films)
    job = stage.desk.start(*stage.words("in/*.mp4", "out/", *WORDS, "--json"))
    until(lambda: "out/0.mkv" in {one.key for one in stage.store("output").list("out/")}, watched=job)
    until(lambda: len(stage.commits()) >= 2, watched=job)
    (first,) = stage.vast.billing()
    stage.vast.outbid(first)
    out, err = job.communicate(timeout=LONG_S)
    assert job.returncode == 0, err
    told = json.loads(out)
    assert told["done"] == COUNT
    one, other = sorted(rents(stage), key=lambda rent: rent.asked_s)
    assert 0 < other.traffic_usd < one.traffic_usd
    for rent in (one, other):
        (instance,) = (made for made in stage.vast.instances.values() if made.label == rent.label)
        assert 0 < instance.meter.traffic_usd <= float(rent.traffic_usd)
    assert stage.vast.billing() == []
    assert stage.vast.spent_usd() <= told["spent_usd"] <= 1
