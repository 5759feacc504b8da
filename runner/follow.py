"""What a run's workers have written so far, read from the bucket: each object once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from runner.records import Commit, Done, Progress

if TYPE_CHECKING:
    from runner.bucket import RunBucket
    from runner.records import WorkPlan

MAX_NAMES: Final = 100_000
"""Looked at in one listing. An honest worker writes an event every 3 s; no flood of others may keep a machine alive
because its owner is busy reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Everything that is known after one look."""

    is_news: bool
    """Whether anything was new in this look."""
    progress: Progress | None
    """The latest event of the worker that is followed."""
    segments_done: int
    frames_done: int
    """Of segments that are committed, and what the worker has of the next one."""
    done: Done | None


class Follows(Protocol):
    """Knows how the work of a run stands."""

    @property
    def committed(self) -> frozenset[int]: ...

    def begin(self, worker: str | None) -> None: ...

    def look(self) -> News: ...


class Follower:
    """Follows the run of `plan`. A record that is damaged, or that belongs to another plan, is as if not written."""

    def __init__(self, bucket: RunBucket, plan: WorkPlan) -> None:
        self._bucket = bucket
        self._plan = plan
        self._digest = plan.digest
        self._frames = {one.number: one.last - one.first for one in plan.segments}
        self._names = {bucket.folder.commit_name(number): number for number in self._frames}
        self._committed: set[int] = set()
        self._read: set[str] = set()
        self._worker: str | None = None
        self._progress: Progress | None = None
        self._done: Done | None = None

    @property
    def committed(self) -> frozenset[int]:
        return frozenset(self._committed)

    def begin(self, worker: str | None) -> None:
        """From now on `worker` is the one that counts; what others wrote is old."""
        self._worker, self._progress = worker, None

    def look(self) -> News:
        """Read what is new. Raises `StorageError` where the bucket cannot be read."""
        before = len(self._read), len(self._committed)
        self._read_events()
        self._read_commits()
        if self._done is None:
            found = self._bucket.read_told(self._bucket.folder.object(self._bucket.folder.DONE), Done)
            self._done = found if found is not None and found.plan == self._digest else None
        frames = sum(self._frames[number] for number in self._committed)
        if self._progress is not None:
            frames = max(frames, min(self._progress.frames_done, self._plan.frames))
        return News(
            is_news=(len(self._read), len(self._committed)) != before,
            progress=self._progress,
            segments_done=len(self._committed),
            frames_done=frames,
            done=self._done,
        )

    def _read_events(self) -> None:
        wanted = f"events/{self._worker}/" if self._worker else "events/"
        new = [name for name in islice(self._bucket.names(wanted), MAX_NAMES) if name not in self._read]
        self._read.update(new)
        for name in new[-1:]:  # each says all that matters; the ones before are history
            event = self._bucket.read_told(self._bucket.folder.object(name), Progress)
            if event is not None:
                self._progress = event

    def _read_commits(self) -> None:
        for name in islice(self._bucket.names("commit/"), MAX_NAMES):
            number = self._names.get(name)
            if number is None or number in self._committed:
                continue
            commit = self._bucket.read_told(self._bucket.folder.object(name), Commit)
            if commit is not None and commit.plan == self._digest and commit.number == number:
                self._committed.add(number)
