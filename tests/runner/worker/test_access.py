"""What machines are given, and that it is taken back."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from runner.access import Mode, RunAccess
from runner.errors import UsageError
from runner.worker.boot import Boot, KeyAccess, UrlAccess, fetch
from storage.errors import StorageError
from storage.grants import GrantStore
from storage.keys import KeyService
from storage.writer import ObjectWriter
from tests.runner.worker.runs import RUN, Run, plan_run, work
from tests.runner.worker.test_worker import CUTS, LABEL, SECOND, local_run
from tests.storage.native_api import NativeApi
from tests.storage.server import KEY, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from storage.b2 import B2Store
    from storage.credentials import Credentials
    from tests.storage.server import Server

HOUR_S: Final = 3600.0


@pytest.fixture
def run(sources: Path, tmp_path: Path, account: Callable[[str], str], remote: B2Store) -> Run:
    remote.put("in/cfr.mp4", (sources / "cfr.mp4").read_bytes())
    return plan_run(
        account("jobs/"), account("in/cfr.mp4"), account("out/clip.mkv"), cuts=CUTS, state=tmp_path / "state"
    )


@pytest.fixture
def native(server: Server, bucket: str) -> Iterator[NativeApi]:
    given = server.credentials
    account = (given.key_id, given.key)
    with NativeApi(account=account, made=account, s3_url=server.url, buckets={bucket: "b-1"}) as running:
        yield running


def service(native: NativeApi, server: Server, credentials: Credentials) -> KeyService:
    return KeyService(credentials, api=native.url, retrier=server.retrier())


def read_boot(url: str) -> Boot:
    return Boot.model_validate_json(fetch(url, "the boot document", max_bytes=1 << 24))


def test_three_keys_that_can_do_no_more_than_they_must(
    run: Run, native: NativeApi, server: Server, bucket: str
) -> None:
    make = partial(service, native, server)
    access = RunAccess(run.bucket, run.plan, provider="vast", service=make)
    assert access.mode is Mode.KEYS
    until_s = time.time() + HOUR_S
    boot = read_boot(access.boot(LABEL, deadline_s=until_s))
    made = [body for name, body in native.calls if name == "b2_create_key"]
    assert [(body["namePrefix"], body["capabilities"]) for body in made] == [
        ("in/cfr.mp4", ["readFiles"]),
        (f"jobs/runs/{RUN}/", ["listFiles", "readFiles", "writeFiles"]),
        ("out/clip.mkv", ["writeFiles"]),
    ]
    assert all(body["bucketIds"] == ["b-1"] for body in made)
    assert all(HOUR_S < body["validDurationInSeconds"] <= 2 * HOUR_S for body in made)
    assert isinstance(boot.access, KeyAccess)
    assert (boot.worker, boot.deadline_s, boot.plan_digest) == (LABEL, until_s, run.plan.digest)
    access.revoke()
    assert [name for name, _ in native.calls].count("b2_delete_key") == 3
    assert native.keys == {}
    assert list(run.bucket.control_names("boot/")) == list(run.bucket.control_names("access/")) == []


def test_keys_that_were_made_are_taken_back_when_another_cannot_be(run: Run, native: NativeApi, server: Server) -> None:
    made = 0

    class Failing(KeyService):
        def create(self, *args: object, **options: object) -> object:  # type: ignore[override]
            nonlocal made
            made += 1
            if made == 3:
                native.failures = [(400, "bad_request", "no more keys", {})]
            return super().create(*args, **options)  # type: ignore[arg-type]

    access = RunAccess(
        run.bucket,
        run.plan,
        provider="vast",
        service=lambda credentials: Failing(credentials, api=native.url, retrier=server.retrier()),
    )
    with pytest.raises(StorageError, match="no more keys"):
        access.boot(LABEL, deadline_s=time.time() + HOUR_S)
    assert native.keys == {}


def test_a_process_that_ends_between_two_keys_leaves_none_that_nobody_knows_of(
    run: Run, native: NativeApi, server: Server
) -> None:
    class Ending(KeyService):
        def create(self, *args: object, **options: object) -> object:  # type: ignore[override]
            if len(native.keys) == 2:
                raise KeyboardInterrupt
            native.made = (f"key-{len(native.keys)}", KEY)
            return super().create(*args, **options)  # type: ignore[arg-type]

    access = RunAccess(
        run.bucket,
        run.plan,
        provider="vast",
        service=lambda credentials: Ending(credentials, api=native.url, retrier=server.retrier()),
    )
    with pytest.raises(KeyboardInterrupt):
        access.boot(LABEL, deadline_s=time.time() + HOUR_S)
    assert set(native.keys) == {"key-0", "key-1"}
    RunAccess(run.bucket, run.plan, provider="vast", service=partial(service, native, server)).revoke()
    assert native.keys == {}


def test_a_worker_on_a_rented_machine_uses_the_keys(
    run: Run, native: NativeApi, server: Server, tmp_path: Path
) -> None:
    access = RunAccess(run.bucket, run.plan, provider="vast", service=partial(service, native, server))
    given = access.boot(LABEL, deadline_s=time.time() + HOUR_S)
    assert "?" in given  # presigned, and the one thing in the machine's environment
    environment = {"XDG_STATE_HOME": str(tmp_path / "machine")}
    assert work(run, given, log=tmp_path / "log", environment=environment) == 0
    done = run.done()
    assert done is not None
    assert done.ok
    assert SECRETS.search((tmp_path / "log").read_text()) is None


def test_urls_alone_are_worth_nothing_afterwards(run: Run, remote: B2Store) -> None:
    access = run.access(provider="vast")
    assert access.mode is Mode.URLS  # the server knows no keys that expire
    url = access.boot(LABEL, deadline_s=time.time() + HOUR_S)
    boot = read_boot(url)
    assert isinstance(boot.access, UrlAccess)
    assert KEY not in boot.model_dump_json()
    grants = [attempt.grant for segment in boot.access.segments for attempt in segment.attempts]
    assert len(grants) == 6
    assert len(list(remote.list_uploads())) == 8
    access.revoke()
    assert list(remote.list_uploads()) == []
    for grant in (*grants, *boot.access.outputs):
        store = GrantStore(grant)
        with pytest.raises(StorageError), ObjectWriter(store, grant.key, part_bytes=store.part_bytes) as file:
            file.write(b"too late")
    with pytest.raises(StorageError):
        fetch(url, "the boot document", max_bytes=1 << 24)


@pytest.mark.long
def test_what_is_committed_can_be_read_with_urls_and_not_be_written(run: Run, tmp_path: Path, remote: B2Store) -> None:
    first = run.access(mode=Mode.OWN)
    assert work(run, first.boot(LABEL, deadline_s=time.time() + HOUR_S), log=tmp_path / "log") == 0
    run.bucket.delete(run.bucket.folder.object("done.json"))
    run.bucket.delete(run.bucket.folder.object("commit/000001.json"))
    remote.delete("out/clip.mkv")
    second = run.access(mode=Mode.URLS)
    given = second.boot(SECOND, deadline_s=time.time() + HOUR_S)
    boot = read_boot(given)
    assert isinstance(boot.access, UrlAccess)
    assert [len(segment.attempts) for segment in boot.access.segments] == [0, 2, 0]
    assert work(run, given, log=tmp_path / "log") == 0
    assert {number: commit.worker for number, commit in run.commits().items()} == {0: LABEL, 1: SECOND, 2: LABEL}
    assert remote.head("out/clip.mkv").size_bytes > 0
    second.revoke()


def test_a_folder_of_this_machine_is_no_place_for_another(sources: Path, tmp_path: Path) -> None:
    run = local_run(sources, tmp_path, "cfr.mp4")
    with pytest.raises(UsageError, match="on this machine"):
        run.access(provider="vast", mode=Mode.URLS)


def test_the_boot_document_on_this_machine_is_its_owners_alone(sources: Path, tmp_path: Path) -> None:
    run = local_run(sources, tmp_path, "cfr.mp4")
    access = run.access()
    path = tmp_path / "state" / "framehaul" / "boot" / f"{LABEL}.json"
    assert access.boot(LABEL, deadline_s=time.time() + HOUR_S) == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    access.revoke()
    access.revoke()
    assert not path.exists()


def test_a_boot_document_shows_nothing_of_its_keys(run: Run) -> None:
    boot = read_boot(run.access(mode=Mode.OWN).boot(LABEL, deadline_s=time.time() + HOUR_S))
    assert KEY in boot.model_dump_json()
    assert KEY not in repr(boot) + str(boot)
    assert "Signature" not in repr(boot)


def test_neither_the_url_nor_what_is_behind_it_holds_the_accounts_key(run: Run) -> None:
    url = run.access(provider="vast").boot(LABEL, deadline_s=time.time() + HOUR_S)
    assert KEY not in url
    assert KEY.encode() not in fetch(url, "the boot document", max_bytes=1 << 24)
