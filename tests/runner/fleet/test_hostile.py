"""A machine that lies in its records: it spoils its own run, and nothing of whoever follows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runner.follow import Follower
from runner.records import Commit, Progress
from runner.standing import Standing
from tests.runner.fleet.stage import Stage, local

if TYPE_CHECKING:
    from pathlib import Path

EVENT = {"worker": "w", "number": 0, "time_s": 1.0, "state": "processing", "frames_done": 10**30}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, local(tmp_path))


def commit(stage: Stage, **facts: Any) -> bytes:
    whole = {
        "plan": stage.plan.digest, "number": 0, "key": "seg/000000/a.nut", "size_bytes": 1, "sha256": "0", "frames": 10,
        "extradata_sha256": "0", "first_pts": 0, "last_pts": 9, "worker": "w", "elapsed_s": 1.0,
    }  # fmt: skip
    return json.dumps(whole | facts).encode()


@pytest.mark.parametrize(
    "facts",
    [
        {"key": "../20260101-000000-000000/seg/000000/a.nut"},
        {"key": "seg/000000/../../../ctl/plan.json"},
        {"key": "done.json"},
        {"number": 1},
        {"plan": "another"},
        {"elapsed_s": float("inf")},
        {"more": "x" * (17 << 20)},
    ],
)
def test_a_commit_that_makes_no_sense_is_none(stage: Stage, facts: dict[str, Any]) -> None:
    folder = stage.run.folder
    follower = Follower(stage.run, stage.plan)
    stage.run.write_bytes(folder.object(folder.commit_name(0)), commit(stage, **facts))
    assert follower.look().segments_done == 0
    stage.run.write_bytes(folder.object(folder.commit_name(0)), commit(stage))
    assert follower.look().segments_done == 1


def test_a_commit_names_an_object_of_its_run(stage: Stage) -> None:
    assert Commit.model_validate_json(commit(stage)).key == "seg/000000/a.nut"


@pytest.mark.parametrize("fps", ["Infinity", "NaN", "-1", "1e-320"])
def test_speeds_that_no_worker_has(stage: Stage, fps: str) -> None:
    text = json.dumps(EVENT).replace("}", f', "fps": {fps}}}')
    folder = stage.run.folder
    stage.run.write_bytes(folder.object(folder.event_name("w", 0)), text.encode())
    follower = Follower(stage.run, stage.plan)
    follower.begin("w")
    news = follower.look()
    assert news.frames_done <= stage.plan.frames
    told = news.progress.fps if isinstance(news.progress, Progress) else 0.0
    standing = Standing(run="r", phase="processing", segments=4, frames=40, fps=told, spent_usd=0, now_s=0)  # type: ignore[arg-type]
    assert standing.eta_s is None
