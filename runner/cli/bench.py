"""`runner bench`: how fast this machine is, by its own clock."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli.output import print_json, warn

if TYPE_CHECKING:
    from runner.bench.rows import Report, Row


class Suite(StrEnum):
    """What is measured."""

    KERNELS = "kernels"
    PIPELINE = "pipeline"
    ENCODER = "encoder"


def bench(
    *,
    suite: Annotated[
        Suite, typer.Option("--suite", help="Operations and chains alone, whole jobs against decoding alone, or NVENC.")
    ] = Suite.KERNELS,
    height: Annotated[
        list[int] | None,
        typer.Option("--height", metavar="LINES", min=16, max=8192, help="Lines of the 16:9 picture; may be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Start of a case's name; may be repeated.")
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=2, max=100_000, help="Frames of a pipeline or encoder.")] = 120,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write what --json prints there as well.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Measure this machine: milliseconds, frames a second, bytes a second.

    On a GPU, operations are timed by its own clock, on frames that its cache does not hold, against the rate of its
    own copy and against whatever else is installed that does the same. Without one, the CPU is measured.

    \b
    Examples:
      runner bench
      runner bench --height 1080 --only scale --only cas
      runner bench --suite pipeline --height 1080 --json
    """
    from runner.bench.cases import CASES, HEIGHTS, PIPELINES, by_name
    from runner.bench.encoder_suite import ENCODERS, measure_encoder

    is_kernels = suite is Suite.KERNELS
    known = {Suite.KERNELS: CASES, Suite.PIPELINE: PIPELINES, Suite.ENCODER: ENCODERS}
    try:
        cases = by_name(tuple(only or ()), known[suite])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from None
    heights = tuple(height or (HEIGHTS if is_kernels else (1080,)))
    printed: list[Row] = []

    def on_row(row: Row) -> None:
        printed.append(row)
        if not json:
            _print_row(row, header=len(printed) == 1)

    if is_kernels:
        from runner.bench.kernel_suite import measure_kernels

        report = measure_kernels(cases, heights, on_row)
    elif suite is Suite.ENCODER:
        report = measure_encoder(cases, heights, on_row, frames=frames)
    else:
        from runner.bench.pipeline_suite import measure_pipeline

        report = measure_pipeline(cases, heights, on_row, frames=frames)
    _finish(report, output, json=json)


def _finish(report: Report, output: Path | None, *, json: bool) -> None:
    told: dict[str, Any] = report.to_json()
    if output is not None:
        from json import dumps

        output.write_text(dumps(told, indent=2) + "\n", encoding="utf-8")
    if json:
        print_json(told)
        return
    print(f"on {report.device}")
    if report.copy_bytes_per_s is not None:
        print(f"copy {report.copy_bytes_per_s / 1e9:.0f} GB/s, as measured")
    for line in report.not_measured:
        warn(line)


def _print_row(row: Row, *, header: bool) -> None:
    told = row.to_json()
    rate = "" if told["gb_per_s"] is None else f"{told['gb_per_s']:.0f} GB/s"
    share = "" if told["copy_share"] is None else f"{100 * told['copy_share']:.0f} % of copy"
    peers = ", ".join(f"{ratio:g}x {name}" for name, ratio in told["times_as_fast"].items())
    if header:
        print(f"{'case':<28}{'size':<12}{'ms':>10}{'fps':>10}")
    cells = [rate, share, peers]
    figures = f"{row.name:<28}{row.size:<12}{told['ms']:>10.3f}{told['fps']:>10.1f}"
    print("  ".join([figures, *filter(None, cells)]), flush=True)
