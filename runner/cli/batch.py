"""Many files in one command: several per machine, and one that fails stops none of the others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runner.cli.output import one_line, print_json, warn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from runner.batch import Item, Pair
    from runner.cli.carry import Manner
    from runner.clock import StopRequest
    from runner.provider import Provider
    from runner.spec import JobSpec
    from runner.submission import Draft
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
    items = [begin_item(pair, make, skip_existing=skip_existing, code_version=code_version) for pair in found]
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
        for what, message in failures(items):
            print(f"failed: {what}: {message}")
        cost = f", at most ${spent:.3f}" if spent else ""
        print(f"{result['done']} done, {result['skipped']} skipped, {result['failed']} failed{cost}")
    return next((one.exit_code or 1 for one in items if one.state == "failed"), 0)


def failures(items: Sequence[Item]) -> list[tuple[str, str]]:
    """What failed, and why: what is said of several files is said once."""
    found: dict[str, list[Item]] = {}
    for one in items:
        if one.state == "failed":
            found.setdefault(one.message, []).append(one)
    return [
        (one_line(some[0].spec.input) if len(some) == 1 else f"{len(some)} files", one_line(message))
        for message, some in found.items()
    ]


def begin_item(
    pair: Pair, make: Callable[[Pair], JobSpec], *, skip_existing: bool, code_version: str, writes: bool = True
) -> Item:
    """A file before it is looked at, and whether it is done already. Without `writes`, no folder is made for it."""
    from runner.batch import Item, is_done_before
    from storage.uri import LocalUri

    item = Item(spec=make(pair))
    try:
        if writes and isinstance(pair.target, LocalUri):
            pair.target.path.parent.mkdir(parents=True, exist_ok=True)
        if skip_existing and is_done_before(item.spec, code_version=code_version):
            item.state = "skipped"
    except OSError as error:
        fail(item, error)
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
        fail(item, late)
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
    """As many files as one machine is given, or several where none can do them all; what that has cost, at most."""
    from runner.batch_planning import groups

    made = draft_all(items, provider, stop, started_s=started_s, code_version=code_version)
    cost = 0.0
    for numbers in groups([one for _, one in made], provider, now_s=time.time()):
        some = [made[number] for number in numbers]
        cost += _run_group(some, provider, root, stop, manner=manner, code_version=code_version, spent=spent + cost)
    return cost


def draft_all(
    items: Sequence[Item],
    provider: Provider,
    stop: StopRequest,
    *,
    started_s: float,
    code_version: str,
    tries: bool = True,
) -> list[tuple[Item, Draft]]:
    """Those of `items` that can be done, each looked at and planned alone; the others have failed.

    Without `tries`, no byte is sent to the outputs. Raises `Interrupted`, and what the search for machines raises.
    """
    from runner.errors import Interrupted
    from runner.submission import draft

    spec, faults = items[0].spec, faults_of_a_file()
    # One search for all: markets count them.
    offers = provider.offers(spec.requirements, max_price_usd_per_h=spec.max_price_usd_per_h)
    made = []
    for item in items:
        stop.check()
        try:
            one = draft(
                item.spec, provider, now_s=time.time(), code_version=code_version, offers=offers, started_s=started_s,
                tries=tries, check=stop.check,
            )  # fmt: skip
        except Interrupted:
            raise
        except faults as error:
            fail(item, error)
        else:
            made.append((item, one))
    return made


def _run_group(
    some: Sequence[tuple[Item, Draft]],
    provider: Provider,
    root: LocalUri | ObjectUri,
    stop: StopRequest,
    *,
    manner: Manner,
    code_version: str,
    spent: float,
) -> float:
    """Files that one machine can do; what that has cost, at most."""
    from runner.accounts import read_rents
    from runner.bucket import Bucket
    from runner.cli.batch_work import conduct_batch
    from runner.cli.progress import progress_display
    from runner.errors import Interrupted, OrphanedInstanceError, RunnerError
    from runner.spending import spent_usd
    from runner.ticket import new_run
    from storage.errors import StorageError

    batch = new_run(time.time())
    ready = _send_all(some, provider, root, stop, batch=batch, spent=spent)
    if not ready:
        return 0.0
    with progress_display(quiet=manner.quiet or manner.json) as display:
        try:
            return conduct_batch(batch, ready, provider, root, stop, display, manner, code_version, spent)
        except (RunnerError, StorageError) as error:
            left = [item for item in ready if item.state == "waiting"]
            if not left or isinstance(error, Interrupted | OrphanedInstanceError):
                raise
            for item in left:
                fail(item, error)
            warn(str(error))
            return float(spent_usd(read_rents(Bucket(root).run(batch)), time.time()))  # for nothing, and yet spent


def _send_all(
    some: Sequence[tuple[Item, Draft]],
    provider: Provider,
    root: LocalUri | ObjectUri,
    stop: StopRequest,
    *,
    batch: str,
    spent: float,
) -> list[Item]:
    """Those that could be brought into the bucket, once it is known that one machine can do all of them."""
    from runner.batch_planning import settle
    from runner.cli.submit import send
    from runner.errors import Interrupted, PlanError

    faults = faults_of_a_file()
    try:
        settled = settle([one for _, one in some], provider, now_s=time.time(), spent=dollars(spent))
    except PlanError as error:
        for item, _ in some:
            fail(item, error)
        return []
    for text in settled.warnings:
        warn(text)
    for (item, _), one in zip(some, settled.drafts, strict=True):
        stop.check()
        try:
            item.run = send(one, provider, root, stop=stop, quiet=True, batch=batch)
        except Interrupted:
            raise
        except faults as error:
            fail(item, error)
    return [item for item, _ in some if item.run is not None]


def dollars(value: float) -> Decimal:
    """As it is written: money is never added up in binary."""
    from decimal import Decimal

    return Decimal(str(value))


def faults_of_a_file() -> tuple[type[Exception], ...]:
    """What may be wrong with one file while the others go on; a fault of the program is none of them."""
    from kernels.errors import KernelsError
    from runner.errors import RunnerError
    from storage.errors import StorageError

    return KernelsError, RunnerError, StorageError, OSError


def fail(item: Item, error: Exception) -> None:
    from runner.cli.exit_codes import ExitCode, exit_code

    code = exit_code(error)
    item.state, item.exit_code = "failed", int(code if code is not None else ExitCode.UNEXPECTED)
    item.message = str(error) if code is not None else f"unexpected {type(error).__name__}: {error}"
