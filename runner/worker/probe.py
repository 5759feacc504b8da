"""The first minute on a machine: whether it can do this job, before it costs more than that."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Final

from runner.errors import WorkerError
from runner.gpus import family_of
from runner.speeds import SOFTWARE

if TYPE_CHECKING:
    from runner.records import WorkPlan
    from runner.worker.workspace import Workspace

log = logging.getLogger(__name__)

MIN_MBPS: Final = 2.0
"""Megabit per second; a host that reads slower will never end."""
SAMPLE_BYTES: Final = 4 << 20
NO_SELF_DESTROY: Final = "FRAMEHAUL_NO_SELF_DESTROY"
"""Set by the watchdog when this machine could not destroy itself at the end."""
SMI_S: Final = 20.0


class GiveUpError(WorkerError):
    """This machine cannot do the job; another one may."""


def probe(workspace: Workspace, plan: WorkPlan) -> str:
    """What was found, in one line. Raises `GiveUpError` with the reason for which this machine is of no use."""
    if os.environ.get(NO_SELF_DESTROY):
        raise GiveUpError(f"this machine could not end itself: {os.environ[NO_SELF_DESTROY]}")
    gpu, families = _gpu()
    needs_gpu = plan.encoder != SOFTWARE or plan.spec.backend == "cuda"
    if plan.encoder != SOFTWARE and families - {plan.encoder}:  # segments of another could not be joined
        has = " and ".join(one or "no NVENC" for one in sorted(families))
        raise GiveUpError(f"the plan needs the encoder {plan.encoder}, and this machine has {has}: {gpu}")
    problem = _gpu_problem() if gpu or needs_gpu else ""
    if needs_gpu and problem:
        needed = f"{plan.encoder} encoder, {plan.spec.backend} backend"
        raise GiveUpError(f"the job needs a GPU ({needed}), and this machine's cannot be used: {problem}")
    if problem:
        log.warning("the GPU is not used: %s", problem)
    mbps = _read_mbps(workspace, plan)
    found = f"{gpu or 'no GPU'}, {os.cpu_count()} CPUs, input read at {mbps:.0f} Mbit/s"
    if mbps < MIN_MBPS and plan.source.size_bytes >= SAMPLE_BYTES:
        raise GiveUpError(f"the input is read at {mbps:.2f} Mbit/s; {MIN_MBPS:g} are the least")
    return found


def _gpu() -> tuple[str, set[str]]:
    """Names of the GPUs and their encoder families; empty without one. Raises `GiveUpError` for a driver that does not
    answer.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return "", set()
    command = [program, "--query-gpu=compute_cap,name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SMI_S)
    except subprocess.TimeoutExpired:
        raise GiveUpError(f"nvidia-smi does not answer within {SMI_S:.0f} s: the driver hangs") from None
    if told.returncode != 0:
        return "", set()
    rows = [line.partition(",") for line in told.stdout.splitlines() if line.strip()]
    families = {family_of(row[0]) for row in rows}
    return "; ".join(row[2].strip() for row in rows), {one for one in families if one is not None}


def _gpu_problem() -> str:
    """Why frames cannot be worked on by the GPU; empty when they can."""
    from kernels.backends import probe as probe_gpu

    return probe_gpu()


def _read_mbps(workspace: Workspace, plan: WorkPlan) -> float:
    """How fast the beginning of the input comes, in megabit per second."""
    started_s = time.monotonic()
    with workspace.open_input(plan.source) as source:
        if isinstance(source, str | os.PathLike):
            return float("inf")  # a file of this machine
        count = len(source.read(SAMPLE_BYTES))
    return count * 8e-6 / max(time.monotonic() - started_s, 1e-6)
