"""Finding runs: those that this machine has begun, and those in a bucket that anybody has."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from runner.accounts import read_rents
from runner.bucket import Bucket, RunBucket
from runner.errors import MissingInputError, RunnerError, UsageError
from runner.follow import Follower
from runner.reap import RunState
from runner.records import Done, WorkPlan
from runner.spending import Rent, spent_usd
from runner.state import state_folder
from runner.ticket import RUN_NAME, End, Ticket
from storage.errors import StorageError
from storage.retry import Retrier
from storage.uri import LocalUri, WebUri, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from runner.follow import News
    from storage.uri import ObjectUri

log = logging.getLogger(__name__)

LOOK_S: Final = 10.0
"""How long a bucket may take for its first answer where many are looked at."""
ENDED_S: Final = 86_400.0
"""How long after a run's end its folder is still asked for machines that nobody has proven gone."""


def local_root() -> LocalUri:
    """The folder that stands for a bucket where no account is needed."""
    return LocalUri(state_folder() / "bucket")


def bucket_at(location: str) -> LocalUri | ObjectUri:
    """The bucket, or folder of one, that `location` names. Raises `UsageError` for the web."""
    uri = parse(location)
    if isinstance(uri, WebUri):
        raise UsageError(f"{uri} is on the web, where nothing can be kept; give b2://bucket or a folder")
    return uri


def remember(run: str, root: LocalUri | ObjectUri) -> None:
    """Note on this machine where the folder of `run` lies."""
    path = state_folder() / "runs" / f"{run}.json"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_suffix(".new")
    part.write_text(json.dumps({"bucket": str(root)}), encoding="utf-8")
    part.replace(path)


def remembered() -> dict[str, str]:
    """Run -> its bucket, of all that this machine has begun."""
    found = {}
    for path in sorted((state_folder() / "runs").glob("*.json")):
        try:
            found[path.stem] = str(json.loads(path.read_text(encoding="utf-8"))["bucket"])
        except (OSError, ValueError, KeyError, TypeError):
            log.info("%s is no note about a run", path)
    return found


class Buckets:
    """Every bucket that may have runs: the ones this machine has used, and those that were named.

    One that was used long ago may be gone, or its server: none of them may keep the others waiting. `open` has a
    job's patience with one; `look` and `look_all` have `LOOK_S` for the first answer of each, all at once.
    """

    def __init__(self, named: Iterable[str] = ()) -> None:
        self.named = [one for one in named if one]
        self.away: dict[str, str] = {}
        """Location -> why it could not be looked at, of those that were."""
        self._opened: dict[str, Bucket] = {}
        self._answering: dict[str, Bucket] = {}

    def open(self, location: str) -> Bucket:
        if location not in self._opened:
            self._opened[location] = Bucket(bucket_at(location))
        return self._opened[location]

    def look(self, location: str) -> Bucket:
        """That bucket, with little patience. Raises `RunnerError` where it does not answer."""
        found = self._look([location])
        if location not in found:
            raise RunnerError(f"{location} could not be looked at: {self.away[location]}")
        return found[location]

    def look_all(self) -> dict[str, Bucket]:
        """Location -> bucket of all that answer, named first, then by what this machine remembers."""
        return self._look([*self.named, *remembered().values()])

    def find(self, run: str) -> RunBucket:
        """The run of that name; the end of a name is enough where only one has it.

        Raises `MissingInputError` where there is none, `UsageError` for several.
        """
        whole = RUN_NAME.fullmatch(run) is not None
        noted = {name: location for name, location in remembered().items() if name.endswith(run)}
        found = [self.open(location).run(name) for name, location in noted.items()]
        if not found or (not whole and self.named):
            known = {one.run for one in found}
            for bucket in [self.open(one) for one in self.named or self.look_all()]:
                names = [run] if whole else [name for name in bucket.runs() if name.endswith(run)]
                found += [bucket.run(name) for name in names if name not in known]
        there = [one for one in found if one.exists(one.folder.plan)]
        if len(there) > 1:
            listed = ", ".join(sorted(one.run for one in there))
            raise UsageError(f"{run} may be any of {listed}; give more of the name")
        if not there:
            away = f" ({', '.join(self.away)} could not be looked at)" if self.away else ""
            raise MissingInputError(
                f"no run {run} is known here{away}; `runner ps --bucket b2://bucket` lists those of a bucket"
            )
        return there[0]

    def _look(self, locations: Sequence[str]) -> dict[str, Bucket]:
        new = [one for one in dict.fromkeys(locations) if one not in self._answering and one not in self.away]
        answers: dict[str, SimpleQueue[Bucket | Exception]] = {one: SimpleQueue() for one in new}
        for location, answer in answers.items():
            # Nobody waits for it at the end: a connection that nothing answers can hang for minutes.
            threading.Thread(target=_reach, args=(location, answer), daemon=True).start()
        until = time.monotonic() + LOOK_S
        for location, answer in answers.items():
            try:
                got = answer.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                self.away[location] = f"no answer within {LOOK_S:.0f} s"
                continue
            if isinstance(got, Bucket):
                self._answering[location] = got
            elif isinstance(got, StorageError | RunnerError):
                self.away[location] = str(got)
            else:
                raise got
        return {one: self._answering[one] for one in dict.fromkeys(locations) if one in self._answering}


