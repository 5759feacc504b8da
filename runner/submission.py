"""From a job to a run that can be carried through: what is copied, planned and written before anything is rented."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import storage
from runner.errors import CreditError, ProviderError
from runner.inputs import provide, release
from runner.inspection import inspect_source, moved
from runner.planning import Conditions, JobPlan, Limits, plan_job, rank, replan
from runner.records import SourceId
from runner.source_index import pack_index
from runner.speeds import worker_abilities
from runner.ticket import Ticket, new_run
from storage.errors import MissingError
from storage.place import source_of
from storage.uri import LocalUri, ObjectUri, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from runner.bucket import Bucket, RunBucket
    from runner.inspection import SourceFacts
    from runner.job import Candidate
    from runner.judging import Choice, Part
    from runner.provider import Offer, Provider
    from runner.records import Done, WorkPlan
    from runner.spec import JobSpec
    from storage.pieces import OnProgress
    from storage.uri import Uri

log = logging.getLogger(__name__)

DEFAULT_DEADLINE_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A job that was looked at and planned, and of which nothing has been written."""

    spec: JobSpec
    """As the user meant it."""
    facts: SourceFacts
    plan: JobPlan
    offers: tuple[Offer, ...]
    created_s: float
    started_s: float
    """What the deadline is counted from: for a file of a batch, when the batch began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A run whose plan, index and ticket are in its folder."""

    plan: WorkPlan
    ticket: Ticket
    facts: SourceFacts
    bucket: RunBucket


def draft(
    spec: JobSpec,
    provider: Provider,
    *,
    now_s: float,
    code_version: str,
    offers: Sequence[Offer] | None = None,
    started_s: float | None = None,
    tries: bool = True,
    check: Callable[[], object] | None = None,
) -> Draft:
    """Look at the source and at the market. Spends nothing; raises what forbids the job.

    `offers` are those of an earlier search with the same requirements. The deadline is counted from `started_s`,
    without it from `now_s`. Without `tries`, nothing is to be written afterwards, and no byte is sent to the output
    to find out whether that could be. What `check` raises ends the reading of the source.
    """
    started_s = now_s if started_s is None else started_s

    def on_progress(_done_bytes: int, _total_bytes: int) -> None:
        if check is not None:
            check()

    facts = inspect_source(spec, tries=tries, on_progress=on_progress)
    spec = spec.model_copy(update={"chain": facts.chain})
    if offers is None:
        offers = provider.offers(spec.requirements, max_price_usd_per_h=spec.max_price_usd_per_h)
    plan = plan_job(
        spec,
        facts,
        offers,
        run=new_run(now_s),
        code_version=code_version,
        now=conditions(provider, now_s=now_s, started_s=started_s),
    )
    return Draft(spec=spec, facts=facts, plan=plan, offers=tuple(offers), created_s=now_s, started_s=started_s)


def conditions(provider: Provider, *, now_s: float, started_s: float, spent: Decimal | None = None) -> Conditions:
    """What a plan depends on, here and now."""
    now = Conditions(now_s=now_s, started_s=started_s, abilities=worker_abilities(), costs=provider.costs)
    return now if spent is None else replace(now, spent_usd=spent)


def submit(
    made: Draft,
    provider: Provider,
    bucket: Bucket,
    *,
    batch: str | None = None,
    on_progress: OnProgress | None = None,
    check: Callable[[], object] | None = None,
) -> Submitted:
    """Bring the input to where machines can read it, plan for that, and write plan, index and ticket.

    What `check` raises ends the copying of the input.
    """
    if batch is None:  # of many files, the whole is looked at before anything is rented
        check_credit(provider, made.plan.choices)
    spec, run = made.spec, made.plan.work.run
    given, target = parse(spec.input), parse(spec.output)
    facts, uploaded = made.facts, None
    run_bucket = bucket.run(run)
    run_bucket.check_writable()
    if isinstance(given, LocalUri) and provider.costs:
        uploaded = provide(given, bucket, run, on_progress=on_progress, check=check)
        facts = moved(facts, _source_id(uploaded))
    output: Uri = target
    if isinstance(target, LocalUri) and provider.costs:
        output = run_bucket.folder.object(f"output/{target.name}")
    spec = spec.model_copy(update={"input": str(uploaded or given), "output": str(output)})
    work = made.plan.work.model_copy(update={"spec": spec, "source": facts.id})
    ticket = Ticket(
        run=run,
        created_s=made.created_s,
        deadline_s=made.started_s + (spec.deadline_s or DEFAULT_DEADLINE_S),
        budget_usd=spec.budget_usd if provider.costs else None,
        max_price_usd_per_h=spec.max_price_usd_per_h,
        provider=provider.name,
        given_input=made.spec.input,
        given_output=str(absolute(target)),
        made=str(absolute(output)),
        host=socket.gethostname(),
        uploaded=None if uploaded is None else str(uploaded),
        batch=batch,
    )
    run_bucket.write_bytes(run_bucket.folder.index, pack_index(facts.index))
    run_bucket.write(run_bucket.folder.ticket, ticket)
    run_bucket.write(run_bucket.folder.plan, work)
    return Submitted(plan=work, ticket=ticket, facts=facts, bucket=run_bucket)


