"""`runner attach`, `resume`, `cancel` and `logs`: runs that somebody has begun, here or elsewhere."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.carry import STOPPING, Manner, carry
from runner.cli.output import one_line, print_json, warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.bucket import RunBucket
    from runner.clock import StopRequest
    from runner.journal import Entry
    from runner.provider import Instance, Provider
    from runner.runs import RunFacts

RunName = Annotated[str, typer.Argument(metavar="RUN", help="Name of the run, or its end: `runner ps` lists them.")]
Bucket = Annotated[
    str | None, typer.Option("--bucket", metavar="LOCATION", help="Where the run lies, when it is not known here.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; warnings and errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")]


def attach(*, run: RunName, bucket: Bucket = None, quiet: Quiet = False, json: Json = False) -> None:
    """Follow a run to its end, fetch its output and see its machine destroyed. Rents nothing.

    Ctrl-C asks whether to cancel the run; without a terminal it only stops following.

    \b
    Examples:
      runner attach 20261122-134501-a1b2c3
      runner attach a1b2c3 --bucket b2://bucket
    """
    _carry_on(run, bucket, Manner(quiet=quiet, json=json, rents=False, unattended="detach"))


def resume(
    *,
    run: RunName,
    bucket: Bucket = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="USD", help="New limit for all of it, what was spent included.")
    ] = None,
    max_price: Annotated[
        str | None, typer.Option("--max-price", metavar="USD", help="New limit in dollars per hour.")
    ] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="TIME", help="New end, counted from now: 90m, 12h.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Go on with a run that was interrupted, lost or cancelled: what is done is not done again.

    \b
    Examples:
      runner resume a1b2c3
      runner resume a1b2c3 --budget 2 --deadline 6h
    """
    from runner.cli.times import parse_age
    from runner.setting_table import setting_of
    from runner.settings import check_value

    changes: dict[str, object] = {}
    for name, given, field in (("budget", budget, "budget_usd"), ("max_price", max_price, "max_price_usd_per_h")):
        setting = setting_of(name)
        if given is not None and setting is not None:
            changes[field] = check_value(setting, given, where="option")
    if deadline is not None:
        changes["deadline_s"] = time.time() + parse_age(deadline, option="--deadline")
    _carry_on(run, bucket, Manner(quiet=quiet, json=json), changes=changes)


def cancel(*, run: RunName, bucket: Bucket = None, json: Json = False) -> None:
    """End a run: destroy its machines and prove it, take back their keys. What is done is kept for `runner resume`.

    \b
    Examples:
      runner cancel a1b2c3
    """
    from runner.access import RunAccess
    from runner.cli.places import open_buckets
    from runner.clock import StopRequest, stop_on_signals
    from runner.errors import OrphanedInstanceError, RunnerError
    from runner.providers import open_provider
    from runner.runs import read_run
    from runner.ticket import End
    from storage.errors import StorageError

    found = open_buckets(bucket).find(run)
    facts = read_run(found, now_s=time.time())
    provider = open_provider(facts.ticket.provider)
    with stop_on_signals(StopRequest(), say=STOPPING) as stop:
        if facts.end is None:
            found.write(found.folder.end, End(state="cancelled", time_s=time.time(), spent_usd=str(facts.spent_usd)))
        destroyed, failures = _end_machines(facts, provider, stop)
        try:
            RunAccess(found, facts.plan, provider=provider.name).revoke()  # type: ignore[arg-type]
            if facts.ticket.batch == facts.ticket.run:
                _cancel_members(found, provider)
        except (StorageError, RunnerError) as error:
            if not failures:
                raise
            warn(f"keys of {facts.plan.run} could not be taken back, and expire by themselves: {error}")
    if json:
        print_json({"run": facts.plan.run, "destroyed": destroyed, "failures": failures})
    else:
        print(f"{facts.plan.run}: cancelled, {len(destroyed)} machines destroyed")
    for text in failures:
        print(f"runner: {text}", file=sys.stderr)
    if failures:
        raise OrphanedInstanceError(
            f"{facts.plan.run} is cancelled, and something may still cost money: see above; run `runner reap` until it "
            "exits 0"
        )


