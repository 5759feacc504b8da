"""Machines that are given up in their first minute."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from runner.records import Progress, WorkPlan
from tests.runner.worker.runs import LONG_S, Run, work
from tests.runner.worker.test_worker import LABEL, local_run

if TYPE_CHECKING:
    from pathlib import Path


def replanned(run: Run, plan: WorkPlan) -> Run:
    """The same run with another plan."""
    run.bucket.write(run.bucket.folder.plan, plan)
    return Run(plan=plan, bucket=run.bucket, credentials=None, state=run.state)


@pytest.mark.parametrize("lacking", ["nvenc", "cuda"])
def test_a_machine_that_lacks_what_the_plan_needs(lacking: str, sources: Path, tmp_path: Path) -> None:
    """None of these needs a GPU here: the machines are told that there is none."""
    run = local_run(sources, tmp_path, "cfr.mp4")
    if lacking == "nvenc":
        run = replanned(run, run.plan.model_copy(update={"encoder": "nvenc-ada"}))
    else:
        spec = run.plan.spec.model_copy(update={"backend": "cuda"})
        run = replanned(run, run.plan.model_copy(update={"spec": spec}))
    assert "needs a GPU" in why_given_up(run, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("capability", "name", "has"),
    [("8.9", "NVIDIA GeForce RTX 4090", "nvenc-ada"), ("8.0", "NVIDIA A100-SXM4-80GB", "no NVENC")],
)
def test_a_machine_whose_encoder_is_of_another_generation(
    capability: str, name: str, has: str, sources: Path, tmp_path: Path
) -> None:
    """As a host that says that it has other GPUs than it has: the driver is believed."""
    run = local_run(sources, tmp_path, "cfr.mp4")
    run = replanned(run, run.plan.model_copy(update={"encoder": "nvenc-ampere"}))
    driver = tmp_path / "driver/nvidia-smi"
    driver.parent.mkdir()
    driver.write_text(f'#!/bin/sh\necho "{capability}, {name}, 570.86.15"\n')
    driver.chmod(0o755)
    said = why_given_up(run, tmp_path, driver.parent)
    assert said == f"the plan needs the encoder nvenc-ampere, and this machine has {has}: {name}, 570.86.15"


def why_given_up(run: Run, folder: Path, path: Path) -> str:
    """What the worker of `run` says of the machine on which `path` is where programs lie."""
    given = run.access().boot(LABEL, deadline_s=time.time() + 2 * LONG_S)
    environment = {"PATH": str(path), "CUDA_VISIBLE_DEVICES": ""}
    assert work(run, given, log=folder / "log", environment=environment) == os.EX_TEMPFAIL
    last = run.bucket.read(run.bucket.folder.object(run.objects("events/")[-1]), Progress)
    assert last is not None
    assert last.state == "giving-up"
    assert run.done() is None
    return last.message
