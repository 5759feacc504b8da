"""Machines that die at work: what is done stays done, the next one goes on, and nothing is left that costs money."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from runner.cli import main
from tests.kernels.io.jobs import samples
from tests.kernels.test_segments import facts, shown
from tests.runner.submit.commands import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.e2e.stage import Stage

WORK: Final = ("--vf", "nlmeans=s=3:p=3:r=7", "--codec", "ffv1")
BUDGET_USD: Final = 0.05


def test_killed_and_outbid(stage: Stage, sources: dict[str, bytes], tmp_path: Path) -> None:
    stage.store("input").put("in.mp4", sources["large.mp4"])
    limits = ("--segment-s", "0.3", "--market", "bid", "--budget", str(BUDGET_USD))
    job = stage.desk.start(*stage.words("in.mp4", "out.mkv", *WORK, *limits, "--json"))
    until(stage.commits, watched=job)
    (first,) = stage.vast.billing()
    stage.vast.kill(first)  # its container is started again, and goes on
    before = len(stage.commits())
    until(lambda: len(stage.commits()) > before, watched=job)
    stage.vast.outbid(first)
    lost = {name: stage.read("work", name) for name in stage.commits()}
    out, err = job.communicate(timeout=240)
    assert job.returncode == 0, err
    told = json.loads(out)
    assert told["state"] == "done"
    assert len(stage.vast.instances) == 2
    assert stage.vast.instances[first].starts == 2
    after = {name: stage.read("work", name) for name in stage.commits()}
    assert len(after) == told["segments"] >= 3
    assert {name: after[name] for name in lost} == lost
    assert 0 < len(lost) < len(after)
    logs = "".join(one.log for one in stage.vast.instances.values())
    done = Counter(re.findall(r"segment (\d+): \d+ frames", logs))
    assert set(done.values()) == {1}
    assert len(done) >= told["segments"] - 2  # two deaths: each may come between a commit and the word about it
    assert stage.vast.billing() == []
    assert 0 < stage.vast.spent_usd() <= told["spent_usd"] <= BUDGET_USD
    destroyed = len(stage.vast.calls("destroy"))
    reaped = stage.desk.json("reap")
    assert [one["found"] for one in reaped["providers"]] == [[], []]  # here and at the market
    assert len(stage.vast.calls("destroy")) == destroyed
    (tmp_path / "in.mp4").write_bytes(sources["large.mp4"])
    assert main(["run", str(tmp_path / "in.mp4"), str(tmp_path / "out.mkv"), *WORK, "-q"]) == 0
    made, wanted = stage.read("output", "out.mkv"), (tmp_path / "out.mkv").read_bytes()
    assert samples(made) == samples(wanted)
    assert shown(made) == shown(wanted)
    assert facts(made) == facts(wanted)
