"""`runner reap`: find rented machines that nobody needs any more, and end them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli.output import print_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runner.errors import ProviderError
    from runner.journal import Journal
    from runner.provider import Provider
    from runner.reap import Found, Reaped
    from runner.runs import Buckets, OpenRent


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

    Ours has a label and an image of this program; nothing else in the account is touched. What is noted as rented and
    not listed is asked for one by one. Providers without a key here are left out, and it says so. Exit code 6 means
    that something may still cost money.

    \b
    Examples:
      runner reap
      runner reap --dry-run
      runner reap --bucket b2://bucket
    """
    from runner.cli.output import warn
    from runner.cli.places import open_buckets, open_providers
    from runner.clock import StopRequest, stop_on_signals
    from runner.errors import OrphanedInstanceError, ProviderError
    from runner.journal import Journal
    from runner.reap import unresolved

    buckets, providers, journal = open_buckets(bucket), open_providers(), Journal()
    with stop_on_signals(StopRequest(), say="runner: wait, instances are being destroyed"):
        reaped, unasked = _reap_all(providers, buckets, journal, delete=not dry_run)
    left = unresolved(journal, providers)
    if json:
        print_json(
            {
                "providers": [_describe(one, dry_run=dry_run) for one in reaped],
                "unasked": [one.label for one in left],
                "unreached": {name: str(error) for name, (error, _) in unasked.items()},
            }
        )
    else:
        for one in reaped:
            _print(one, dry_run=dry_run)
        if "vast" not in providers:
            print("vast: not looked at, there is no key for it here (VAST_API_KEY)")
    for location, reason in buckets.away.items():
        warn(f"runs in {location} could not be looked at: {reason}")
    failures = [text for one in reaped for text in one.failures]
    if left:
        labels = ", ".join(one.label for one in left)
        failures.append(f"{labels}: rented from here, and there is no key any more to see what became of it")
    for name, (error, rented) in unasked.items():
        if rented:
            failures.append(
                f"{', '.join(rented)}: noted as rented, and {name} could not be asked what became of it ({error}); run "
                "`runner reap` again in 5 minutes"
            )
    for text in failures:
        print(f"runner: {text}", file=sys.stderr)
    if failures:
        raise OrphanedInstanceError(
            f"{len(failures)} times it could not be proven that nothing is left to pay for; see above"
        )
    if unasked:
        raise ProviderError("; ".join(f"{name} could not be asked: {error}" for name, (error, _) in unasked.items()))


def _reap_all(
    providers: Mapping[str, Provider], buckets: Buckets, journal: Journal, *, delete: bool
) -> tuple[list[Reaped], dict[str, tuple[ProviderError, list[str]]]]:
    """What was found and done at each provider; and those that could not be asked: why, and labels noted as open."""
    from runner.census import Note
    from runner.clock import SystemClock
    from runner.errors import ProviderError
    from runner.images import OUR_IMAGES
    from runner.reap import reap as reap_provider
    from runner.runs import KnownRuns

    runs, clock = KnownRuns(buckets), SystemClock()
    rents = runs.open_rents(clock.now())
    reaped, unasked = [], {}
    for name, provider in providers.items():
        noted = [one for one in rents if one.rent.provider == name]
        notes = [Note.of_rent(one.rent) for one in noted]
        try:
            done = reap_provider(provider, journal, runs, images=OUR_IMAGES, clock=clock, noted=notes, delete=delete)
        except ProviderError as error:
            here = [one.label for one in journal.rentals(name) if one.open]
            unasked[name] = (error, sorted({*here, *(one.label for one in notes)}))
            continue
        reaped.append(done)
        if delete:
            _close(noted, {*done.gone, *(one.instance.label for one in done.destroyed)}, clock.now())
    return reaped, unasked


def _close(noted: Sequence[OpenRent], ended: Collection[str], now_s: float) -> None:
    """Note in the runs' folders what is proven gone."""
    from runner.cli.output import warn
    from storage.errors import StorageError

    for one in noted:
        if one.rent.label in ended:
            try:
                one.close(now_s)
            except StorageError as error:
                warn(f"the end of {one.rent.label} is not noted in its run: {error}")


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
