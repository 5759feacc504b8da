"""Two machines that look after one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.runner.clips import write_clip
from tests.runner.submit.commands import Desk, frames, kill, until

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("--on", "local", "--vf", "hflip", "--codec", "ffv1", "--segment-s", "0.4")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(home=tmp_path)


@pytest.mark.long
def test_looking_on_ends_no_run(desk: Desk, tmp_path: Path) -> None:
    """Attached to between two machines: the run is not marked as failed, and whoever carries it goes on."""
    clip, out = write_clip(tmp_path / "in.mkv", frames=40), tmp_path / "out.mkv"
    job = desk.start("submit", clip, out, *WORDS)
    until(lambda: desk.committed() >= 1, watched=job)
    kill(job)
    for instance in desk.provider.instances():
        desk.provider.destroy(instance.id)
    looked = desk.run("attach", desk.run_name())
    assert looked.returncode == 5, looked.stderr
    assert "runner resume" in looked.stderr
    assert not list((desk.home / "state/framehaul/bucket/ctl").glob("*/end.json"))
    assert desk.run("resume", desk.run_name()).returncode == 0
    assert len(frames(out)) == 40
