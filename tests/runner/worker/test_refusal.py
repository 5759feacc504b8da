"""Outputs and folders that take nothing: the job is at fault, unless the machine's own keys or URLs are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import pytest

from runner.access import Mode
from runner.errors import RefusedPlaceError
from runner.records import Done, Progress
from runner.worker.boot import Boot, UrlAccess, fetch
from runner.worker.main import DONE, GIVEN_UP
from runner.worker.refusal import EVERY_S, Trials, check_places, find_refusal
from storage.errors import Failure, TooLargeError, refused
from storage.grants import GrantStore
from storage.keys import KeyService
from storage.uri import ObjectUri, parse
from tests.runner.e2e.stage import KeyMaker
from tests.runner.worker.runs import LONG_S, Run, plan_run, until, work, worker
from tests.runner.worker.test_worker import CUTS, LABEL, SECOND, boot, local_run
from tests.storage.server import SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.access import RunAccess
    from storage.b2 import B2Store
    from storage.credentials import Credentials
    from tests.storage.server import Server

ALL: Final = 10_000
"""Times that a fault is injected: until the end."""


@pytest.fixture
def run(sources: Path, tmp_path: Path, account: Callable[[str], str], remote: B2Store) -> Run:
    remote.put("in.mp4", (sources / "cfr.mp4").read_bytes())
    return plan_run(account("jobs/"), account("in.mp4"), account("out.mkv"), cuts=CUTS, state=tmp_path / "state")


def denied(path: str, **more: object) -> dict[str, object]:
    """Whatever writes there is refused: not what reads, and not what tidies up."""
    refusal = {"status": 403, "code": "AccessDenied", "message": "not entitled", "times": ALL}
    return {"path": path} | refusal | more


def failed(run: Run) -> Done:
    done = run.done()
    assert done is not None
    assert (done.ok, done.exit_code) == (False, 4)
    assert "\n" not in done.message
    assert f"`runner resume {run.plan.run}` goes on" in done.message
    last = run.bucket.read(run.bucket.folder.object(run.objects("events/")[-1]), Progress)
    assert last is not None
    assert last.state == "failed"
    return done


@pytest.mark.parametrize("op", ["CreateMultipartUpload", "UploadPart"])
def test_an_output_that_takes_nothing_fails_the_job_before_the_first_frame(
    op: str, run: Run, tmp_path: Path, server: Server
) -> None:
    given = boot(run)
    server.break_next(denied("out.mkv", op=op))
    assert work(run, given, log=tmp_path / "log") == DONE
    assert "the output cannot be written by any machine" in failed(run).message
    assert run.objects("seg/") == []
    assert SECRETS.search((tmp_path / "log").read_text()) is None


@pytest.mark.long
def test_a_bucket_that_is_not_there(run: Run, account: Callable[[str], str], tmp_path: Path) -> None:
    elsewhere = parse(account("out.mkv"))
    assert isinstance(elsewhere, ObjectUri)
    gone = str(elsewhere).replace(elsewhere.bucket, "no-such-bucket")
    assert work(run, boot(run, output=gone), log=tmp_path / "log") == DONE
    assert "NoSuchBucket" in failed(run).message


@pytest.mark.long
def test_a_folder_that_is_not_there(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run = local_run(sources, tmp_path, "cfr.mp4", output="out/film.mkv")
    (tmp_path / "out").rmdir()
    assert work(run, boot(run), log=tmp_path / "log") == DONE
    assert "does not exist; create it" in failed(run).message


@pytest.mark.parametrize("mode", [Mode.OWN, Mode.URLS])
@pytest.mark.long
def test_an_output_that_takes_nothing_any_more(mode: Mode, run: Run, tmp_path: Path, server: Server) -> None:
    """With presigned URLs it is found out at the end, when the output is sent."""
    given = boot(run, mode=mode)
    with worker(run, given, log=tmp_path / "log") as process:
        until(run.commits)
        server.break_next(*(denied("out.mkv", op=op) for op in ("CreateMultipartUpload", "UploadPart", "PutObject")))
        assert process.wait(timeout=LONG_S) == DONE
    assert "the output cannot be written by any machine" in failed(run).message


@pytest.mark.long
def test_who_can_say_nothing_gives_up(run: Run, tmp_path: Path, server: Server) -> None:
    given = boot(run)
    server.break_next(*(denied(f"/{part}", op=op) for part in ("runs/", "out") for op in ("PutObject", "UploadPart")))
    assert work(run, given, log=tmp_path / "log") == GIVEN_UP
    assert run.done() is None
    told = (tmp_path / "log").read_text()
    assert "the job cannot be done" in told
    assert "that cannot be told" in told
    assert "Traceback" not in told


@pytest.fixture
def native(server: Server, bucket: str) -> Iterator[KeyMaker]:
    with KeyMaker(server, server.credentials, {bucket: "b-1"}) as running:
        yield running


def with_keys(run: Run, native: KeyMaker) -> RunAccess:
    """What gives a machine three keys of its own."""

    def make(credentials: Credentials) -> KeyService:
        return KeyService(credentials, api=native.url, retrier=native.server.retrier())

    return run.access(mode=Mode.KEYS, service=make)


def read_boot(path: str) -> Boot:
    return Boot.model_validate_json(fetch(path, "the boot document", max_bytes=1 << 24))


@pytest.mark.long
def test_machines_whose_keys_are_dead_end_no_job(run: Run, native: KeyMaker, tmp_path: Path, server: Server) -> None:
    given = with_keys(run, native).boot(LABEL, deadline_s=time.time() + LONG_S)
    with worker(run, given, log=tmp_path / "log") as process:
        until(run.commits)
        for key in native.given:
            server.forget_key(key.key_id)
        assert process.wait(timeout=LONG_S) == GIVEN_UP
    assert run.done() is None
    fresh = with_keys(run, native).boot(SECOND, deadline_s=time.time() + LONG_S)
    assert work(run, fresh, log=tmp_path / "log") == DONE
    done = run.done()
    assert done is not None
    assert done.ok


@pytest.mark.parametrize("mode", [Mode.KEYS, Mode.URLS])
@pytest.mark.long
def test_what_was_taken_back_is_no_refusal(mode: Mode, run: Run, native: KeyMaker, server: Server) -> None:
    access = with_keys(run, native) if mode is Mode.KEYS else run.access(mode=mode)
    document = read_boot(access.boot(LABEL, deadline_s=time.time() + LONG_S))
    error = refused("writing out.mkv", Failure(status=403, code="AccessDenied"))
    assert find_refusal(document, error) is None  # the trial went well
    server.break_next(*(denied("out.mkv", op=op) for op in ("CreateMultipartUpload", "UploadPart")))
    assert find_refusal(document, error) is not None
    late = document.model_copy(update={"deadline_s": time.time() - 1})
    assert find_refusal(late, error) is None
    check_places(late)
    server.reset()
    access.revoke(LABEL)
    assert find_refusal(document, error) is None
    check_places(document)


@pytest.mark.long
def test_one_refusal_alone_is_none(run: Run, tmp_path: Path, server: Server) -> None:
    given = boot(run)
    server.break_next(denied("out.mkv", op="CreateMultipartUpload", times=1))
    assert work(run, given, log=tmp_path / "log") == DONE
    done = run.done()
    assert done is not None
    assert done.ok


def test_places_are_tried_again_while_the_work_goes_on(run: Run, server: Server) -> None:
    now_s = 0.0
    document = read_boot(boot(run))
    trials = Trials(document, clock=lambda: now_s)
    server.break_next(denied("out.mkv", op="UploadPart"))
    trials.tick()
    now_s = EVERY_S
    with pytest.raises(RefusedPlaceError, match="not entitled"):
        trials.tick()
    trials.tick()  # no sooner than after another while


def test_what_the_account_has_used_up_is_the_jobs(run: Run) -> None:
    document = read_boot(boot(run))
    error = refused("writing out.mkv", Failure(status=403, code="AccessDenied", message="Storage cap exceeded"))
    refusal = find_refusal(document, error)
    assert "Caps & Alerts" in str(refusal)


def test_what_is_larger_than_permitted_is_the_jobs(run: Run) -> None:
    document = read_boot(run.access(mode=Mode.URLS).boot(LABEL, deadline_s=time.time() + LONG_S))
    assert isinstance(document.access, UrlAccess)
    grant = document.access.outputs[0]
    with pytest.raises(TooLargeError) as error:
        GrantStore(grant).upload_part(grant.key, grant.upload, len(grant.part_urls) + 1, b"more")
    assert "with a higher --crf" in str(find_refusal(document, error.value))
