"""What every command that follows or ends runs needs: buckets, providers, and a look at what is left over."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.clock import StopRequest
    from runner.lease import Market
    from runner.provider import Provider
    from runner.reap import Reaped
    from runner.runs import Buckets


def open_buckets(named: str | None) -> Buckets:
    """Every bucket that runs may lie in; `named` is the command's --bucket.

    Settings that cannot be read are a warning: no typing error, and no server that is away, may keep a machine
    from being found and ended.
    """
    from runner.cli.output import warn
    from runner.dotenv import load_dotenv
    from runner.errors import UsageError
    from runner.runs import Buckets
    from runner.settings import load_settings

    try:
        load_dotenv(Path.cwd(), os.environ)
        found = load_settings({"bucket": named}, environment=os.environ, folder=Path.cwd()).get("bucket")
    except UsageError as error:
        warn(f"settings are left aside: {error}")
        found = named or os.environ.get("FRAMEHAUL_BUCKET")
    return Buckets([found] if found else [])


def open_providers() -> dict[str, Provider]:
    """Those whose keys there are; `local` is always among them."""
    from contextlib import suppress

    from runner.errors import ProviderKeyError
    from runner.providers import open_provider

    found = {"local": open_provider("local")}
    with suppress(ProviderKeyError):
        found["vast"] = open_provider("vast")
    return found


def open_market(provider: Provider, stop: StopRequest) -> Market:
    """Where leases with `provider` are made, with this machine's journal."""
    from runner.clock import SystemClock
    from runner.journal import Journal
    from runner.lease import Market

    return Market(provider=provider, journal=Journal(), clock=SystemClock(), stop=stop)


def look_first(providers: Mapping[str, Provider], buckets: Buckets) -> Sequence[Reaped]:
    """End what is certainly over, and say what is not certain: before anything else is done with a provider.

    An instance whose run nobody here knows may be a colleague's: only `runner reap` ends those. A provider that
    cannot be asked is a warning here; whoever rents there will hear of it.
    """
    from runner.cli.output import warn
    from runner.clock import SystemClock
    from runner.errors import ProviderError
    from runner.images import OUR_IMAGES
    from runner.journal import Journal
    from runner.reap import Verdict, reap
    from runner.runs import KnownRuns

    looked = []
    for provider in providers.values():
        try:
            done = reap(
                provider,
                Journal(),
                KnownRuns(buckets),
                images=OUR_IMAGES,
                clock=SystemClock(),
                spare=frozenset({Verdict.UNKNOWN}),
            )
        except ProviderError as error:
            warn(f"{provider.name} could not be asked for instances that are left over: {error}")
            continue
        looked.append(done)
        for one in done.destroyed:
            print(f"runner: destroyed {provider.name} {one.instance}: {one.verdict.value}", file=sys.stderr)
        for one in done.found:
            if one.verdict is Verdict.UNKNOWN:
                warn(f"{provider.name} {one.instance} works for run {one.run}, unknown here; `runner reap` ends it")
        for failure in done.failures:
            warn(failure)
    return looked
