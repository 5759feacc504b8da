"""`runner ps`: how runs stand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli.output import one_line, print_json, print_rows, warn

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runner.provider import Instance
    from runner.runs import Buckets, RunFacts

DAY_S = 86_400.0


def ps(
    *,
    bucket: Annotated[
        str | None,
        typer.Option("--bucket", metavar="LOCATION", help="Where runs lie, beside those this machine knows."),
    ] = None,
    all_runs: Annotated[
        bool, typer.Option("--all", "-a", help="Old runs too, not only those of the last day.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")] = False,
) -> None:
    """List runs: state, segments and frames done, dollars so far, and the machines that work for them.

    \b
    Examples:
      runner ps
      runner ps --bucket b2://bucket --all --json
    """
    from runner.cli.places import look_first, open_buckets, open_providers
    from runner.journal import run_of
    from runner.reap import Verdict
    from storage.errors import StorageError

    buckets, providers = open_buckets(bucket), open_providers()
    working: dict[str, list[Instance]] = {}
    for reaped in look_first(providers, buckets):
        gone = {one.instance.id for one in reaped.destroyed}
        for one in reaped.found:
            run = run_of(one.instance.label)
            if run is not None and one.verdict is not Verdict.FOREIGN and one.instance.id not in gone:
                working.setdefault(run, []).append(one.instance)
    found = _known(buckets, working, all_runs=all_runs)
    rows = [_describe(facts, working.get(name, ())) for name, facts in sorted(found.items())]
    if json:
        print_json(rows)
    elif rows:
        print_rows([("run", "state", "segments", "frames", "spent", "machine", "output"), *map(_row, rows)])
    else:
        print("no runs")
    for location, reason in buckets.away.items():
        warn(f"the runs in {location} are left out: {reason}")
    if away := [one for one in buckets.named if one in buckets.away]:
        raise StorageError(f"{', '.join(away)} could not be looked at: see above; try again later")


def _known(buckets: Buckets, working: Collection[str], *, all_runs: bool) -> dict[str, RunFacts]:
    """The runs to show, of every bucket that answers; why another does not is in `buckets.away`."""
    from runner.errors import MissingInputError, RunnerError
    from runner.runs import read_run
    from storage.errors import StorageError

    now_s = time.time()
    found: dict[str, RunFacts] = {}
    for location, place in buckets.look_all().items():
        try:
            for name in place.runs():
                try:
                    facts = read_run(place.run(name), now_s=now_s)
                except MissingInputError:
                    continue
                except RunnerError as error:
                    warn(str(error))
                    continue
                if all_runs or name in working or facts.ticket.created_s > now_s - DAY_S or facts.end is None:
                    found[name] = facts
        except StorageError as error:
            buckets.away[location] = str(error)
    return found


def _row(facts: Mapping[str, Any]) -> tuple[str, ...]:
    machines = "; ".join(one["text"] for one in facts["instances"]) or "-"
    return (
        facts["run"],
        facts["state"],
        f"{facts['segments_done']}/{facts['segments']}",
        f"{facts['frames_done']}/{facts['frames']}",
        f"${facts['spent_usd']:.3f}",
        one_line(machines),
        one_line(facts["output"]),
    )


def _describe(facts: RunFacts, instances: Sequence[Instance]) -> dict[str, Any]:
    from runner.provider import State

    progress = facts.news.progress
    state = facts.state
    if (
        facts.end is None
        and all(one.state is State.STOPPED for one in instances)
        and state not in {"finished", "failed"}
    ):
        state = "stopped"
    return {
        "run": facts.plan.run,
        "state": state,
        "segments_done": facts.news.segments_done,
        "segments": len(facts.plan.segments),
        "frames_done": facts.news.frames_done,
        "frames": facts.plan.frames,
        "fps": progress.fps if progress is not None else 0,
        "spent_usd": float(facts.spent_usd),
        "budget_usd": None if facts.ticket.budget_usd is None else float(facts.ticket.budget_usd),
        "deadline_s": facts.ticket.deadline_s,
        "provider": facts.ticket.provider,
        "input": facts.ticket.given_input,
        "output": facts.ticket.given_output,
        "bucket": str(facts.bucket.bucket),
        "instances": [
            {"id": one.id, "state": one.state.value, "gpu": one.gpu_name, "usd_per_h": float(one.price_usd_per_h),
             "text": str(one)}
            for one in instances
        ],
    }  # fmt: skip