def choose(
    provider: Provider, work: WorkPlan, ticket: Ticket, facts: SourceFacts, *, now_s: float, spent: Decimal,
    shunned: frozenset[str], done: frozenset[int],
) -> Sequence[Candidate]:  # fmt: skip
    """What can do the rest of a run, best first.

    Raises `PlanError` where nothing can within its limits, `CreditError` where the account cannot pay for it.
    """
    offers, now = _market(provider, work, ticket, now_s=now_s, spent=spent, shunned=shunned)
    return _candidates(provider, replan(work, facts, offers, now=now, done=done).choices)


def choose_all(
    provider: Provider, parts: Sequence[Part], ticket: Ticket, *, now_s: float, spent: Decimal, shunned: frozenset[str]
) -> Sequence[Candidate]:
    """What can do all of `parts`, one after the other, within the limits of `ticket`: else as `choose`."""
    offers, now = _market(provider, parts[0].work, ticket, now_s=now_s, spent=spent, shunned=shunned)
    return _candidates(provider, rank(parts, offers, now=now, is_planned=True).choices)


def _market(
    provider: Provider, work: WorkPlan, ticket: Ticket, *, now_s: float, spent: Decimal, shunned: frozenset[str]
) -> tuple[list[Offer], Conditions]:
    """What is on offer now, and what a plan depends on beside it."""
    limits = Limits(
        max_price_usd_per_h=ticket.max_price_usd_per_h, budget_usd=ticket.budget_usd, deadline_s=ticket.deadline_s
    )
    offers = provider.offers(work.spec.requirements, max_price_usd_per_h=ticket.max_price_usd_per_h)
    now = replace(conditions(provider, now_s=now_s, started_s=ticket.created_s, spent=spent), limits=limits)
    return [one for one in offers if one.machine not in shunned], now


def _candidates(provider: Provider, choices: Sequence[Choice]) -> list[Candidate]:
    from runner.job import Candidate

    credit_usd = check_credit(provider, choices)
    return [
        Candidate(offer=one.offer, traffic_usd=one.estimate.traffic_high, deadline_s=one.deadline_s)
        for one in choices
        if credit_usd is None or one.estimate.cost.likely <= credit_usd
    ]


def check_credit(provider: Provider, choices: Sequence[Choice]) -> Decimal | None:
    """What the account has left; None where nothing costs anything, or the key may not know it.

    Raises `CreditError` where that is less than the work is likely to cost on the cheapest of `choices`: the provider
    would stop the machine in the middle, and bill what was done.
    """
    try:
        credit_usd = provider.credit_usd()
    except ProviderError as error:
        log.info("what the account has left is not known: %s", error)
        return None
    need_usd = min(one.estimate.cost.likely for one in choices)
    if credit_usd is not None and credit_usd < need_usd:
        raise CreditError(
            f"the {provider.name} account has ${credit_usd:.2f} left, and the job is likely to cost ${need_usd:.2f} at "
            "least; add credit and give the command again"
        )
    return credit_usd


def deliver(
    ticket: Ticket,
    *,
    overwrite: bool,
    on_progress: OnProgress | None = None,
    check: Callable[[], object] | None = None,
) -> bool:
    """Copy the output to where the user wants it; false where that is a place of another machine.

    What `check` raises ends the copying; the next call goes on with what is there.
    """
    if not ticket.delivers:
        return True
    if isinstance(parse(ticket.given_output), LocalUri) and ticket.host != socket.gethostname():
        return False
    storage.copy(ticket.made, ticket.given_output, overwrite=overwrite, on_progress=on_progress, check=check)
    return True


def is_made(ticket: Ticket, done: Done) -> bool:
    """Whether the output is there as the worker has written it. Raises what looking for it does."""
    try:
        found = storage.stat(ticket.made)
    except MissingError:
        return False
    same_size = not done.output_size_bytes or found.size_bytes == done.output_size_bytes
    return same_size and (not done.output_etag or found.etag == done.output_etag)


def tidy(bucket: RunBucket, ticket: Ticket, *, delivered: bool, now_s: float) -> None:
    """Delete for good what only the work needed: segments, bootstraps, a delivered output, and the copy of the input
    unless another run reads it too.
    """
    folder = bucket.folder
    bucket.delete_for_good(folder.object("seg/"))
    bucket.delete_for_good(folder.boots)
    if delivered and ticket.delivers:
        bucket.delete_for_good(folder.object("output/"))
    if ticket.uploaded is not None:
        release(bucket, ticket.uploaded, now_s=now_s)


def absolute(uri: Uri) -> Uri:
    """A path that means the same in whatever folder the next command runs."""
    return LocalUri(uri.path.absolute(), folder=uri.folder) if isinstance(uri, LocalUri) else uri


def _source_id(uri: ObjectUri) -> SourceId:
    info = source_of(uri).info
    return SourceId(location=str(uri), size_bytes=info.size_bytes, etag=info.etag, version=info.version)
