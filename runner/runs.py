"""Finding runs: those that this machine has begun, and those in a bucket that anybody has."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from storage.uri import LocalUri, WebUri, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from runner.follow import News
    from storage.uri import ObjectUri

log = logging.getLogger(__name__)


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
    """Every bucket that may have runs: the ones this machine has used, and those that were named."""

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._named = [one for one in named if one]
        self._opened: dict[str, Bucket] = {}

    def open(self, location: str) -> Bucket:
        if location not in self._opened:
            self._opened[location] = Bucket(bucket_at(location))
        return self._opened[location]

    def all(self) -> list[Bucket]:
        """Named first, then by what this machine remembers."""
        locations = dict.fromkeys([*self._named, *remembered().values()])
        return [self.open(one) for one in locations]

    def find(self, run: str) -> RunBucket:
        """The run of that name; the end of a name is enough where only one has it.

        Raises `MissingInputError` where there is none, `UsageError` for several.
        """
        whole = RUN_NAME.fullmatch(run) is not None
        noted = {name: location for name, location in remembered().items() if name.endswith(run)}
        found = [self.open(location).run(name) for name, location in noted.items()]
        if not found or (not whole and self._named):
            places = self.all() if not self._named else [self.open(one) for one in self._named]
            known = {one.run for one in found}
            for bucket in places:
                names = [run] if whole else [name for name in bucket.runs() if name.endswith(run)]
                found += [bucket.run(name) for name in names if name not in known]
        there = [one for one in found if one.exists(one.folder.plan)]
        if len(there) > 1:
            listed = ", ".join(sorted(one.run for one in there))
            raise UsageError(f"{run} may be any of {listed}; give more of the name")
        if not there:
            raise MissingInputError(
                f"no run {run} is known here; `runner ps --bucket b2://bucket` lists those of a bucket"
            )
        return there[0]


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

    def _find(self, run: str) -> RunBucket | None:
        """The run's folder; None where every bucket that is known was asked and has none."""
        noted = remembered().get(run)
        places: Sequence[Bucket] = [self._buckets.open(noted)] if noted else self._buckets.all()
        for bucket in places:
            found = bucket.run(run)
            if found.exists(found.folder.ticket) or found.exists(found.folder.plan):
                return found
        return None
