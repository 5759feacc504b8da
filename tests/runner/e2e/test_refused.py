"""Outputs and folders that take nothing: no machine after another is paid to find that out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.runner.submit.commands import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.runner.e2e.stage import Stage

WRITING: Final = ("CreateMultipartUpload", "UploadPart", "PutObject")
WORK: Final = ("--vf", "hflip", "--codec", "ffv1", "--segment-s", "0.5")


def denied(*paths: str) -> list[dict[str, Any]]:
    """From now on nobody may write there."""
    refusal = {"status": 403, "code": "AccessDenied", "message": "not entitled", "times": 10_000}
    return [{"path": path, "op": op} | refusal for path in paths for op in WRITING]


@pytest.fixture
def job(stage: Stage, sources: dict[str, bytes]) -> Iterator[tuple[str, ...]]:
    stage.store("input").put("in.mp4", sources["cfr.mp4"])
    yield stage.words("in.mp4", "out.mkv", *WORK)
    stage.server.reset()
    assert stage.vast.billing() == []
    assert stage.desk.run("reap").returncode == 0


@pytest.mark.parametrize("role", ["output", "work"])
def test_before_anything_is_rented(role: str, stage: Stage, job: tuple[str, ...]) -> None:
    stage.server.break_next(*denied(f"/{stage.buckets[role]}/"))
    refused = stage.desk.run(*job)
    assert refused.returncode == 4, refused.stderr
    assert "not entitled" in refused.stderr.splitlines()[-1]
    assert stage.vast.calls("create") == []
    assert list(stage.store("work").list("")) == []
    assert list(stage.store("output").list_uploads()) == []


@pytest.mark.long
@pytest.mark.parametrize("keyless", [(), ("--keyless",)], ids=["keys", "urls"])
def test_an_output_that_takes_nothing_any_more(keyless: tuple[str, ...], stage: Stage, job: tuple[str, ...]) -> None:
    following = stage.desk.start(*job, *keyless)
    until(stage.commits, watched=following)
    stage.server.break_next(*denied(f"/{stage.buckets['output']}/"))
    _, told = following.communicate(timeout=240)
    assert following.returncode == 4, told
    (line,) = [line for line in told.splitlines() if "the output cannot be written by any machine" in line]
    assert "not entitled" in line
    assert len(stage.vast.calls("create")) == 1
    assert stage.vast.billing() == []
    (row,) = stage.desk.json("ps")
    assert row["state"] == "failed"
    again = stage.desk.run("resume", row["run"])
    assert again.returncode == 4, again.stderr
    assert len(stage.vast.calls("create")) == 1  # nothing more was rented
    stage.server.reset()
    assert stage.desk.json("resume", row["run"])["state"] == "done"


@pytest.mark.long
def test_a_folder_that_takes_nothing_any_more(stage: Stage, job: tuple[str, ...]) -> None:
    following = stage.desk.start(*job)
    until(stage.commits, watched=following)
    stage.server.break_next(*denied(f"/{stage.buckets['work']}/runs/"))
    _, told = following.communicate(timeout=240)
    assert following.returncode == 4, told
    assert "not entitled" in told.splitlines()[-1]
    assert len(stage.vast.calls("create")) == 1
    assert stage.vast.billing() == []


@pytest.mark.long
def test_a_bucket_that_is_not_there(stage: Stage, job: tuple[str, ...]) -> None:
    words = [word.replace(stage.buckets["output"], "no-such-bucket") for word in job]
    for more in ((), ("--dry-run",)):
        refused = stage.desk.run(*words, *more)
        assert refused.returncode == 4, refused.stderr
        assert "check the bucket" in refused.stderr
    assert json.loads(stage.desk.run("ps", "--json").stdout) == []
