"""What stays in memory between encoding and joining, and what a worker fetches when it does not."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, cast

import pytest

from kernels.io.encode import EncodeSettings
from runner.access import Mode
from runner.records import WorkPlan
from runner.source_index import unpack_index
from runner.worker.boot import KeyAccess, load_boot
from runner.worker.events import LogBuffer, Reporter, Vital
from runner.worker.film import FilmReader
from runner.worker.finalise import Joiner
from runner.worker.kept import Kept
from runner.worker.redact import Redactor
from runner.worker.segments import SegmentWork
from runner.worker.with_keys import KeyWorkspace
from tests.runner.worker.runs import plan_run, whole, work

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import BinaryIO

    from storage.b2 import B2Store
    from tests.storage.server import Server

LABEL = "framehaul-20260101-120000-abcdef-0-0000"
CUTS = (13, 30)


def written(kept: Kept, number: int, *pieces: bytes) -> bytes:
    sink = io.BytesIO()
    file = kept.writing(number, cast("BinaryIO", sink))
    for piece in pieces:
        assert file.write(piece) == len(piece)
    return sink.getvalue()


def content(kept: Kept, number: int) -> bytes | None:
    file = kept.open(number)
    return None if file is None else file.read()


def test_a_copy_is_what_was_written() -> None:
    kept = Kept(100)
    assert written(kept, 3, b"abc", b"", b"defg") == b"abcdefg"
    assert content(kept, 3) == content(kept, 3) == b"abcdefg"
    assert content(kept, 4) is None
    kept.drop(3)
    kept.drop(3)
    assert content(kept, 3) is None


def test_what_has_no_room_is_written_and_forgotten() -> None:
    kept = Kept(10)
    assert written(kept, 0, b"12345678") == b"12345678"
    assert written(kept, 1, b"ab", b"c", b"d") == b"abcd"
    assert (content(kept, 0), content(kept, 1)) == (b"12345678", None)
    kept.drop(0)
    written(kept, 2, bytes(10))
    assert content(kept, 2) == bytes(10)


def test_a_second_attempt_replaces_the_first_and_its_room() -> None:
    kept = Kept(10)
    written(kept, 0, b"first way")
    written(kept, 0, b"other way")
    assert content(kept, 0) == b"other way"


@pytest.mark.parametrize("mode", [Mode.OWN, Mode.URLS])
def test_what_the_store_has_proven_is_not_fetched_again(
    mode: Mode, sources: Path, tmp_path: Path, account: Callable[[str], str], remote: B2Store, server: Server
) -> None:
    remote.put("in.mp4", (sources / "cfr.mp4").read_bytes())
    run = plan_run(account(""), account("in.mp4"), account("out.mkv"), cuts=CUTS, state=tmp_path / "state")
    given = run.access(mode=mode).boot(LABEL, deadline_s=time.time() + 600)
    server.break_next({"op": "GetObject", "path": "seg/", "times": 1000, "status": 403, "code": "AccessDenied"})
    assert work(run, given, log=tmp_path / "log") == 0
    assert remote.head("out.mkv").size_bytes == len(whole(sources / "cfr.mp4", "mkv", EncodeSettings(codec="ffv1")))


def test_what_is_not_kept_is_read_from_the_store(
    sources: Path, tmp_path: Path, account: Callable[[str], str], remote: B2Store, server: Server
) -> None:
    """Once to be checked, once to be joined."""
    remote.put("in.mp4", (sources / "cfr.mp4").read_bytes())
    run = plan_run(account(""), account("in.mp4"), account("out.mkv"), cuts=CUTS, state=tmp_path / "state")
    boot = load_boot(run.access(mode=Mode.OWN).boot(LABEL, deadline_s=time.time() + 600), tmp_path)
    assert isinstance(boot.access, KeyAccess)
    workspace = KeyWorkspace(boot, boot.access)
    plan = WorkPlan.model_validate_json(workspace.read_plan())
    index = unpack_index(workspace.read_index(), digest=plan.index_digest)
    redact = Redactor()
    report = Reporter(workspace, LABEL, Vital(tmp_path), LogBuffer(redact), redact, deadline_s=boot.deadline_s)
    kept = Kept(0)
    server.reset()
    with Joiner(workspace, plan, index, report, kept=kept) as joiner:
        SegmentWork(workspace, plan, index, LABEL, report, kept=kept, on_commit=joiner.take).run()
        joiner.finish()
    assert server.counts()["GetObject"] >= 2 * len(plan.segments)
    assert remote.head("out.mkv").size_bytes == len(whole(sources / "cfr.mp4", "mkv", EncodeSettings(codec="ffv1")))


def test_the_ends_of_a_film_are_fetched_once_for_all_who_read_it(remote: B2Store, server: Server) -> None:
    data = bytes(range(256)) * 40
    remote.put("film", data)
    info = remote.head("film")
    ends: dict[int, bytearray] = {}
    server.reset()
    with FilmReader(remote, "film", info=info, ends=ends, block_bytes=1000) as first:
        assert first.read() == data
    assert server.counts()["GetObject"] == 11
    server.reset()
    with FilmReader(remote, "film", info=info, ends=ends, block_bytes=1000) as second:
        assert second.read(1500) == data[:1500]
        second.seek(-10, 2)
        assert second.read() == data[-10:]
    assert server.counts().get("GetObject", 0) <= 3  # what it read ahead


def test_a_look_at_the_end_leaves_what_was_read_ahead(remote: B2Store, server: Server) -> None:
    data = bytes(range(256)) * 40
    remote.put("film", data)
    server.reset()
    with FilmReader(remote, "film", info=remote.head("film"), ends={}, block_bytes=1000) as film:
        assert film.read(4500) == data[:4500]
        film.seek(-10, 2)
        assert film.read() == data[-10:]
        film.seek(4000)
        assert film.read() == data[4000:]
    assert server.counts()["GetObject"] == 11