def _end_machines(facts: RunFacts, provider: Provider, stop: StopRequest) -> tuple[list[str], list[str]]:
    """Destroy all that works for a run: what is proven gone, and what is not, for people."""
    from dataclasses import replace

    from runner.accounts import Accounts
    from runner.cli.places import open_market
    from runner.errors import OrphanedInstanceError, ProviderError
    from runner.lease import Lease, held
    from storage.errors import StorageError

    def hear(entry: Entry) -> None:
        try:
            accounts.hear(entry)
        except StorageError as error:
            warn(f"the end of {entry.label} is not noted in its run: {error}")

    try:
        working = working_for(facts, provider)
    except ProviderError as error:
        return [], [f"whether a machine still works for {facts.plan.run} could not be found out ({error})"]
    market = open_market(provider, stop)
    accounts = Accounts(facts.bucket, None, market.clock, reserve_s=0)
    market = replace(market, listen=hear)
    destroyed, failures = [], list(working.unsure)
    for instance in working.instances:
        try:
            with held(market, Lease(instance=instance, offer=None, created_s=0)):
                pass
        except OrphanedInstanceError as error:  # the others have to go all the same
            failures.append(str(error))
        else:
            destroyed.append(instance.id)
    for label, instance_id in working.gone.items():
        try:
            market.note("absent" if instance_id is None else "destroyed", label, instance=instance_id)
        except ProviderError as error:  # a full disk: it is gone all the same, and keys have to be taken back
            warn(str(error))
    return destroyed, failures


