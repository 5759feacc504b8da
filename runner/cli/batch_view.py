"""What a batch would be: `runner submit IN/ OUT/ --dry-run`. Nothing is written and nothing spent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from runner.cli.batch import begin_item, dollars, draft_all, fail, failures
from runner.cli.output import clock, one_line, print_json, print_rows, warn
from runner.cli.plan_view import describe_choice, describe_limits, limits_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.batch import Item, Pair
    from runner.batch_planning import Settled
    from runner.cli.carry import Manner
    from runner.provider import Provider
    from runner.spec import JobSpec


COSTS: Final = ("low", "likely", "high")


def show_batch(
    found: Sequence[Pair],
    make: Callable[[Pair], JobSpec],
    provider: Provider,
    *,
    manner: Manner,
    skip_existing: bool,
    code_version: str,
) -> int:
    """Print what would be done, skipped and refused, and on which machines; the exit code that it would have so far."""
    started_s = time.time()
    items = [
        begin_item(pair, make, skip_existing=skip_existing, code_version=code_version, writes=False) for pair in found
    ]
    frames: dict[str, int] = {}
    machines = []
    for settled in _settle_all(items, provider, started_s=started_s, code_version=code_version):
        machines.append(_describe(settled, started_s))
        frames.update({one.spec.output: one.plan.work.frames for one in settled.drafts})
    told = _summary(items, frames, machines)
    if manner.json:
        print_json(told)
    else:
        _print(told, failures(items))
        for text in dict.fromkeys(text for one in machines for text in one["warnings"]):
            warn(text)
    return next((one.exit_code or 1 for one in items if one.state == "failed"), 0)


def _settle_all(items: Sequence[Item], provider: Provider, *, started_s: float, code_version: str) -> list[Settled]:
    """What each machine in turn would do, the likely cost of those before it taken off the budget."""
    from runner.batch import CHUNK
    from runner.batch_planning import groups, settle
    from runner.clock import StopRequest
    from runner.errors import PlanError

    waiting = [one for one in items if one.state == "waiting"]
    spent, found = dollars(0), []
    for first in range(0, len(waiting), CHUNK):
        made = draft_all(
            waiting[first : first + CHUNK], provider, StopRequest(), started_s=started_s, code_version=code_version,
            tries=False,
        )  # fmt: skip
        for numbers in groups([one for _, one in made], provider, now_s=started_s):
            some = [made[number] for number in numbers]
            try:
                settled = settle([one for _, one in some], provider, now_s=started_s, spent=spent)
            except PlanError as error:
                for item, _ in some:
                    fail(item, error)
                continue
            spent += settled.ranking.best.estimate.cost.likely
            found.append(settled)
    return found


def _describe(settled: Settled, now_s: float) -> dict[str, Any]:
    """One machine: the best that could be rented, and for what."""
    plans = [one.plan.work for one in settled.drafts]
    best = describe_choice(settled.ranking.best, now_s)
    encoders = sorted({one.encoder for one in plans})
    return {
        "files": len(plans),
        "frames": sum(one.frames for one in plans),
        "segments": sum(len(one.segments) for one in plans),
        "encoders": encoders,
        "offer": best,
        "other_offers": len(settled.ranking.choices) - 1,
        "warnings": list(settled.warnings),
    }


def _summary(items: Sequence[Item], frames: dict[str, int], machines: list[dict[str, Any]]) -> dict[str, Any]:
    from runner.batch import summary

    counted = summary(items)
    spec = items[0].spec
    total = {name: round(sum(one["offer"]["cost_usd"][name] for one in machines), 4) for name in COSTS}
    return {
        "files": [
            {
                "input": one.spec.input,
                "output": one.spec.output,
                "state": one.state,
                "frames": frames.get(one.spec.output),
                "message": one.message,
            }
            for one in items
        ],
        "waiting": counted["waiting"],
        "skipped": counted["skipped"],
        "failed": counted["failed"],
        "chain": spec.chain,
        "provider": spec.provider,
        "frames": sum(frames.values()),
        "limits": describe_limits(spec),
        "machines": machines,
        "cost_usd": total,
    }


def _print(told: dict[str, Any], failed: Sequence[tuple[str, str]]) -> None:
    rows = [("", "frames", "input", "output")]
    for one in told["files"]:
        state = "to do" if one["state"] == "waiting" else one["state"]
        rows.append((state, str(one["frames"] or "-"), one_line(one["input"]), one_line(one["output"])))
    print_rows(rows)
    for what, message in failed:
        print(f"failed: {what}: {message}")
    print()
    if told["machines"]:
        _print_machines(told)
    cost = told["cost_usd"]
    print(
        f"{told['waiting']} to do, {told['skipped']} skipped, {told['failed']} failed; {told['frames']} frames: "
        f"${cost['low']:.3f} to ${cost['high']:.3f}, likely ${cost['likely']:.3f}; {limits_text(told['limits'])}"
    )
    print("nothing was rented")


def _print_machines(told: dict[str, Any]) -> None:
    head = ("files", "frames", "offer", "GPU", "encode", "$/h", "fps", "takes", *COSTS)
    print_rows([head, *map(_row, told["machines"])])
    if not all(one["offer"]["measured"] for one in told["machines"]):
        print("~ the speed is an estimate")


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    offer = one["offer"]
    cost = offer["cost_usd"]
    return (
        str(one["files"]),
        str(one["frames"]),
        offer["id"],
        (f"{offer['num_gpus']}x {offer['gpu']}" if offer["gpu"] else "none") + (" bid" if offer["is_bid"] else ""),
        ", ".join(one["encoders"]),
        f"{offer['usd_per_h']:.3f}",
        ("" if offer["measured"] else "~") + f"{offer['fps']:.1f}",
        clock(offer["duration_s"]).partition(".")[0],
        *(f"${cost[name]:.3f}" for name in COSTS),
    )