def _reach(location: str, answer: SimpleQueue[Bucket | Exception]) -> None:
    """Put the bucket into `answer` once it has said anything, or why it has not."""
    try:
        bucket = Bucket(bucket_at(location), retrier=Retrier(budget_s=LOOK_S / 2))
        run = bucket.run("any")
        run.exists(run.folder.plan)
    except Exception as error:  # noqa: BLE001 - a thread's: whoever waits raises it or says it
        answer.put(error)
    else:
        answer.put(bucket)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run's folder says."""

    bucket: RunBucket
    plan: WorkPlan
    ticket: Ticket
    end: End | None
    news: News
    spent_usd: Decimal
    """At most."""

    @property
    def state(self) -> str:
        """`finished`, `failed`, `cancelled`, `overdue` or the worker's own word for what it does."""
        if self.end is not None:
            return self.end.state
        if self.news.done is not None:
            return "finished" if self.news.done.ok else "failed"
        return self.news.progress.state if self.news.progress is not None else "waiting"


def read_run(bucket: RunBucket, *, now_s: float) -> RunFacts:
    """Everything about one run. Raises `MissingInputError` for a folder that has no plan or no ticket."""
    plan = bucket.read(bucket.folder.plan, WorkPlan)
    ticket = bucket.read(bucket.folder.ticket, Ticket)
    if plan is None or ticket is None:
        raise MissingInputError(f"{bucket.folder.control} has no whole plan: it was never begun; submit it again")
    return RunFacts(
        bucket=bucket,
        plan=plan,
        ticket=ticket,
        end=bucket.read(bucket.folder.end, End),
        news=Follower(bucket, plan).look(),
        spent_usd=spent_usd(read_rents(bucket), now_s),
    )


class KnownRuns:
    """What reaping asks about runs (`runner.reap.Runs`)."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self._found: dict[str, RunBucket | None] = {}

    def state(self, run: str) -> RunState:
        try:
            found = self._find(run)
            if found is None:
                return RunState.UNKNOWN
            end = found.read(found.folder.end, End)
            if end is not None:
                return RunState.CANCELLED if end.state == "cancelled" else RunState.FINISHED
            plan = found.read(found.folder.plan, WorkPlan)
            done = found.read_told(found.folder.object(found.folder.DONE), Done)
        except (StorageError, RunnerError) as error:
            log.info("%s: nothing follows from a folder that cannot be read: %s", run, error)
            return RunState.UNSEEN
        if plan is None:
            return RunState.UNKNOWN
        return RunState.FINISHED if done is not None and done.plan == plan.digest else RunState.GOING

    def deadline_s(self, run: str, label: str) -> float | None:
        """The run's, or that of the money for this very instance, whichever is first."""
        try:
            found = self._find(run)
            if found is None:
                return None
            ticket = found.read(found.folder.ticket, Ticket)
            rent = found.read(found.folder.rent(label), Rent)
        except (StorageError, RunnerError):
            return None
        return min((one.deadline_s for one in (ticket, rent) if one is not None), default=None)

    def image(self, run: str) -> str | None:
        try:
            found = self._find(run)
            plan = None if found is None else found.read(found.folder.plan, WorkPlan)
        except (StorageError, RunnerError):
            return None
        return None if plan is None else plan.spec.image

    def open_rents(self, now_s: float) -> list[OpenRent]:
        """What runs' folders have as rented and not as ended, of runs that go on or ended lately.

        A bucket that cannot be read has none here: `Buckets.away` says which.
        """
        found: list[OpenRent] = []
        for location, bucket in self._buckets.look_all().items():
            try:
                for run in _unsettled(bucket, now_s):
                    found += [OpenRent(bucket=run, rent=one) for one in read_rents(run) if one.ended_s is None]
            except (StorageError, RunnerError) as error:
                self._buckets.away[location] = str(error)
        return found

    def _find(self, run: str) -> RunBucket | None:
        """The run's folder; None where every bucket that is known was asked and has none.

        Raises `RunnerError` where one that may have it could not be asked.
        """
        if run not in self._found:
            noted = remembered().get(run)
            places = [self._buckets.look(noted)] if noted else [*self._buckets.look_all().values()]
            runs = (bucket.run(run) for bucket in places)
            found = next((one for one in runs if one.exists(one.folder.ticket) or one.exists(one.folder.plan)), None)
            if found is None and not noted and self._buckets.away:
                raise RunnerError(f"{run} may lie in {', '.join(self._buckets.away)}, which could not be looked at")
            self._found[run] = found
        return self._found[run]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRent:
    """An instance that is not known to have ended, and the run that has it."""

    bucket: RunBucket
    rent: Rent

    def close(self, now_s: float) -> None:
        """Note that it is proven gone."""
        closed = self.rent.model_copy(update={"ended_s": now_s, "absent": self.rent.instance is None})
        self.bucket.write(self.bucket.folder.rent(self.rent.label), closed)


def _unsettled(bucket: Bucket, now_s: float) -> list[RunBucket]:
    """Runs that have rented something, and go on or ended lately. One listing."""
    start = bucket.control
    rented, over = set(), set()
    for info in bucket.store.list(start):
        run, _, name = info.key.removeprefix(start).partition("/")
        if name.startswith("rent/"):
            rented.add(run)
        elif name == "end.json" and info.modified is not None and info.modified.timestamp() < now_s - ENDED_S:
            over.add(run)
    return [bucket.run(one) for one in sorted(rented - over)]
