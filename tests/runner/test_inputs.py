"""One copy of a local input serves all runs of the same file, and goes with the last of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import pytest

import storage
from runner.bucket import Bucket
from runner.errors import Interrupted, UsageError
from runner.inputs import BEGINS_S, provide, release
from runner.ticket import End, Ticket
from storage.uri import LocalUri, ObjectUri, parse

if TYPE_CHECKING:
    from pathlib import Path

    from storage.b2 import B2Store
    from tests.storage.server import Server

FIRST: Final = "20260101-120000-aaaaaa"
SECOND: Final = "20260101-120001-bbbbbb"
DAY_S: Final = 86_400.0


@pytest.fixture
def place(server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    given = server.credentials
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", given.key_id)
    monkeypatch.setenv("B2_APPLICATION_KEY", given.key)
    root = parse(f"s3://{bucket}/jobs?endpoint={server.url}&region={given.region}")
    assert isinstance(root, ObjectUri)
    return Bucket(root)


@pytest.fixture
def film(tmp_path: Path) -> LocalUri:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"film")
    return LocalUri(path)


def begin(place: Bucket, run: str, copy: ObjectUri, *, deadline_s: float) -> None:
    ticket = Ticket(
        run=run, created_s=0, deadline_s=deadline_s, provider="vast", given_input="film.mkv", given_output="out.mkv",
        host="here", uploaded=str(copy), made="out.mkv",
    )  # fmt: skip
    place.run(run).write(place.run(run).folder.ticket, ticket)


def inputs(remote: B2Store) -> list[str]:
    """What is left in any version."""
    return [one.info.key.rpartition("/")[2] for one in remote.list_versions("jobs/inputs/")]


def test_the_last_to_finish_deletes_it(place: Bucket, film: LocalUri, remote: B2Store, server: Server) -> None:
    now_s = time.time()
    copies = [provide(film, place, run) for run in (FIRST, SECOND)]
    assert copies[0] == copies[1]
    assert server.counts()["PutObject"] == 3  # sent once, and two notes
    for run in (FIRST, SECOND):
        begin(place, run, copies[0], deadline_s=now_s + DAY_S)
    release(place.run(FIRST), str(copies[0]), now_s=now_s)
    with storage.open(copies[0]) as file:
        assert file.read() == b"film"
    release(place.run(SECOND), str(copies[0]), now_s=now_s)
    assert inputs(remote) == []


@pytest.mark.parametrize(
    ("other", "kept"),
    [
        ({}, True),
        ({"state": "cancelled"}, True),
        ({"state": "failed"}, True),
        ({"state": "finished"}, False),
        ({"deadline_s": -1.0}, False),
        ({"state": "cancelled", "deadline_s": -1.0}, False),
        ({"ticket": False}, True),
        ({"ticket": False, "later_s": 2 * BEGINS_S}, False),
    ],
    ids=str,
)
def test_which_runs_still_need_it(
    other: dict[str, Any], place: Bucket, film: LocalUri, remote: B2Store, *, kept: bool
) -> None:
    now_s = time.time() + other.get("later_s", 0)
    copy, _ = (provide(film, place, run) for run in (FIRST, SECOND))
    begin(place, FIRST, copy, deadline_s=now_s + DAY_S)
    if other.get("ticket", True):
        begin(place, SECOND, copy, deadline_s=now_s + other.get("deadline_s", DAY_S))
    if "state" in other:
        second = place.run(SECOND)
        second.write(second.folder.end, End(state=other["state"], time_s=now_s))
    release(place.run(FIRST), str(copy), now_s=now_s)
    assert inputs(remote) == (["film.mkv", SECOND] if kept else [])


def test_a_run_that_was_stopped_while_it_was_sent_keeps_nobody_waiting(
    place: Bucket, film: LocalUri, remote: B2Store
) -> None:
    def stop() -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        provide(film, place, FIRST, check=stop)
    copy = provide(film, place, SECOND)
    release(place.run(SECOND), str(copy), now_s=time.time())
    assert inputs(remote) == []


def test_another_file_is_another_copy(place: Bucket, film: LocalUri, remote: B2Store) -> None:
    first = provide(film, place, FIRST)
    film.path.write_bytes(b"another film")
    second = provide(film, place, SECOND)
    assert first != second
    release(place.run(FIRST), str(first), now_s=time.time())
    assert [info.size_bytes for info in remote.list(second.key)] == [12]


def test_a_folder_is_no_place_for_it(film: LocalUri, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no rented one can read it"):
        provide(film, Bucket(LocalUri(tmp_path, folder=True)), FIRST)
