"""A run from beginning to end on this machine, with real processes that are really killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runner.errors import PlanError, WorkerError
from runner.reap import RunState, reap
from runner.standing import Choice, Outcome
from tests.runner.fleet.stage import IMAGE, Stage, local

if TYPE_CHECKING:
    from pathlib import Path

    from runner.standing import Standing


def test_a_run_is_done_and_nothing_is_left(tmp_path: Path) -> None:
    stage = Stage(tmp_path, local(tmp_path))
    conductor = stage.conductor()
    assert conductor.conduct() is Outcome.DONE
    assert conductor.done is not None
    assert conductor.done.ok
    stage.check_output()
    assert stage.provider.instances() == []
    assert [stage.noted(f"done-{n}") for n in range(4)] == [1, 1, 1, 1]
    assert not any(one.open for one in stage.journal.rentals())
    assert {one.phase for one in stage.shown} <= {"booting", "processing", "joining", "done", "renting"}


def test_a_killed_worker_is_replaced_and_nothing_done_is_done_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, local(tmp_path), segments=6, segment_s=0.1)
    killed: list[str] = []

    def kill_once(standing: Standing) -> None:
        if standing.segments_done >= 2 and not killed and standing.instance is not None:
            killed.append(standing.instance.id)
            stage.provider.destroy(standing.instance.id)

    stage.on_show = kill_once
    assert stage.conductor().conduct() is Outcome.DONE
    stage.check_output()
    assert killed
    assert len(stage.files.given) == 2
    assert [stage.noted(f"done-{n}") for n in range(6)] == [1] * 6
    assert sum(stage.noted(f"begun-{n}") for n in range(6)) <= 7
    assert stage.noted("output") == 1


def test_a_worker_that_gives_up_is_replaced(tmp_path: Path) -> None:
    stage = Stage(tmp_path, local(tmp_path))
    stage.files.refusals = 2
    assert stage.conductor().conduct() is Outcome.DONE
    stage.check_output()
    assert "this-machine" in stage.shunned.machines("local", now_s=stage.clock.now())
    assert any("slow" in one.message for one in stage.shown)


def test_work_that_fails_everywhere_ends(tmp_path: Path) -> None:
    stage = Stage(tmp_path, local(tmp_path))
    stage.files.refusals = 99
    with pytest.raises(WorkerError, match="runner logs"):
        stage.conductor().conduct()
    assert stage.provider.instances() == []


def test_cancelled_by_a_signal(tmp_path: Path) -> None:
    stage = Stage(tmp_path, local(tmp_path), segment_s=30)
    stage.choices = [Choice.GO_ON, Choice.CANCEL]
    stage.on_show = lambda standing: stage.stop.make() if standing.phase != "renting" else None
    assert stage.conductor().conduct() is Outcome.CANCELLED
    assert stage.provider.instances() == []


def test_detached_and_followed_by_somebody_else(tmp_path: Path) -> None:
    stage = Stage(tmp_path, local(tmp_path), segment_s=0.2)
    stage.choices = [Choice.DETACH]
    stage.on_show = lambda standing: stage.stop.make() if standing.segments_done else None
    assert stage.conductor().conduct() is Outcome.DETACHED
    left = stage.provider.instances()
    assert len(left) == 1
    stage.on_show = None
    assert stage.conductor().conduct(left) is Outcome.DONE
    stage.check_output()
    assert stage.provider.instances() == []
    assert len(stage.files.given) == 1


def test_time_that_is_up_ends_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, local(tmp_path), segment_s=30, deadline_s=2.0)
    with pytest.raises(PlanError, match=r"0 of 4 segments|deadline"):
        stage.conductor().conduct()
    assert stage.provider.instances() == []


class Known:
    """Runs of which one thing is known."""

    def __init__(self, state: RunState, deadline_s: float | None = None) -> None:
        self._state, self._deadline_s = state, deadline_s

    def state(self, run: str) -> RunState:
        del run
        return self._state

    def image(self, run: str) -> str | None:
        del run
        return None

    def deadline_s(self, run: str, label: str) -> float | None:
        del run, label
        return self._deadline_s


@pytest.mark.parametrize(
    ("known", "image", "ends"),
    [
        (Known(RunState.GOING), IMAGE, False),
        (Known(RunState.FINISHED), IMAGE, True),
        (Known(RunState.CANCELLED), IMAGE, True),
        (Known(RunState.GOING, 1.0), IMAGE, True),
        (Known(RunState.UNSEEN), IMAGE, False),
        (Known(RunState.FINISHED), "somebody/else:1", False),
    ],
)
def test_what_is_reaped(tmp_path: Path, known: Known, image: str, *, ends: bool) -> None:
    stage = Stage(tmp_path, local(tmp_path), segment_s=30)
    stage.choices = [Choice.DETACH]
    stage.on_show = lambda _: stage.stop.make()
    stage.conductor().conduct()
    journal = stage.journal
    if image != IMAGE:  # another laptop, where nothing is known of it
        journal = type(journal)(tmp_path / "empty.jsonl")
    done = reap(stage.provider, journal, known, images={image}, clock=stage.clock)
    assert (stage.provider.instances() == []) is ends
    assert len(done.destroyed) == ends
    for left in stage.provider.instances():
        stage.provider.destroy(left.id)
