"""Workers as real processes: what they write, and what becomes of it when they are killed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from kernels.io.encode import EncodeSettings
from runner.access import Mode
from runner.records import Commit, Progress
from runner.worker.main import GIVEN_UP
from runner.worker.segments import STORING
from tests.kernels.io.jobs import samples
from tests.kernels.test_segments import facts, shown
from tests.runner.worker.runs import LONG_S, RUN, Run, plan_run, until, whole, work, worker
from tests.storage.server import KEY, SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.b2 import B2Store
    from tests.storage.server import Server

CUTS: Final = (13, 29)
"""Inside open groups of eight frames."""
LABEL: Final = f"framehaul-{RUN}-0-aaaa"
SECOND: Final = f"framehaul-{RUN}-0-bbbb"


def local_run(sources: Path, tmp_path: Path, source: str, output: str = "out.mkv", **options: Any) -> Run:
    """A run whose bucket is a folder."""
    options.setdefault("cuts", CUTS)
    root = f"{tmp_path / 'bucket'}/"
    return plan_run(root, str(sources / source), str(tmp_path / output), state=tmp_path / "state", **options)


def boot(run: Run, label: str = LABEL, **options: Any) -> str:
    deadline_s = options.pop("deadline_s", time.time() + 2 * LONG_S)
    return run.access(**options).boot(label, deadline_s=deadline_s)


@pytest.mark.parametrize("source", ["cfr.mp4", "vfr.mkv", "ten.mp4"])
def test_a_worker_writes_what_one_run_writes(
    source: str, sources: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    run = local_run(sources, tmp_path, source)
    assert work(run, boot(run), log=tmp_path / "log") == 0
    made, wanted = (tmp_path / "out.mkv").read_bytes(), whole(sources / source, "mkv", EncodeSettings(codec="ffv1"))
    assert samples(made) == samples(wanted)
    assert shown(made) == shown(wanted)
    assert facts(made) == facts(wanted)
    done = run.done()
    assert done is not None
    assert (done.ok, done.frames, done.output_size_bytes) == (True, 44, len(made))
    assert sorted(run.commits()) == [0, 1, 2]
    told = re.search(r"first frame ([\d.]+) s after", (tmp_path / "log").read_text())
    assert told is not None
    record_property("first_frame_s", told[1])
    assert list((tmp_path / "state/framehaul/worker").iterdir()) == []  # keys stay no longer than the work


@pytest.mark.parametrize(
    ("mode", "source", "output", "encode"),
    [
        (Mode.OWN, "cfr.mp4", "out.mkv", EncodeSettings(codec="ffv1")),
        (Mode.URLS, "vfr.mkv", "out.mp4", EncodeSettings(codec="h264", crf=0, preset="veryfast")),
    ],
)
def test_a_worker_needs_no_more_than_it_is_given(
    mode: Mode,
    source: str,
    output: str,
    encode: EncodeSettings,
    sources: Path,
    tmp_path: Path,
    account: Callable[[str], str],
    remote: B2Store,
) -> None:
    remote.put(f"in/{source}", (sources / source).read_bytes())
    run = plan_run(
        account("jobs/"),
        account(f"in/{source}"),
        account(f"out/{output}"),
        codec=encode.codec,
        crf=encode.crf,
        preset=encode.preset,
        cuts=CUTS,
        state=tmp_path / "state",
    )
    access = run.access(mode=mode)
    assert work(run, access.boot(LABEL, deadline_s=time.time() + 2 * LONG_S), log=tmp_path / "log") == 0
    info = remote.head(f"out/{output}")
    with remote.open_range(info, 0, info.size_bytes) as body:
        made = bytearray(info.size_bytes)
        view = memoryview(made)
        while count := body.readinto(view):
            view = view[count:]
    wanted = whole(sources / source, output.rpartition(".")[2], encode)
    assert samples(bytes(made)) == samples(wanted)
    assert shown(bytes(made)) == shown(wanted)
    assert facts(bytes(made)) == facts(wanted)
    access.revoke()
    assert list(remote.list_uploads()) == []
    assert SECRETS.search((tmp_path / "log").read_text()) is None
    for name in run.objects():
        data = run.bucket.read_bytes(run.bucket.folder.object(name))
        assert data is not None
        assert SECRETS.search(data.decode("latin-1")) is None


@pytest.mark.parametrize("mode", [Mode.OWN, Mode.URLS])
@pytest.mark.long
def test_a_refusal_of_the_store_costs_one_attempt(
    mode: Mode, sources: Path, tmp_path: Path, account: Callable[[str], str], remote: B2Store, server: Server
) -> None:
    remote.put("in.mp4", (sources / "cfr.mp4").read_bytes())
    run = plan_run(account(""), account("in.mp4"), account("out.mkv"), cuts=CUTS, state=tmp_path / "state")
    given = run.access(mode=mode).boot(LABEL, deadline_s=time.time() + 2 * LONG_S)
    sent = "PutObject" if mode is Mode.OWN else "UploadPart"
    refusal = {"op": sent, "times": 1, "status": 403, "code": "AccessDenied", "message": "not now"}
    server.break_next(
        refusal | {"path": "seg/000001/"},
        refusal | {"path": "out.mkv"},
        {"op": "GetObject", "path": "in.mp4", "times": 2, "status": 503, "code": "SlowDown", "message": "slow"},
    )
    assert work(run, given, log=tmp_path / "log") == 0
    told = (tmp_path / "log").read_text()
    assert "segment 1 is tried again" in told
    assert "the segments are joined once more" in told
    info = remote.head("out.mkv")
    assert info.size_bytes == len(whole(sources / "cfr.mp4", "mkv", EncodeSettings(codec="ffv1")))


def test_segments_are_joined_while_others_are_encoded(sources: Path, tmp_path: Path) -> None:
    run = local_run(sources, tmp_path, "cfr.mp4")
    assert work(run, boot(run), log=tmp_path / "log") == 0
    told = (tmp_path / "log").read_text()
    assert told.index("the join begins") < told.index("segment 2: ")


def test_a_killed_worker_loses_one_segment_and_no_more(sources: Path, tmp_path: Path) -> None:
    run = local_run(sources, tmp_path, "large.mp4", cuts=(11, 22, 33, 44), chain="nlmeans=s=3")
    first = tmp_path / "bucket" / "runs" / RUN / "commit" / "000000.json"
    with worker(run, boot(run), log=tmp_path / "log") as process:
        until(first.exists)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = run.commits()
    assert before
    assert work(run, boot(run, SECOND), log=tmp_path / "log") == 0
    after = run.commits()
    assert {number: after[number] for number in before} == before
    assert {after[number].worker for number in after if number not in before} <= {SECOND}
    tried = [name for name in run.objects("seg/") if LABEL in name]
    assert len(tried) <= len(before) + 1 + STORING  # at most what was lost
    assert len([name for name in run.objects("seg/") if SECOND in name]) == 5 - len(before)
    done = run.done()
    assert done is not None
    assert done.frames == 60


@pytest.mark.parametrize("commits", [0, 2, 3])
def test_whenever_a_worker_is_killed_the_output_is_whole(commits: int, sources: Path, tmp_path: Path) -> None:
    """With 3 commits it is joining, or nearly done."""
    run = local_run(sources, tmp_path, "cfr.mp4")
    with worker(run, boot(run), log=tmp_path / "log") as process:
        until(lambda: run.objects("events/") if not commits else len(run.commits()) >= commits)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = run.commits()
    assert work(run, boot(run, SECOND), log=tmp_path / "log") == 0
    after = run.commits()
    assert {number: after[number] for number in before} == before
    wanted = whole(sources / "cfr.mp4", "mkv", EncodeSettings(codec="ffv1"))
    assert (tmp_path / "out.mkv").read_bytes() == wanted
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_what_is_done_is_not_done_again(sources: Path, tmp_path: Path) -> None:
    run = local_run(sources, tmp_path, "cfr.mp4")
    assert work(run, boot(run), log=tmp_path / "log") == 0
    before = run.objects()
    assert work(run, boot(run, SECOND), log=tmp_path / "log") == 0
    assert run.objects() == before


def test_commits_of_another_plan_and_of_lost_objects_count_for_nothing(sources: Path, tmp_path: Path) -> None:
    run = local_run(sources, tmp_path, "cfr.mp4")
    digest, folder = run.plan.digest, run.bucket.folder
    facts = {
        "size_bytes": 5, "sha256": "", "extradata_sha256": "", "first_pts": 0, "last_pts": 1, "worker": "w",
        "elapsed_s": 1,
    }  # fmt: skip
    for number, plan, frames in ((0, "another", 13), (1, digest, 16), (2, digest, 3)):
        key = folder.segment_name(number, "x")
        commit = Commit(plan=plan, number=number, key=key, frames=frames, **facts)
        run.bucket.write(folder.object(folder.commit_name(number)), commit)
        if number != 1:
            run.bucket.write_bytes(folder.object(key), b"12345")
    assert work(run, boot(run), log=tmp_path / "log") == 0
    assert {commit.worker for commit in run.commits().values()} == {LABEL}


def test_a_replaced_input_is_not_worked_on(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_bytes((sources / "cfr.mp4").read_bytes())
    run = local_run(tmp_path, tmp_path, "in.mp4")
    (tmp_path / "in.mp4").write_bytes((sources / "ten.mp4").read_bytes())
    assert work(run, boot(run), log=tmp_path / "log") == 0
    done = run.done()
    assert done is not None
    assert (done.ok, done.exit_code) == (False, 3)
    assert "was replaced or deleted after the job was planned" in done.message
    last = run.bucket.read(run.bucket.folder.object(run.objects("events/")[-1]), Progress)
    assert last is not None
    assert last.state == "failed"


def test_a_job_that_cannot_be_done_is_given_to_no_other_machine(sources: Path, tmp_path: Path) -> None:
    run = local_run(sources, tmp_path, "cfr.mp4")
    wrong = run.plan.model_copy(update={"spec": run.plan.spec.model_copy(update={"chain": "nosuchthing=3"})})
    run.bucket.write(run.bucket.folder.plan, wrong)
    run = Run(plan=wrong, bucket=run.bucket, credentials=None, state=run.state)
    assert work(run, boot(run), log=tmp_path / "log") == 0
    done = run.done()
    assert done is not None
    assert (done.ok, done.exit_code) == (False, 2)
    assert "nosuchthing" in done.message


def test_a_machine_does_no_other_plan_than_its_own(sources: Path, tmp_path: Path) -> None:
    run = local_run(sources, tmp_path, "cfr.mp4")
    given = boot(run)
    other = run.plan.model_copy(update={"spec": run.plan.spec.model_copy(update={"chain": "hflip"})})
    run.bucket.write(run.bucket.folder.plan, other)
    assert work(run, given, log=tmp_path / "log") == GIVEN_UP
    assert not run.commits()


@pytest.mark.long
def test_no_key_is_in_any_process_while_it_works(
    sources: Path, tmp_path: Path, account: Callable[[str], str], remote: B2Store
) -> None:
    remote.put("in.mp4", (sources / "cfr.mp4").read_bytes())
    run = plan_run(
        account(""),
        account("in.mp4"),
        account("out.mkv"),
        cuts=CUTS,
        state=tmp_path / "state",
    )
    seen: set[bytes] = set()
    with worker(run, boot(run), log=tmp_path / "log") as process:
        while process.poll() is None:
            seen.update(_told_by_processes(process.pid))
    assert any(b"--work" in text for text in seen)
    assert all(KEY.encode() not in text for text in seen)
    assert KEY not in (tmp_path / "log").read_text()


def _told_by_processes(group: int) -> list[bytes]:
    """Environment and arguments of every process of a group."""
    members = [one for one in Path("/proc").iterdir() if one.name.isdigit() and _group_of(int(one.name)) == group]
    found = []
    for one in members:
        with contextlib.suppress(OSError):  # it has ended
            found.append((one / "environ").read_bytes() + (one / "cmdline").read_bytes())
    return found


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0
