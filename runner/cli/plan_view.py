"""What a plan looks like to people and to programs: `runner submit --dry-run`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner.cli.output import clock, one_line, print_json, print_rows, size_text, warn

if TYPE_CHECKING:
    from runner.judging import Choice
    from runner.planning import JobPlan
    from runner.spec import JobSpec

SHOWN_OFFERS: Final = 8
SHOWN_REFUSALS: Final = 3


def show_plan(plan: JobPlan, *, now_s: float, json: bool = False) -> None:
    """Print `plan`; `now_s` is the time it was made for."""
    described = describe_plan(plan, now_s=now_s)
    if json:
        print_json(described)
        return
    _print(described)
    for warning in plan.warnings:
        warn(warning)


def describe_plan(plan: JobPlan, *, now_s: float) -> dict[str, Any]:
    """A JSON-able description: dollars are numbers, times seconds, deadlines seconds from now."""
    spec, work = plan.work.spec, plan.work
    return {
        "input": spec.input,
        "output": spec.output,
        "chain": spec.chain,
        "codec": spec.encode.codec,
        "encoder": work.encoder,
        "provider": spec.provider,
        "frames": plan.share.frames,
        "segments": plan.share.segments,
        "segment_s": spec.segment_s,
        "lead_in_frames": plan.share.lead_frames,
        "source_bytes": work.source.size_bytes,
        "limits": describe_limits(spec),
        "offers": [describe_choice(choice, now_s) for choice in plan.choices],
        "refused": [{"offer": str(one.offer), "id": one.offer.id, "reason": one.reason} for one in plan.refused],
        "warnings": list(plan.warnings),
    }


def describe_limits(spec: JobSpec) -> dict[str, float | None]:
    """Dollars per hour, dollars in all, seconds from now."""
    price, budget = spec.max_price_usd_per_h, spec.budget_usd
    return {
        "max_price_usd_per_h": None if price is None else float(price),
        "budget_usd": None if budget is None else float(budget),
        "deadline_s": spec.deadline_s,
    }


def describe_choice(choice: Choice, now_s: float) -> dict[str, Any]:
    """One offer and what it would take and cost there, as `describe_plan` has it."""
    offer, one = choice.offer, choice.estimate
    return {
        "id": offer.id,
        "machine": offer.machine,
        "gpu": offer.gpu_name,
        "num_gpus": offer.num_gpus,
        "cpu_cores": offer.cpu_cores,
        "country": offer.country,
        "reliability": offer.reliability,
        "is_bid": offer.is_bid,
        "usd_per_h": float(offer.price_usd_per_h),
        "down_usd_per_gb": float(offer.down_usd_per_gb),
        "up_usd_per_gb": float(offer.up_usd_per_gb),
        "fps": round(choice.speed.fps, 2),
        "slowest": choice.speed.limit,
        "measured": choice.speed.measured,
        "duration_s": round(one.wall_s, 1),
        "down_gb": round(one.down_gb, 3),
        "up_gb": round(one.up_gb, 3),
        "cost_usd": {
            "low": float(round(one.cost.low, 4)),
            "likely": float(round(one.cost.likely, 4)),
            "high": float(round(one.cost.high, 4)),
            "expected": float(round(one.cost.expected, 4)),
        },
        "success_chance": round(one.chance, 4),
        "ends_in_s": None if choice.deadline_s is None else round(choice.deadline_s - now_s, 1),
    }


def _print(plan: dict[str, Any]) -> None:
    print_rows(
        (
            ("input", f"{one_line(plan['input'])}, {size_text(plan['source_bytes'])}"),
            ("output", one_line(plan["output"])),
            ("chain", plan["chain"] or "none"),
            ("encode", f"{plan['codec']}, {plan['encoder']}"),
            ("work", f"{plan['frames']} frames, {plan['lead_in_frames']} more to decode; segments: {plan['segments']}"),
            ("limits", limits_text(plan["limits"])),
        )
    )
    print()
    head = ("", "offer", "GPU", "cores", "$/h", "fps", "slowest", "takes", "low", "likely", "high", "expected", "until")
    shown = plan["offers"][:SHOWN_OFFERS]
    print_rows([head, *(_row(number, one) for number, one in enumerate(shown, 1))])
    more = len(plan["offers"]) - len(shown)
    if more:
        print(f"and {more} more that could do it")
    for one in plan["refused"][:SHOWN_REFUSALS]:
        print(f"not {one['offer']}: {one['reason']}")
    if len(plan["refused"]) > SHOWN_REFUSALS:
        print(f"and {len(plan['refused']) - SHOWN_REFUSALS} more that could not")
    if not all(one["measured"] for one in shown):
        print("~ the speed is an estimate")
    print("nothing was rented")


def _row(number: int, one: dict[str, Any]) -> tuple[str, ...]:
    cost = one["cost_usd"]
    gpu = f"{one['num_gpus']}x {one['gpu']}" if one["gpu"] else "none"
    cores = "?" if one["cpu_cores"] is None else f"{one['cpu_cores']:g}"
    return (
        str(number),
        one["id"],
        gpu + (" bid" if one["is_bid"] else ""),
        cores,
        f"{one['usd_per_h']:.3f}",
        ("" if one["measured"] else "~") + f"{one['fps']:.1f}",
        one["slowest"],
        clock(one["duration_s"]).partition(".")[0],
        *(f"${cost[name]:.3f}" for name in ("low", "likely", "high", "expected")),
        "-" if one["ends_in_s"] is None else f"+{clock(one['ends_in_s']).partition('.')[0]}",
    )


def limits_text(limits: dict[str, Any]) -> str:
    """What `describe_limits` says, for people."""
    price, budget, deadline = limits["max_price_usd_per_h"], limits["budget_usd"], limits["deadline_s"]
    parts = (
        "no price limit" if price is None else f"${price:g} per hour",
        "no budget" if budget is None else f"${budget:g} in all",
        "no deadline" if deadline is None else f"over in {clock(deadline).partition('.')[0]}",
    )
    return ", ".join(parts)
