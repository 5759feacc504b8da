"""`runner submit --on vast`: the fake Vast.ai over HTTP, a real S3 server, real workers, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

import storage
from runner.cli import main
from tests.runner.clips import write_clip
from tests.runner.submit.commands import Desk, audio, frames, kill, until
from tests.runner.vast.fake import IMAGE, FakeVast, Image
from tests.storage.server import KEY, REGION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.b2 import B2Store
    from tests.storage.server import Server

CHAIN = ("--vf", "hflip", "--codec", "ffv1")
RENTED = ("--on", "vast", "--max-price", "2", "--budget", "1", "--image", IMAGE, "--segment-s", "0.8")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "in.mkv", frames=60, codec="libx264", audio="aac", gop=7)


@pytest.fixture
def vast(tmp_path: Path) -> Iterator[FakeVast]:
    folder = tmp_path / "vast"
    folder.mkdir()
    with FakeVast(folder) as running:
        cache = {name: os.environ[name] for name in ("NUMBA_CACHE_DIR",) if name in os.environ}
        running.images[IMAGE] = Image(env=cache)
        yield running


@pytest.fixture
def desk(tmp_path: Path, server: Server, bucket: str, vast: FakeVast) -> Desk:
    given = server.credentials
    variables = {
        "B2_APPLICATION_KEY_ID": given.key_id, "B2_APPLICATION_KEY": given.key, "B2_REGION": REGION,
        "B2_ENDPOINT": server.url, "FRAMEHAUL_BUCKET": f"b2://{bucket}",
    }  # fmt: skip
    home = tmp_path / "desk"
    home.mkdir()
    return Desk(home=home, variables=variables | vast.environment())


def commits(remote: B2Store) -> list[str]:
    return [info.key for info in remote.list("runs/") if "/commit/" in info.key]


def check(out: Path, clip: Path, tmp_path: Path) -> None:
    wanted = tmp_path / "wanted.mkv"
    assert main(["run", str(clip), str(wanted), *CHAIN, "-q", "-y"]) == 0
    assert frames(out) == frames(wanted)
    assert audio(out) == audio(clip)


def nothing_secret(vast: FakeVast, *texts: str) -> None:
    """No key anywhere but in the header that it belongs into."""
    assert vast.key_leaks() == []
    told = [vast.journal_text(), *texts]
    for instance in vast.instances.values():
        told += [instance.log, json.dumps(instance.environ | {"CONTAINER_API_KEY": ""}), *instance.argv]
    for text in told:
        assert KEY not in text
        assert "VASTKEY" not in text


def test_from_a_file_to_a_file(desk: Desk, vast: FakeVast, remote: B2Store, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    foreign = vast.add_foreign()
    done = desk.run("submit", clip, out, *RENTED, *CHAIN, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["state"], told["frames"]) == ("done", 60)
    assert vast.billing() == []
    assert foreign.exists
    assert 0 < vast.spent_usd() <= told["spent_usd"] < 1
    check(out, clip, tmp_path)
    left = [info.key for info in remote.list("")]
    assert not [key for key in left if key.endswith((".nut", ".mkv")) or "/boot/" in key]
    nothing_secret(vast, done.stdout, done.stderr, *(read(remote, key) for key in left))


def read(remote: B2Store, key: str) -> str:
    from storage.reader import ObjectReader

    with ObjectReader(remote, key) as file:
        return file.read().decode("utf-8", "replace")


@pytest.mark.long
def test_lost_on_the_way(desk: Desk, vast: FakeVast, bucket: str, remote: B2Store, clip: Path, tmp_path: Path) -> None:
    """The reply to the first rent is lost, its machine dies at work, and so does the laptop; another one goes on."""
    storage.upload(clip, f"b2://{bucket}/in.mkv", credentials=remote_credentials(desk))
    vast.break_next("create", lose=True)
    words = ("submit", f"b2://{bucket}/in.mkv", f"b2://{bucket}/out.mkv", *RENTED, *CHAIN)
    job = desk.start(*words)
    until(lambda: commits(remote), watched=job)
    for number in vast.billing():
        vast.outbid(number)
    kill(job)
    other = Desk(home=tmp_path / "other", variables=desk.variables)
    other.home.mkdir()
    (row,) = other.json("ps")
    before = row["segments_done"]
    assert before >= 1
    told = other.json("resume", row["run"])
    assert told["frames"] == 60
    assert vast.billing() == []
    out = tmp_path / "out.mkv"
    storage.download(f"b2://{bucket}/out.mkv", out, credentials=remote_credentials(desk))
    check(out, clip, tmp_path)
    assert other.run("reap").returncode == 0
    assert vast.spent_usd() <= told["spent_usd"] < 1


def remote_credentials(desk: Desk) -> Any:
    from storage.credentials import make_credentials

    given = desk.variables
    return make_credentials(
        given["B2_APPLICATION_KEY_ID"], given["B2_APPLICATION_KEY"], region=REGION, endpoint=given["B2_ENDPOINT"]
    )


@pytest.mark.long
def test_a_bad_image_stops_it(desk: Desk, vast: FakeVast, clip: Path, tmp_path: Path) -> None:
    words = [*RENTED, *CHAIN]
    words[words.index(IMAGE)] = "framehaul/worker:nowhere"
    done = desk.run("submit", clip, tmp_path / "out.mkv", *words)
    assert done.returncode == 2, done.stderr
    assert "manifest unknown" in done.stderr
    assert vast.billing() == []
    assert len(vast.calls("create")) == 1


def test_a_signal_ends_the_machine(desk: Desk, vast: FakeVast, clip: Path, tmp_path: Path) -> None:
    job = desk.start("submit", clip, tmp_path / "out.mkv", *RENTED, *CHAIN)
    until(vast.billing, watched=job)
    vast.break_next("destroy", status=500, times=2)
    job.send_signal(signal.SIGINT)
    _, told = job.communicate(timeout=120)
    assert job.returncode == 130, told
    assert vast.billing() == []


@pytest.mark.long
def test_a_signal_ends_the_wait_before_renting(desk: Desk, vast: FakeVast, clip: Path, tmp_path: Path) -> None:
    """The service asks to come back in an hour."""
    body = {"success": False, "error": "rate_limit", "msg": "API requests too frequent"}
    vast.break_next("create", status=429, headers={"Retry-After": "3600"}, body=body)
    job = desk.start("submit", clip, tmp_path / "out.mkv", *RENTED, *CHAIN)
    until(lambda: vast.calls("create"), watched=job)
    job.send_signal(signal.SIGTERM)
    _, told = job.communicate(timeout=50)
    assert job.returncode == 130, told
    assert len(vast.calls("create")) == 1
    assert desk.run("reap").returncode == 0


@pytest.mark.long
def test_an_orphan_is_loud(desk: Desk, vast: FakeVast, clip: Path, tmp_path: Path) -> None:
    job = desk.start("submit", clip, tmp_path / "out.mkv", *RENTED, *CHAIN)
    until(vast.billing, watched=job)
    kill(job)
    refused = {"success": False, "error": "auth_error", "msg": "no"}
    run = desk.run_name()
    vast.break_next("list", status=403, times=100, body=refused)
    unlisted = desk.run("cancel", run)
    assert unlisted.returncode == 6, unlisted.stderr
    vast.faults.clear()
    vast.break_next("destroy", status=403, times=100, body=refused)
    failed = desk.run("cancel", run)
    assert failed.returncode == 6, failed.stderr
    assert "may still cost money" in failed.stderr
    vast.faults.clear()
    assert desk.run("reap").returncode == 0
    assert vast.billing() == []


def test_an_account_without_the_money_rents_nothing(
    desk: Desk, vast: FakeVast, remote: B2Store, clip: Path, tmp_path: Path
) -> None:
    vast.initial_credit_usd = 0.0001
    done = desk.run("submit", clip, tmp_path / "out.mkv", *RENTED, *CHAIN)
    assert done.returncode == 5, done.stderr
    assert "account has $0.00 left" in done.stderr
    assert vast.calls("create") == []
    assert list(remote.list("")) == []  # not even the input was sent


@pytest.mark.long
def test_two_jobs_on_one_file(desk: Desk, vast: FakeVast, remote: B2Store, clip: Path, tmp_path: Path) -> None:
    """The first to end leaves the copy of the input to the other; the last takes it away."""

    def copies() -> list[str]:
        return [info.key for info in remote.list("inputs/") if info.key.endswith("in.mkv")]

    slow = desk.start("submit", clip, tmp_path / "slow.mkv", *RENTED, *CHAIN)
    until(vast.billing, watched=slow)
    (number,) = vast.billing()
    until(vast.instances[number].pids, watched=slow)
    vast.instances[number].freeze(frozen=True)
    quick = desk.run("submit", clip, tmp_path / "quick.mkv", *RENTED, *CHAIN)
    assert quick.returncode == 0, quick.stderr
    assert len(copies()) == 1
    vast.instances[number].freeze(frozen=False)
    _, told = slow.communicate(timeout=120)
    assert slow.returncode == 0, told
    assert copies() == []
    assert frames(tmp_path / "slow.mkv") == frames(tmp_path / "quick.mkv")
    assert vast.billing() == []
