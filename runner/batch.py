"""Many jobs on one machine, one after the other: what is told apart per file, and what is shared.

To the conductor a batch is one run whose work is that of all its files; every file has a run of its own beside it,
with its own plan, segments, output and end, so that nothing of one depends on another.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import storage
from runner.follow import Follower, News
from runner.records import Done, Segment, WorkPlan
from runner.spec import Record
from storage.errors import MissingError, StorageError
from storage.uri import LocalUri, ObjectUri, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.access import RunAccess
    from runner.provider import Offer
    from runner.records import Progress
    from runner.selection import Selection
    from runner.spec import JobSpec
    from runner.submission import Submitted
    from storage.uri import Uri

log = logging.getLogger(__name__)

CHUNK: Final = 100
"""Files that one machine is given at a time: each has a plan and an index in memory."""
VIDEOS: Final = frozenset(
    ["mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg", "wmv", "flv", "ogv", "3gp", "nut"]
)
"""Endings that are taken of a folder; a pattern takes what it matches."""
OUTPUTS: Final = frozenset({"mp4", "mov", "mkv", "webm"})
SIDECAR: Final = ".framehaul.json"
NEUTRAL: Final = frozenset(
    {"input", "output", "overwrite", "segment_s", "provider", "requirements", "image", "max_price_usd_per_h",
     "budget_usd", "deadline_s", "keyless"}
)  # fmt: skip
"""Fields of a job that do not decide what its output shows."""


class Sidecar(Record):
    """What an output was made of, beside it as `<output>.framehaul.json`."""

    source_etag: str
    source_size_bytes: int
    job: str
    """SHA-256 over chain, encoder settings and everything else that decides the output."""
    code_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One file and where its output goes."""

    source: Uri
    target: Uri


@dataclass(slots=True, kw_only=True)
class Item:
    """One file of a batch, and what became of it."""

    spec: JobSpec
    state: str = "waiting"
    """`waiting`, `done`, `skipped` or `failed`."""
    message: str = ""
    exit_code: int = 0
    frames: int = 0
    run: Submitted | None = field(default=None, repr=False)


def pairs(found: Selection, target: LocalUri | ObjectUri, *, ending: str | None, is_pattern: bool) -> list[Pair]:
    """The files that `found` selects, each with its name in the folder `target`, whatever folders it lies in.

    The ending is `ending`, else the source's own where that can be written, else mp4.
    """
    made = []
    for info in found.objects():
        name = info.key.removeprefix(found.base)
        stem, dot, last = name.rpartition(".")
        if name.endswith(("/", SIDECAR)) or not (is_pattern or (dot and last.lower() in VIDEOS)):
            continue
        own = last.lower() if dot and last.lower() in OUTPUTS else "mp4"
        output = target.child(f"{stem if dot else name}.{ending or own}")
        made.append(Pair(source=parse(found.locate(info.key)), target=output))
    return made


def job_digest(spec: JobSpec) -> str:
    """What decides the output of `spec`, apart from its input and the code's version."""
    decisive = spec.model_dump(mode="json", exclude=set(NEUTRAL))
    return hashlib.sha256(repr(sorted(decisive.items())).encode()).hexdigest()


def sidecar_of(spec: JobSpec, *, code_version: str) -> Sidecar:
    """What the sidecar of `spec`'s output has to say now. Raises `MissingError` without an input."""
    info = storage.stat(spec.input)
    return Sidecar(
        source_etag=info.etag, source_size_bytes=info.size_bytes, job=job_digest(spec), code_version=code_version
    )


def is_done_before(spec: JobSpec, *, code_version: str) -> bool:
    """Whether the output is there, made by this version from these bytes in this way."""
    try:
        storage.stat(spec.output)
        with storage.open(_sidecar(spec.output)) as file:
            known = Sidecar.model_validate_json(file.read(1 << 16))
    except (MissingError, FileNotFoundError, ValueError):
        return False
    return known == sidecar_of(spec, code_version=code_version)


