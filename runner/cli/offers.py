"""`runner offers`: machines that could be rented now, and what is known of their codec engines."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from runner.cli.job_options import JobOptions, job_options, make_spec, read_settings, requirements_of
from runner.cli.output import clock, print_json, print_rows, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.judging import Choice
    from runner.planning import JobPlan
    from runner.provider import Offer, Provider
    from runner.settings import Settings

SHOWN: Final = 20
ALL: Final = 1000
UNKNOWN: Final = "?"
"""A GPU that is not in the table: not the same as one without engines."""


@job_options
def offers(
    *,
    source: Annotated[
        str | None,
        typer.Argument(metavar="INPUT", path_type=str, help="Rank by what this video would cost: path, b2:// ..."),
    ] = None,
    target: Annotated[
        str, typer.Argument(metavar="OUTPUT", path_type=str, help="What it would become; nothing is written.")
    ] = "out.mp4",
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many to show.")] = SHOWN,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    options: JobOptions,
) -> None:
    """List machines that could be rented now: cheapest first, or best for INPUT first. Rents nothing.

    The options that choose machines are those of `runner submit`, and so are presets and settings. NVENC and NVDEC
    are what the GPU's engines are known to do; ~ marks a speed that is an estimate.

    \b
    Examples:
      runner offers
      runner offers --gpu "RTX 4090,L4" --max-price 0.50 --country SE,DE
      runner offers --market bid --machine-preset high --json
      runner offers b2://bucket/in.mp4 out.mp4 --vf scale=1920:-2,cas=0.5
    """
    from runner.providers import open_provider

    settings = read_settings(options)
    provider = open_provider(settings.get("provider"))
    if source is None:
        rows = [_describe(offer) for offer in _cheapest(provider, settings)]
        refused: list[dict[str, str]] = []
    else:
        plan = _plan(source, target, provider, options, settings)
        rows = [_describe(one.offer) | _describe_job(one) for one in plan.choices]
        refused = [{"id": one.offer.id, "offer": str(one.offer), "reason": one.reason} for one in plan.refused]
    if json:
        print_json({"provider": provider.name, "offers": rows[:limit], "found": len(rows), "refused": refused})
        return
    _print(rows, limit=limit, refused=len(refused))


def _cheapest(provider: Provider, settings: Settings) -> Sequence[Offer]:
    price = settings.get("max_price") if provider.costs else None
    found = provider.offers(requirements_of(settings), max_price_usd_per_h=price, limit=ALL)
    return sorted(found, key=lambda offer: (offer.price_usd_per_h, offer.id))


def _plan(source: str, target: str, provider: Provider, options: JobOptions, settings: Settings) -> JobPlan:
    """What the job would be and cost; nothing is written, so an output that exists is none of its business."""
    from importlib.metadata import version

    from runner.submission import draft
    from storage.uri import parse

    spec = make_spec(parse(source), parse(target), options, settings).model_copy(update={"overwrite": True})
    made = draft(spec, provider, now_s=time.time(), code_version=version("framehaul"), tries=False)
    for text in made.plan.warnings:
        warn(text)
    return made.plan


def _describe(offer: Offer) -> dict[str, Any]:
    """A JSON-able description; numbers that nobody tells are null, and so are engines that nobody knows."""
    from runner.gpus import GPUS

    gpu = GPUS.get(offer.gpu_name)
    return {
        "id": offer.id,
        "machine": offer.machine,
        "gpu": offer.gpu_name,
        "num_gpus": offer.num_gpus,
        "vram_gb": offer.vram_gb,
        "usd_per_h": float(offer.price_usd_per_h),
        "is_bid": offer.is_bid,
        "down_usd_per_gb": float(offer.down_usd_per_gb),
        "up_usd_per_gb": float(offer.up_usd_per_gb),
        "nvenc_engines": None if gpu is None else gpu.nvenc,
        "nvdec_engines": None if gpu is None else gpu.nvdec,
        "encodes": None if gpu is None else list(gpu.encoded),
        "decodes": None if gpu is None else list(gpu.decoded),
        "cpu_cores": offer.cpu_cores,
        "ram_gb": None if offer.ram_gb is None else round(offer.ram_gb, 1),
        "disk_gb": offer.disk_gb,
        "down_mbps": offer.down_mbps,
        "up_mbps": offer.up_mbps,
        "reliability": offer.reliability,
        "compute_capability": offer.compute_capability,
        "cuda": offer.cuda,
        "country": offer.country,
        "verified": offer.verified,
        "datacenter": offer.datacenter,
        "ends_in_s": offer.ends_in_s,
    }


def _describe_job(choice: Choice) -> dict[str, Any]:
    return {
        "encoder": choice.encoder,
        "fps": round(choice.speed.fps, 2),
        "measured": choice.speed.measured,
        "duration_s": round(choice.estimate.wall_s, 1),
        "expected_usd": float(round(choice.estimate.cost.expected, 4)),
    }


def _print(rows: Sequence[dict[str, Any]], *, limit: int, refused: int) -> None:
    if not rows:
        print("no offer meets the requirements: ask for less (--gpu, --min-vram, --max-price ...), or try again later")
        return
    shown = rows[:limit]
    head = ["offer", "GPU", "VRAM", "cores", "$/h", "$/TB in/out", "Mb/s in/out", "NVENC", "NVDEC", "there", "where"]
    job = ["fps", "takes", "expected"] if "fps" in shown[0] else []
    print_rows([[*head, *job], *(_row(one) for one in shown)])
    if len(rows) > limit:
        print(f"and {len(rows) - limit} more: --limit {len(rows)}")
    if refused:
        print(f"{refused} more cannot do the job within its limits: runner submit --dry-run says why")


def _row(one: dict[str, Any]) -> list[str]:
    gpu = f"{one['num_gpus']}x {one['gpu']}" if one["gpu"] else "none"
    cells = [
        one["id"],
        gpu + (" bid" if one["is_bid"] else ""),
        _number(one["vram_gb"], " GB"),
        _number(one["cpu_cores"]),
        f"{one['usd_per_h']:.3f}",
        f"{one['down_usd_per_gb'] * 1000:.0f}/{one['up_usd_per_gb'] * 1000:.0f}",
        f"{_number(one['down_mbps'])}/{_number(one['up_mbps'])}",
        _engines(one["gpu"], one["nvenc_engines"], one["encodes"]),
        _engines(one["gpu"], one["nvdec_engines"], one["decodes"]),
        UNKNOWN if one["reliability"] is None else f"{one['reliability']:.1%}",
        (one["country"] or UNKNOWN) + (" dc" if one["datacenter"] else "") + ("" if one["verified"] else " unverified"),
    ]
    if "fps" not in one:
        return cells
    speed = ("" if one["measured"] else "~") + f"{one['fps']:.1f}"
    return [*cells, speed, clock(one["duration_s"]).partition(".")[0], f"${one['expected_usd']:.3f}"]


def _number(value: float | None, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value:.0f}{unit}"


def _engines(gpu: str, count: int | None, codecs: Sequence[str] | None) -> str:
    if not gpu:
        return "-"
    if count is None or codecs is None:
        return UNKNOWN
    return f"{count}: {' '.join(codecs)}" if count else "none"
