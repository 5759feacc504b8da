"""Many files in one command: several per machine, and one that fails stops none of the others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runner.cli.carry import Manner, ask_what_next, deliver_done, make_job, shower, take_back
from runner.cli.output import one_line, print_json, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.batch import Item, Pair
    from runner.cli.progress import ProgressDisplay
    from runner.clock import StopRequest
    from runner.provider import Provider
    from runner.records import Done
    from runner.spec import JobSpec
    from runner.submission import Submitted
    from storage.uri import LocalUri, ObjectUri


def is_batch(source: str, target: str) -> bool:
    """Whether the command line is about many files: its output is a folder."""
    from storage.uri import LocalUri, ObjectUri, parse

    uri = parse(target)
    if isinstance(uri, LocalUri):
        return uri.folder or uri.path.is_dir()
    return isinstance(uri, ObjectUri) and uri.folder and bool(source)


def find_pairs(source: str, target: str, *, ending: str | None) -> list[Pair]:
    """Every file that `source` means, and where its output goes. Raises `MissingInputError` for none."""
    from runner.batch import pairs
    from runner.errors import UsageError
    from runner.selection import select
    from storage.uri import WebUri, parse

    found = select(source)
    folder = parse(target)
    if isinstance(folder, WebUri):
        raise UsageError(f"{folder} is on the web, which can only be read")
    is_pattern = any(letter in source for letter in "*?[")
    made = pairs(found, folder, ending=ending, is_pattern=is_pattern)
    if not made:
        raise found.nothing()
    doubled = {one.target for one in made if sum(other.target == one.target for other in made) > 1}
    if doubled:
        raise UsageError(f"several inputs would become {min(map(str, doubled))}; name them apart, or give --ending")
    return made


def run_batch(
    found: Sequence[Pair],
    make: Callable[[Pair], JobSpec],
    provider: Provider,
    root: LocalUri | ObjectUri,
    stop: StopRequest,
    *,
    manner: Manner,
    skip_existing: bool,
    code_version: str,
    started_s: float | None = None,
    chunk: int | None = None,
) -> int:
    """Do all of them, `chunk` per machine; print one summary, and return the exit code: that of the first that failed,
    else 0. The deadline is one for all, counted from `started_s`, which is now unless it is given.
    """
    from runner.batch import CHUNK, summary

    started_s, chunk = time.time() if started_s is None else started_s, chunk or CHUNK
    items = [_begin(pair, make, skip_existing=skip_existing, code_version=code_version) for pair in found]
    waiting = [one for one in items if one.state == "waiting"]
    spent = 0.0
    for first in range(0, len(waiting), chunk):
        some = waiting[first : first + chunk]
        if not _is_late(some, started_s):
            spent += _run_chunk(
                some, provider, root, stop, manner=manner, code_version=code_version, spent=spent, started_s=started_s
            )
    result: dict[str, Any] = {
        **summary(items),
        "elapsed_s": round(time.time() - started_s, 3),
        "spent_usd": round(spent, 6),
        "files": [
            {"input": one.spec.input, "output": one.spec.output, "state": one.state, "message": one.message,
             "frames": one.frames, "run": one.run.plan.run if one.run is not None else None}
            for one in items
        ],
    }  # fmt: skip
    if manner.json:
        print_json(result)
    elif not manner.quiet:
        for one in items:
            if one.state == "failed":
                print(f"failed: {one_line(one.spec.input)}: {one_line(one.message)}")
        cost = f", at most ${spent:.3f}" if spent else ""
        print(f"{result['done']} done, {result['skipped']} skipped, {result['failed']} failed{cost}")
    return next((one.exit_code or 1 for one in items if one.state == "failed"), 0)


def _begin(pair: Pair, make: Callable[[Pair], JobSpec], *, skip_existing: bool, code_version: str) -> Item:
    from runner.batch import Item, is_done_before
    from storage.uri import LocalUri

    item = Item(spec=make(pair))
    try:
        if isinstance(pair.target, LocalUri):
            pair.target.path.parent.mkdir(parents=True, exist_ok=True)
        if skip_existing and is_done_before(item.spec, code_version=code_version):
            item.state = "skipped"
    except OSError as error:
        _fail(item, error)
    return item


def _is_late(items: Sequence[Item], started_s: float) -> bool:
    """Whether the deadline is past; then every one of `items` has failed, and not even its source was read."""
    from runner.errors import PlanError

    limit_s = items[0].spec.deadline_s
    if limit_s is None or time.time() < started_s + limit_s:
        return False
    late = PlanError(
        "the deadline of the whole batch is past; with a later --deadline and --skip-existing, what is done stays done"
    )
    for item in items:
        _fail(item, late)
    return True


def _run_chunk(
    items: Sequence[Item],
    provider: Provider,
    root: LocalUri | ObjectUri,
    stop: StopRequest,
    *,
    manner: Manner,
    code_version: str,
    spent: float,
    started_s: float,
) -> float:
    """As many files as one machine is given; what that has cost, at most."""
    from runner.accounts import read_rents
    from runner.bucket import Bucket
    from runner.cli.progress import progress_display
    from runner.cli.submit import begin
    from runner.errors import Interrupted, OrphanedInstanceError, RunnerError
    from runner.spending import spent_usd
    from runner.ticket import new_run
    from storage.errors import StorageError

    batch, faults = new_run(time.time()), faults_of_a_file()
    spec = items[0].spec
    # One search for all: markets count them.
    offers = provider.offers(spec.requirements, max_price_usd_per_h=spec.max_price_usd_per_h)
    said: set[str] = set()
    for item in items:
        if stop:
            raise Interrupted
        try:
            item.run = begin(
                item.spec, provider, root, stop=stop, quiet=True, batch=batch, offers=offers, started_s=started_s,
                said=said,
            )  # fmt: skip
        except Interrupted:
            raise
        except faults as error:
            _fail(item, error)
    ready = [item for item in items if item.run is not None]
    if not ready:
        return 0.0
    with progress_display(quiet=manner.quiet or manner.json) as display:
        try:
            return _conduct(batch, ready, provider, root, stop, display, manner, code_version, spent)
        except (RunnerError, StorageError) as error:
            left = [item for item in ready if item.state == "waiting"]
            if not left or isinstance(error, Interrupted | OrphanedInstanceError):
                raise
            for item in left:
                _fail(item, error)
            warn(str(error))
            return float(spent_usd(read_rents(Bucket(root).run(batch)), time.time()))  # for nothing, and yet spent


def _conduct(
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
    from runner.standing import Choice, Outcome
    from runner.submission import choose

    runs = [item.run for item in items if item.run is not None]
    accesses = [RunAccess(run.bucket, run.plan, provider=provider.name) for run in runs]  # type: ignore[arg-type]

    def ask() -> Choice:
        return ask_what_next(batch, display, manner)

    def check() -> None:
        if stop and ask() is not Choice.GO_ON:
            raise Interrupted
        stop.forget()

    ends = _Ends(items, accesses, display, code_version, check)
    follower = BatchFollower(runs, ends.one)
    whole = _whole_run(batch, runs, root, spent=spent)

    def pick(shunned: frozenset[str], so_far: Any, _done: frozenset[int]) -> Any:
        number = max(follower.left, key=lambda n: runs[n].plan.frames)  # what it can do, it can do with the others
        run = runs[number]
        return choose(
            provider, run.plan, whole.ticket, run.facts, now_s=time.time(), spent=so_far, shunned=shunned,
            done=frozenset(),
        )  # fmt: skip

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
            "budget_usd": None if budget is None else max(Decimal(0), budget - Decimal(str(spent))),
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
            _fail(item, error)
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


def faults_of_a_file() -> tuple[type[Exception], ...]:
    """What may be wrong with one file while the others go on; a fault of the program is none of them."""
    from kernels.errors import KernelsError
    from runner.errors import RunnerError
    from storage.errors import StorageError

    return KernelsError, RunnerError, StorageError, OSError


def _fail(item: Item, error: Exception) -> None:
    from runner.cli.exit_codes import ExitCode, exit_code

    code = exit_code(error)
    item.state, item.exit_code = "failed", int(code if code is not None else ExitCode.UNEXPECTED)
    item.message = str(error) if code is not None else f"unexpected {type(error).__name__}: {error}"