def write_sidecar(spec: JobSpec, *, code_version: str) -> None:
    """Say beside the output what it was made of."""
    data = sidecar_of(spec, code_version=code_version).model_dump_json(indent=1).encode()
    with storage.open(_sidecar(spec.output), "wb", overwrite=True) as file:
        file.write(data)


def _sidecar(output: str) -> str:
    uri = parse(output)
    if isinstance(uri, LocalUri):
        return str(uri.path.with_name(uri.name + SIDECAR))
    assert isinstance(uri, ObjectUri)
    return str(uri.with_key(uri.key + SIDECAR))


def batch_plan(name: str, runs: Sequence[Submitted]) -> WorkPlan:
    """All of it as one plan, for whoever counts segments and frames."""
    segments: list[Segment] = []
    at = 0
    for run in runs:
        for one in run.plan.segments:
            first, at = at, at + one.last - one.first
            segments.append(Segment(number=len(segments), first=first, last=at))
    return runs[0].plan.model_copy(update={"run": name, "frames": at, "segments": tuple(segments)})


class BatchFollower:
    """Follows the runs of a batch in their order; stands in for `runner.follow.Follower`."""

    def __init__(self, runs: Sequence[Submitted], on_done: Callable[[int, Done], None]) -> None:
        self._runs = tuple(runs)
        self._followers = [Follower(run.bucket, run.plan) for run in runs]
        self._on_done = on_done
        self._ended: dict[int, Done] = {}
        self._worker: str | None = None
        self._progress: Progress | None = None

    @property
    def committed(self) -> frozenset[int]:
        """None: what is left is counted by run."""
        return frozenset()

    def committed_of(self, number: int) -> frozenset[int]:
        """Segments of one run that are done."""
        return self._followers[number].committed

    @property
    def left(self) -> list[int]:
        """Numbers of the runs that have not ended, in order."""
        return [number for number in range(len(self._runs)) if number not in self._ended]

    def begin(self, worker: str | None) -> None:
        self._worker, self._progress = worker, None
        for follower in self._followers:
            follower.begin(worker)

    def look(self) -> News:
        """What is new of the run that is at work; each that has ended is told to `on_done` once."""
        is_news, segments, frames = False, 0, 0
        for number in self.left:
            news = self._followers[number].look()
            is_news = is_news or news.is_news
            self._progress = news.progress or self._progress
            if news.done is None:
                segments, frames = news.segments_done, news.frames_done
                break
            self._ended[number] = news.done
            is_news, self._progress = True, None  # what it said last was about a job that is over
            self._on_done(number, news.done)
        for number in self._ended:
            segments += len(self._runs[number].plan.segments)
            frames += self._runs[number].plan.frames
        done = None if self.left else Done(plan="", ok=True, frames=sum(one.frames for one in self._ended.values()))
        return News(is_news=is_news, progress=self._progress, segments_done=segments, frames_done=frames, done=done)


class BatchAccess:
    """Bootstraps for all that is left of a batch, each naming the next."""

    def __init__(self, accesses: Sequence[RunAccess], follower: BatchFollower) -> None:
        self._accesses = tuple(accesses)
        self._follower = follower

    def boot(self, label: str, *, deadline_s: float, offer: Offer) -> str:
        first, *rest = self._follower.left
        more = tuple(self._accesses[number].boot(label, deadline_s=deadline_s) for number in rest)
        return self._accesses[first].boot(label, deadline_s=deadline_s, offer=offer, more=more)

    def revoke(self, label: str | None = None) -> None:
        for access in self._accesses:
            try:
                access.revoke(label)
            except StorageError as error:
                log.warning("what a machine was given could not be taken back: %s; it expires", error)


def summary(items: Sequence[Item]) -> dict[str, Any]:
    """How many of each, for the last line."""
    return {state: sum(one.state == state for one in items) for state in ("done", "skipped", "failed", "waiting")}
