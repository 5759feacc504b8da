"""`runner reap`: find rented machines that nobody needs any more, and end them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli.output import print_json

if TYPE_CHECKING:
    from runner.reap import Found, Reaped


def reap(
    *,
    bucket: Annotated[
        str | None,
        typer.Option("--bucket", metavar="LOCATION", help="Where runs lie, beside those this machine knows."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Show what would be ended; end nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Destroy every instance of ours whose run is finished, cancelled, overdue or unknown, and prove it gone.

    Ours has a label and an image of this program; nothing else in the account is touched. Providers without a key
    here are left out, and it says so. Exit code 6 means that something may still cost money.

    \b
    Examples:
      runner reap
      runner reap --dry-run
      runner reap --bucket b2://bucket
    """
    from runner.cli.places import open_buckets, open_providers
    from runner.clock import StopRequest, SystemClock, stop_on_signals
    from runner.errors import OrphanedInstanceError
    from runner.images import OUR_IMAGES
    from runner.journal import Journal
    from runner.reap import reap as reap_provider
    from runner.reap import unresolved
    from runner.runs import KnownRuns

    buckets, providers, journal = open_buckets(bucket), open_providers(), Journal()
    with stop_on_signals(StopRequest(), say="runner: wait, instances are being destroyed"):
        reaped = [
            reap_provider(one, journal, KnownRuns(buckets), images=OUR_IMAGES, clock=SystemClock(), delete=not dry_run)
            for one in providers.values()
        ]
    left = unresolved(journal, providers)
    if json:
        print_json(
            {"providers": [_describe(one, dry_run=dry_run) for one in reaped], "unasked": [one.label for one in left]}
        )
    else:
        for one in reaped:
            _print(one, dry_run=dry_run)
        if "vast" not in providers:
            print("vast: not looked at, there is no key for it here (VAST_API_KEY)")
    failures = [text for one in reaped for text in one.failures]
    if left:
        labels = ", ".join(one.label for one in left)
        failures.append(f"{labels}: rented from here, and there is no key any more to see what became of it")
    for text in failures:
        print(f"runner: {text}", file=sys.stderr)
    if failures:
        raise OrphanedInstanceError(f"{len(failures)} rented instances could not be proven gone; see above")


def _print(done: Reaped, *, dry_run: bool) -> None:
    ours = [one for one in done.found if one.verdict.name != "FOREIGN"]
    for one in ours:
        print(f"{done.provider}: {one.instance}, run {one.run}: {_became(one, done, dry_run=dry_run)}")
    if not ours:
        print(f"{done.provider}: no instance of ours")


def _became(one: Found, done: Reaped, *, dry_run: bool) -> str:
    if not one.doomed:
        return f"kept, {one.verdict.value}"
    if dry_run:
        return f"would be destroyed, {one.verdict.value}"
    return f"destroyed, {one.verdict.value}" if one in done.destroyed else f"NOT destroyed, {one.verdict.value}"


def _describe(done: Reaped, *, dry_run: bool) -> dict[str, Any]:
    return {
        "provider": done.provider,
        "dry_run": dry_run,
        "found": [
            {
                "instance": one.instance.id,
                "label": one.instance.label,
                "run": one.run,
                "verdict": one.verdict.name.lower(),
                "destroyed": one in done.destroyed,
            }
            for one in done.found
            if one.verdict.name != "FOREIGN"
        ],
        "failures": list(done.failures),
    }