def logs(
    *,
    run: RunName,
    bucket: Bucket = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing until the run ends.")] = False,
) -> None:
    """Print what a run's workers wrote, from the bucket: also after their machines are gone.

    \b
    Examples:
      runner logs a1b2c3
      runner logs a1b2c3 -f
    """
    from runner.cli.places import open_buckets
    from runner.runs import read_run
    from runner.ticket import End

    found = open_buckets(bucket).find(run)
    facts = read_run(found, now_s=time.time())
    seen: set[str] = set()
    while True:
        over = found.read(found.folder.end, End) is not None or found.exists(found.folder.object(found.folder.DONE))
        _print_new(found, seen)
        if not follow or over:
            break
        time.sleep(1.0)
    if not seen:
        _print_from_provider(facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """The machines of one run."""

    instances: tuple[Instance, ...]
    gone: Mapping[str, str | None]
    """Label -> instance of what was noted as rented, or asked for, and is proven gone."""
    unsure: tuple[str, ...]
    """What could not be found out, one line each."""


def working_for(facts: RunFacts, provider: Provider) -> Working:
    """What works for a run: what is listed, and what is noted as rented and left out of the list.

    Raises `ProviderError` when they cannot be listed.
    """
    from runner.accounts import read_rents
    from runner.census import Note, count, of_run
    from runner.images import OUR_IMAGES, default_image
    from runner.journal import Journal, run_of

    run = facts.plan.run
    rentals = [one for one in Journal().rentals(provider.name) if run_of(one.label) == run]
    ended = {one.label for one in rentals if not one.open}
    rents = [one for one in read_rents(facts.bucket) if one.ended_s is None and one.label not in ended]
    notes = [Note.of_rental(one) for one in rentals if one.open] + [Note.of_rent(one) for one in rents]
    census = count(provider, notes, now_s=time.time())
    images = {facts.plan.spec.image or default_image(), *OUR_IMAGES, *(one.intent.image for one in rentals)}
    known = {one.label: one.instance for one in sorted(notes, key=lambda one: one.instance is not None)}
    return Working(
        instances=tuple(of_run(run, census.living, images=images, asked=known)),
        gone={label: known[label] for label in census.gone},
        unsure=census.unsure,
    )


def _cancel_members(batch: RunBucket, provider: Provider) -> None:
    """End the runs of a batch's files, and take back what its machine had for them."""
    from runner.access import RunAccess
    from runner.errors import MissingInputError
    from runner.runs import read_run
    from runner.ticket import End

    for name in batch.bucket.runs():
        member = batch.bucket.run(name)
        try:
            facts = read_run(member, now_s=time.time())
        except MissingInputError:
            continue
        if facts.ticket.batch == batch.run and name != batch.run and facts.end is None:
            member.write(member.folder.end, End(state="cancelled", time_s=time.time()))
            RunAccess(member, facts.plan, provider=provider.name).revoke()  # type: ignore[arg-type]


def _carry_on(name: str, named: str | None, manner: Manner, *, changes: dict[str, object] | None = None) -> None:
    from runner.cli.places import look_first, open_buckets
    from runner.clock import StopRequest, stop_on_signals
    from runner.errors import UsageError
    from runner.inspection import inspect_source
    from runner.providers import open_provider
    from runner.runs import read_run
    from runner.source_index import unpack_index
    from runner.submission import Submitted, is_made

    buckets = open_buckets(named)
    found = buckets.find(name)
    facts = read_run(found, now_s=time.time())
    ticket = facts.ticket
    if ticket.batch == ticket.run:
        raise UsageError(
            f"{ticket.run} is a batch of files: give its `runner submit` again with --skip-existing, and what is done "
            "stays done"
        )
    done = facts.news.done
    made = done is not None and done.ok and is_made(ticket, done)
    if facts.end is not None and facts.end.state == "finished" and not made:
        went = f"was taken to {ticket.given_output}" if ticket.delivers else f"is no longer at {ticket.made}"
        raise UsageError(
            f"{ticket.run} is finished, and its output {went}; what it was made from is deleted: `runner submit` "
            "makes it again"
        )
    if changes is not None:
        ticket = ticket.model_copy(update=changes)
        if changes:
            found.write(found.folder.ticket, ticket)
        if facts.end is not None and facts.end.state != "finished":
            found.delete(found.folder.end)
        if done is not None and not made:
            found.delete(found.folder.object(found.folder.DONE))  # what was at fault may be put right by now
    provider = open_provider(ticket.provider)
    look_first({provider.name: provider}, buckets)
    # An output that is there may be this run's own, written just before its worker was lost.
    index = unpack_index(found.read_bytes(found.folder.index) or b"", digest=facts.plan.index_digest)
    spec = facts.plan.spec.model_copy(update={"overwrite": True})
    source = inspect_source(spec, index=index, writes=changes is not None)
    run = Submitted(plan=facts.plan, ticket=ticket, facts=source, bucket=found)
    with stop_on_signals(StopRequest(), say=STOPPING) as stop:
        carry(run, provider, stop, manner=manner, adopted=working_for(facts, provider).instances)


def _print_new(found: RunBucket, seen: set[str]) -> None:
    """Log objects that were not printed yet, by worker and number."""
    for name in list(found.names("log/")):
        if name in seen:
            continue
        seen.add(name)
        data = found.read_bytes(found.folder.object(name)) or b""
        for line in data.decode("utf-8", errors="replace").splitlines():
            sys.stdout.write(f"{_log_line(line)}\n")
    sys.stdout.flush()


def _log_line(line: str) -> str:
    """`2026-11-22 13:45:01Z text`; a line that is no record as it is, without what a terminal would obey."""
    import json
    from datetime import UTC, datetime

    try:
        told = json.loads(line)
        when = datetime.fromtimestamp(float(told["time_s"]), UTC)
        return f"{when:%Y-%m-%d %H:%M:%S}Z {one_line(str(told['text']))}"
    except (ValueError, TypeError, LookupError, OverflowError, OSError):
        return one_line(line)


def _print_from_provider(facts: RunFacts) -> None:
    """What the provider has of a worker that never reached the bucket."""
    from runner.errors import ProviderError
    from runner.providers import open_provider

    try:
        provider = open_provider(facts.ticket.provider)
        for instance in working_for(facts, provider).instances:
            for line in provider.logs(instance.id):
                sys.stdout.write(f"{one_line(line)}{os.linesep}")
    except ProviderError as error:
        warn(f"{facts.ticket.provider} has no log either: {error}")
