"""Chains on frames that are in memory already: on a GPU by its own clock, else on the CPU."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kernels.backends import probe
from kernels.backends.cpu import CpuExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.device_plan import codec_layout, describe_device
from kernels.errors import UnavailableError
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import pixel_format
from kernels.plan import plan_chain
from runner.bench.cases import FORMAT, size_of
from runner.bench.peers import how_timed, time_peer
from runner.bench.rows import Report, Row, cores, cpu_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernels.backends.device_timing import TimedEngine
    from kernels.plan import Plan
    from runner.bench.cases import Case

    Told = Callable[[Row], None]

CPU_ROUNDS: Final = 5
CPU_ROUND_S: Final = 0.2
"""A round on the CPU runs frames for at least this long."""


def measure_kernels(cases: Sequence[Case], heights: Sequence[int], on_row: Told) -> Report:
    """Every case at every height; `on_row` is told each as it is found. GPU figures only where there is a GPU."""
    reason = probe()
    if reason:
        return measure_on_cpu(cases, heights, on_row, (f"GPU figures are not measured: {reason}",))
    from kernels.backends.cuda import engine

    return measure_on(engine(), cases, heights, on_row)


def measure_on(engine: TimedEngine, cases: Sequence[Case], heights: Sequence[int], on_row: Told) -> Report:
    """On the device of `engine`, with what else is installed there beside it."""
    from kernels.backends.device_timing import copy_rate, time_plan

    roof = copy_rate(engine)
    rows, missing = [], []
    for height in heights:
        for case in cases:
            plan = _plan(case, height)
            try:
                ends = codec_layout(plan.source), codec_layout(plan.target)
                seconds = time_plan(plan, engine, source=ends[0], target=ends[1])
            except UnavailableError as error:
                missing.append(f"{case.name} at {height} lines: {error}")
                continue
            peers, absent = _peers(case, height)
            missing += absent
            row = _row(case, plan, seconds, roof=roof, peers=peers)
            rows.append(row)
            on_row(row)
    return Report(
        suite="kernels",
        device=engine.name,
        on_gpu=True,
        rows=tuple(rows),
        not_measured=tuple(dict.fromkeys(missing)),
        copy_bytes_per_s=roof,
    )


def measure_on_cpu(
    cases: Sequence[Case], heights: Sequence[int], on_row: Told, not_measured: tuple[str, ...] = ()
) -> Report:
    """On all cores that this process may use."""
    rows = []
    for height in heights:
        for case in cases:
            if not case.chain:
                continue  # a copy: the CPU passes frames on as they are
            plan = _plan(case, height)
            row = _row(case, plan, _time_on_cpu(plan))
            rows.append(row)
            on_row(row)
    return Report(
        suite="kernels",
        device=f"{cpu_name()}, {cores()} threads",
        on_gpu=False,
        rows=tuple(rows),
        not_measured=not_measured,
    )


def _plan(case: Case, height: int) -> Plan:
    width, height = size_of(height)
    source = VideoFormat(width=width, height=height, pixel_format=pixel_format(FORMAT))
    return plan_chain(source, parse_chain(case.chain, CATALOGUE) if case.chain else ())


def _row(
    case: Case, plan: Plan, seconds: float, *, roof: float | None = None, peers: dict[str, float] | None = None
) -> Row:
    figures: dict[str, Any] = describe_device(plan)
    moved = figures.get("bytes_per_frame") if roof is not None else None
    share = None if moved is None or roof is None else moved / seconds / roof
    return Row(
        name=case.name,
        chain=case.chain,
        size=f"{plan.source.width}x{plan.source.height}",
        seconds=seconds,
        moved_bytes=moved,
        copy_share=share,
        peers=peers or {},
        peer_times={name: how_timed(name) for name in peers or {}},
    )


def _peers(case: Case, height: int) -> tuple[dict[str, float], list[str]]:
    """Seconds a frame of each peer that is installed, and why the others are not here."""
    found, absent = {}, []
    for name in case.peers:
        seconds = time_peer(name, *size_of(height))
        if isinstance(seconds, str):
            absent.append(f"{name}: {seconds}")
        else:
            found[name] = seconds
    return found, absent


def _time_on_cpu(plan: Plan) -> float:
    """Seconds of one frame, as in a job: the median of some rounds."""
    rng = np.random.default_rng(1)
    peak = (1 << plan.source.pixel_format.depth) - 1
    planes = tuple(
        rng.integers(0, peak + 1, plan.source.plane_size(c)).astype(plan.source.pixel_format.dtype)
        for c in range(plan.source.pixel_format.plane_count)
    )
    frame = Frame(planes=planes, format=plan.source)
    with CpuExecutor(plan, threads=cores()) as executor:
        executor.warm_up()
        return statistics.median(_round(executor, frame) for _ in range(CPU_ROUNDS))


def _round(executor: CpuExecutor, frame: Frame) -> float:
    count, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < CPU_ROUND_S or not count:
        executor.run(frame)
        count += 1
    return elapsed / count
