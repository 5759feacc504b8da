"""The files of a batch that one machine was given: renting it, following it, and the end of each file."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runner.cli.batch import dollars, fail, faults_of_a_file
from runner.cli.carry import Manner, ask_what_next, deliver_done, make_job, shower, take_back
from runner.cli.output import one_line, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from runner.batch import Item
    from runner.cli.progress import ProgressDisplay
    from runner.clock import StopRequest
    from runner.job import Candidate
    from runner.provider import Provider
    from runner.records import Done
    from runner.submission import Submitted
    from storage.uri import LocalUri, ObjectUri


def conduct_batch(
    batch: str,
    items: Sequence[Item],
    provider: Provider,
    root: LocalUri | ObjectUri,
    stop: StopRequest,
    display: ProgressDisplay,
    manner: Manner,
    code_version: str,
    spent: float,
) -> float:
    """Rent, and follow the files of one batch to their ends."""
    from runner.access import RunAccess
    from runner.batch import BatchAccess, BatchFollower
    from runner.cli.places import open_market
    from runner.errors import Interrupted
    from runner.fleet import Conductor
    from runner.job import end_run
    from runner.planning import part_of
    from runner.standing import Choice, Outcome
    from runner.submission import choose_all

    runs = [item.run for item in items if item.run is not None]
    accesses = [RunAccess(run.bucket, run.plan, provider=provider.name) for run in runs]  # type: ignore[arg-type]

    def ask() -> Choice:
        return ask_what_next(batch, display, manner, may_detach=False)  # what is done is put away by this process

    def check() -> None:
        if stop and ask() is not Choice.GO_ON:
            raise Interrupted
        stop.forget()

    ends = _Ends(items, accesses, display, code_version, check)
    follower = BatchFollower(runs, ends.one)
    whole = _whole_run(batch, runs, root, spent=spent)

    def pick(shunned: frozenset[str], so_far: Decimal, _done: frozenset[int]) -> Sequence[Candidate]:
        parts = [part_of(runs[one].plan, runs[one].facts, follower.committed_of(one)) for one in follower.left]
        return choose_all(provider, parts, whole.ticket, now_s=time.time(), spent=so_far, shunned=shunned)

    conductor = Conductor(
        make_job(whole, provider, BatchAccess(accesses, follower)),
        open_market(provider, stop),
        follower,
        choose=pick,
        show=shower(display),
        ask=ask,
    )
    state = "failed"
    try:
        outcome = conductor.conduct()
        state = "finished" if outcome is Outcome.DONE else "cancelled"
    except Interrupted:
        state = "cancelled"
        raise
    finally:
        end_run(conductor.job, state, now_s=time.time(), spent=conductor.accounts.spent_usd())
    if outcome is Outcome.CANCELLED:
        raise Interrupted
    return float(conductor.accounts.spent_usd())


def _whole_run(batch: str, runs: Sequence[Submitted], root: LocalUri | ObjectUri, *, spent: float) -> Submitted:
    """The batch as a run of its own, in its folder: what an instance's label names."""
    from decimal import Decimal

    from runner.batch import batch_plan
    from runner.bucket import Bucket
    from runner.runs import remember
    from runner.submission import Submitted

    first = runs[0]
    budget = first.ticket.budget_usd
    ticket = first.ticket.model_copy(
        update={
            "run": batch, "batch": batch, "uploaded": None, "given_input": f"{len(runs)} files",
            "given_output": first.ticket.made, "made": first.ticket.made,
            "budget_usd": None if budget is None else max(Decimal(0), budget - dollars(spent)),
        }
    )  # fmt: skip
    whole = Submitted(plan=batch_plan(batch, runs), ticket=ticket, facts=first.facts, bucket=Bucket(root).run(batch))
    whole.bucket.write(whole.bucket.folder.ticket, ticket)
    whole.bucket.write(whole.bucket.folder.plan, whole.plan)
    remember(batch, root)
    return whole


class _Ends:
    """What is done with each file as soon as its worker says that it has ended."""

    def __init__(
        self,
        items: Sequence[Item],
        accesses: Sequence[Any],
        display: ProgressDisplay,
        code_version: str,
        check: Callable[[], object],
    ) -> None:
        self._items = items
        self._accesses = accesses
        self._display = display
        self._code_version = code_version
        self._check = check

    def one(self, number: int, done: Done) -> None:
        from runner.batch import write_sidecar
        from runner.errors import Interrupted
        from runner.submission import tidy
        from runner.ticket import End

        item, run = self._items[number], self._items[number].run
        assert run is not None
        take_back(run.plan.run, self._accesses[number])  # before the output is fetched, which may take hours
        try:
            delivered = deliver_done(run, done, self._display, check=self._check)
            write_sidecar(item.spec, code_version=self._code_version)
            item.state, item.frames = "done", done.frames
            self._display.say(f"{one_line(item.spec.output)}: {done.frames} frames")
        except Interrupted:
            raise
        except faults_of_a_file() as error:
            fail(item, error)
            delivered = False
        state = "finished" if item.state == "done" else "failed"
        try:
            run.bucket.write(
                run.bucket.folder.end,
                End.model_validate({"state": state, "time_s": time.time(), "message": item.message}),
            )
            if item.state == "done":
                tidy(run.bucket, run.ticket, delivered=delivered, now_s=time.time())
        except OSError as error:
            warn(f"{run.plan.run} could not be put away: {error}")
