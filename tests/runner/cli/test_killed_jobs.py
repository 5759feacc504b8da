"""Jobs that are killed or interrupted half-way: nothing is lost, and a killed one goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.runner.cli.remote import FLIP, MIB, PARTS, content, start, wait_for_parts
from tests.runner.clips import write_clip
from tests.storage.server import KEY

if TYPE_CHECKING:
    from pathlib import Path

    from storage.b2 import B2Store
    from tests.runner.cli.conftest import Runner
    from tests.storage.server import Server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_ctrl_c_aborts_the_upload(
    account: str, remote: B2Store, server: Server, noise: Path, number: signal.Signals
) -> None:
    remote.put("out.mkv", b"old")
    server.reset()
    with start("run", noise, f"{account}/out.mkv", *FLIP, "-y") as job:
        wait_for_parts(server, 1, job)
        job.send_signal(number)
        printed, told = job.communicate(timeout=60)
    assert job.returncode == 130
    assert told.splitlines()[-1] == "runner: interrupted"
    assert KEY not in printed + told
    assert list(remote.list_uploads()) == []
    assert content(remote, "out.mkv") == b"old"


def noted_parts(state: Path) -> int:
    """How many parts the records of unfinished transfers have."""
    return sum(path.read_text().count('"sha256"') for path in state.rglob("*.jsonl"))


def run_and_kill(server: Server, state: Path, noise: Path | str, target: str, *, parts: int) -> None:
    """Start the job, and kill it once `parts` of its parts are there and noted; none comes after them."""
    hold = {"op": "UploadPart", "skip": parts} if parts < PARTS else {"op": "CompleteMultipartUpload"}
    server.reset()
    server.break_next(hold | {"times": 9, "delay": 600})
    pause = threading.Event()
    with start("run", noise, target, *FLIP, "-y") as job:
        while noted_parts(state) < parts:
            assert job.poll() is None, job.communicate()
            pause.wait(0.02)
        job.kill()
        job.communicate(timeout=60)
    server.reset()


@pytest.fixture
def state(account: str, tmp_path: Path) -> Path:
    """Where commands keep the records of unfinished transfers."""
    assert account
    return tmp_path / "state"


@pytest.mark.long
@pytest.mark.parametrize(("kept", "remote_input"), [(1, True), (PARTS, False)])
def test_a_killed_run_goes_on_where_it_stopped(
    inside: Runner,
    account: str,
    remote: B2Store,
    server: Server,
    state: Path,
    noise: Path,
    flipped: Path,
    kept: int,
    *,
    remote_input: bool,
) -> None:
    source: Path | str = noise
    if remote_input:
        source = f"{account}/in.mkv"
        remote.put("in.mkv", noise.read_bytes())
    remote.put("out.mkv", b"old")
    run_and_kill(server, state, source, f"{account}/out.mkv", parts=kept)
    assert content(remote, "out.mkv") == b"old"
    assert len(list(remote.list_uploads())) == 1
    server.reset()
    ended = inside("run", source, f"{account}/out.mkv", *FLIP, "-y")
    assert ended.code == 0, ended.err
    assert server.counts().get("UploadPart", 0) == PARTS - kept
    assert content(remote, "out.mkv") == flipped.read_bytes()
    assert inside("gc", account, "--only", "uploads", "--older-than", "0").out == "nothing to remove\n"
    assert list(state.rglob("*.jsonl")) == []


@pytest.mark.long
def test_a_killed_run_that_nobody_goes_on_with_is_swept(
    inside: Runner, account: str, remote: B2Store, server: Server, state: Path, noise: Path, flipped: Path
) -> None:
    remote.put("out.mkv", b"old")
    run_and_kill(server, state, noise, f"{account}/out.mkv", parts=1)
    assert content(remote, "out.mkv") == b"old"
    assert inside("gc", account, "--only", "uploads", "--older-than", "0", "--delete").code == 0
    assert list(remote.list_uploads()) == []
    assert inside("run", noise, f"{account}/out.mkv", *FLIP, "-y").code == 0
    assert content(remote, "out.mkv") == flipped.read_bytes()
    assert list(remote.list_uploads()) == []


def test_bytes_that_differ_from_those_before_the_kill_are_sent(
    inside: Runner, account: str, remote: B2Store, server: Server, state: Path, noise: Path, flipped: Path
) -> None:
    """As if the encoder had made another second part before."""
    run_and_kill(server, state, noise, f"{account}/out.mkv", parts=PARTS)
    (record,) = state.rglob("*.jsonl")
    header, begun, *parts = [json.loads(line) for line in record.read_text().splitlines()]
    (upload,) = remote.list_uploads()
    for part in parts:
        if part["part"] == 2:
            data = os.urandom(16 * MIB)
            part["etag"] = remote.upload_part("out.mkv", upload.id, 2, data).etag
            part["sha256"] = hashlib.sha256(data).hexdigest()
    record.write_text("".join(json.dumps(line) + "\n" for line in (header, begun, *parts)))
    server.reset()
    assert inside("run", noise, f"{account}/out.mkv", *FLIP, "-y").code == 0
    assert server.counts()["UploadPart"] == 1
    assert content(remote, "out.mkv") == flipped.read_bytes()


@pytest.mark.parametrize("changed", ["chain", "input"])
def test_another_job_drops_what_a_killed_one_left(
    inside: Runner,
    account: str,
    remote: B2Store,
    server: Server,
    state: Path,
    noise: Path,
    tmp_path: Path,
    changed: str,
) -> None:
    run_and_kill(server, state, noise, f"{account}/out.mkv", parts=1)
    source = noise if changed == "chain" else write_clip(tmp_path / "in.mp4")
    options = ("--vf", "vflip,crop=64:48:0:0", "--codec", "ffv1") if changed == "chain" else FLIP
    assert inside("run", source, tmp_path / "here.mkv", *options).code == 0
    server.reset()
    assert inside("run", source, f"{account}/out.mkv", *options).code == 0
    assert server.counts()["AbortMultipartUpload"] == 1
    assert content(remote, "out.mkv") == (tmp_path / "here.mkv").read_bytes()
    assert list(remote.list_uploads()) == []
    assert list(state.rglob("*.jsonl")) == []


@pytest.mark.long
@pytest.mark.parametrize("how", ["Ctrl-C", "failure"])
def test_a_run_that_goes_on_leaves_nothing_when_it_ends_early(
    inside: Runner, account: str, remote: B2Store, server: Server, state: Path, noise: Path, how: str
) -> None:
    run_and_kill(server, state, noise, f"{account}/out.mkv", parts=1)
    words = ("run", noise, f"{account}/out.mkv", *FLIP)
    if how == "failure":
        server.break_next({"op": "UploadPart", "status": 403, "code": "AccessDenied", "message": "not allowed"})
        assert inside(*words).code == 4
    else:
        server.break_next({"op": "UploadPart", "times": 9, "delay": 600})
        with start(*words) as job:
            wait_for_parts(server, 1, job)
            job.send_signal(signal.SIGINT)
            job.communicate(timeout=60)
        assert job.returncode == 130
    server.reset()
    assert list(remote.list_uploads()) == []
    assert list(remote.list()) == []
    assert list(state.rglob("*.jsonl")) == []


@pytest.mark.long
def test_one_target_is_written_by_one_process_of_this_machine(
    inside: Runner, account: str, remote: B2Store, server: Server, noise: Path, flipped: Path
) -> None:
    server.break_next({"op": "UploadPart", "delay": 600})
    with start("run", noise, f"{account}/out.mkv", *FLIP) as job:
        wait_for_parts(server, 1, job)
        ended = inside("run", noise, f"{account}/out.mkv", *FLIP)
        job.send_signal(signal.SIGINT)
        job.communicate(timeout=60)
    assert ended.code == 4
    assert ended.err == "runner: another process is writing the same target; wait for it or stop it\n"
    server.reset()
    assert inside("run", noise, f"{account}/out.mkv", *FLIP).code == 0
    assert content(remote, "out.mkv") == flipped.read_bytes()


def test_a_killed_copy_up_goes_on_where_it_stopped(
    inside: Runner, account: str, remote: B2Store, server: Server, tmp_path: Path
) -> None:
    data = os.urandom(100 * MIB)
    (tmp_path / "big.bin").write_bytes(data)
    remote.put("big.bin", b"old")
    server.reset()
    server.break_next({"op": "UploadPart", "skip": 3, "times": 99, "delay": 60})
    with start("cp", tmp_path / "big.bin", account, "-y") as job:
        wait_for_parts(server, 4, job)
        pause = threading.Event()
        while not parts_of(remote):
            pause.wait(0.02)
        job.kill()
        job.communicate(timeout=60)
    kept = parts_of(remote)
    assert content(remote, "big.bin") == b"old"
    server.reset()
    ended = inside("cp", tmp_path / "big.bin", account, "-y", "--json")
    assert ended.code == 0, ended.err
    assert content(remote, "big.bin") == data
    assert server.counts()["UploadPart"] < 7
    assert server.counts()["UploadPart"] >= 7 - kept
    assert list(remote.list_uploads()) == []


def parts_of(remote: B2Store) -> int:
    return sum(1 for upload in remote.list_uploads() for _ in remote.list_parts(upload.key, upload.id))


def test_a_killed_copy_down_goes_on_where_it_stopped(
    inside: Runner, account: str, remote: B2Store, server: Server, tmp_path: Path
) -> None:
    data = os.urandom(60 * MIB)
    (tmp_path / "big.bin").write_bytes(data)
    assert inside("cp", tmp_path / "big.bin", account).code == 0
    target = tmp_path / "down" / "big.bin"
    target.parent.mkdir()
    target.write_bytes(b"old")
    server.reset()
    server.break_next({"op": "GetObject", "skip": 3, "times": 99, "delay": 60})
    with start("cp", f"{account}/big.bin", target, "-y") as job:
        assert job.stderr is not None
        assert "copying" in job.stderr.readline()  # a block is there
        job.kill()
        job.communicate(timeout=60)
    assert target.read_bytes() == b"old"
    server.reset()
    ended = inside("cp", f"{account}/big.bin", target, "-y")
    assert ended.code == 0, ended.err
    assert target.read_bytes() == data
    assert server.counts()["GetObject"] < 8
    assert [path.name for path in target.parent.iterdir()] == ["big.bin"]


@pytest.mark.parametrize("option", ["--resume", "--no-resume"])
def test_ctrl_c_keeps_what_a_copy_has_only_to_go_on(
    account: str, remote: B2Store, server: Server, tmp_path: Path, option: str
) -> None:
    (tmp_path / "big.bin").write_bytes(os.urandom(60 * MIB))
    server.break_next({"op": "UploadPart", "skip": 1, "times": 99, "delay": 30})
    with start("cp", tmp_path / "big.bin", account, option) as job:
        wait_for_parts(server, 2, job)
        job.send_signal(signal.SIGINT)
        _, told = job.communicate(timeout=60)
    assert job.returncode == 130
    assert told.splitlines()[-1] == "runner: interrupted"
    assert len(list(remote.list_uploads())) == (option == "--resume")
