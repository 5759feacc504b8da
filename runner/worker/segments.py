"""The work itself: every segment that nobody has committed yet is encoded, stored, checked, and committed last."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import deque
from concurrent.futures import wait
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import ValidationError

from kernels.backends import Backend
from kernels.errors import InputError
from kernels.segments import Settings, Window, encode_segment, read_segment
from runner.errors import WorkerError
from runner.inspection import encode_settings, stream_choices
from runner.records import Commit
from runner.worker.workspace import in_parallel
from storage.errors import StorageError
from storage.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from kernels.io.carrier import SegmentFacts
    from kernels.io.frame_index import FrameIndex
    from kernels.io.source import InputLike
    from kernels.progress import Progress, Result
    from runner.records import Segment, WorkPlan
    from runner.worker.events import Reporter
    from runner.worker.kept import Kept
    from runner.worker.workspace import SegmentWriter, Stored, Workspace

log = logging.getLogger(__name__)

STORING: Final = 2
"""Segments that are being stored while another is encoded: what a death may cost beside that one."""
POLL_S: Final = 1.0
GRACE_S: Final = 20.0
"""How long a failed worker waits for what it is storing."""
ATTEMPTS: Final = 2
"""Of one segment, by one worker: what fails twice in a row will not succeed on this machine."""
_NAME: Final = re.compile(r"seg/(\d{6})/[A-Za-z0-9._-]+\.nut")


def settings_of(plan: WorkPlan) -> Settings:
    """What the kernels are told, the same for every segment and for the join."""
    spec = plan.spec
    return Settings(
        container=spec.container,
        chain=spec.chain,
        encode=encode_settings(spec.encode),
        streams=stream_choices(spec.streams),
        start_s=spec.start_s,
        duration_s=spec.duration_s,
        autorotate=spec.autorotate,
        strict=spec.strict,
        backend=spec.backend,
        encoder=Backend.CPU if plan.encoder == "software" else Backend.CUDA,
    )


class _Storing(NamedTuple):
    """A segment that is encoded and on its way."""

    segment: Segment
    attempt: int
    writer: SegmentWriter
    commit: Future[Commit]


class SegmentWork:
    """All segments of one plan on one machine. `on_commit` is told what is done, by one thread at a time."""

    def __init__(
        self,
        workspace: Workspace,
        plan: WorkPlan,
        index: FrameIndex,
        worker: str,
        report: Reporter,
        *,
        kept: Kept,
        on_commit: Callable[[Commit], None] = lambda _: None,
    ) -> None:
        self._on_commit = on_commit
        self._guard = threading.Lock()
        self._workspace = workspace
        self._plan = plan
        self._digest = plan.digest
        self._index = index
        self._worker = worker
        self._report = report
        self._kept = kept
        self._settings = settings_of(plan)
        self._read_bytes = 0
        self.commits: dict[int, Commit] = {}
        """What is done, by the segment's number."""

    def run(self) -> dict[int, Commit]:
        """Do what is left. Raises `WorkerError`, `StorageError` and what the kernels raise."""
        self.commits = self.find_commits()
        self._report.frames_done = sum(commit.frames for commit in self.commits.values())
        left = [segment for segment in self._plan.segments if segment.number not in self.commits]
        log.info("%d of %d segments are done", len(self.commits), len(self._plan.segments))
        for commit in self.commits.values():
            self._on_commit(commit)
        if left:
            with self._workspace.open_input(self._plan.source) as source:
                self._do(left, source)
        return self.commits

    def find_commits(self) -> dict[int, Commit]:
        """Commits of this very plan whose objects are there. Others are as if they were not."""
        segments = {segment.number: segment for segment in self._plan.segments}
        told = self._workspace.read_commits()
        read = [self._read_commit(data, segments.get(number)) for number, data in told.items()]
        sound = [commit for commit in read if commit is not None]
        sizes = in_parallel(self._workspace.head_segment, sound)
        return {one.number: one for one, size in zip(sound, sizes, strict=True) if size == one.size_bytes}

    def _read_commit(self, data: bytes, segment: Segment | None) -> Commit | None:
        try:
            commit = Commit.model_validate_json(data)
        except ValidationError:
            return None
        named = _NAME.fullmatch(commit.key)
        sound = (
            segment is not None
            and commit.plan == self._digest
            and commit.number == segment.number
            and commit.frames == segment.last - segment.first
            and named is not None
            and int(named[1]) == segment.number
        )
        return commit if sound else None

    def _do(self, left: list[Segment], source: InputLike) -> None:
        """Encode one after the other; each is stored, checked and committed while the next ones are encoded."""
        waiting = deque((segment, 0) for segment in left)
        storing: deque[_Storing] = deque()
        workers = Workers(STORING, "segments")
        try:
            while waiting or storing:
                if storing and (not waiting or len(storing) == STORING or storing[0].commit.done()):
                    first = storing.popleft()
                    segment, attempt = first.segment, first.attempt
                    trial: Callable[[], object] = partial(self._take, first)
                else:
                    segment, attempt = waiting.popleft()
                    trial = partial(self._encode, segment, source, attempt, workers, storing)
                try:
                    trial()
                except (StorageError, _UnsoundError) as error:
                    if attempt + 1 == ATTEMPTS:
                        raise
                    log.warning("segment %d is tried again: %s", segment.number, error)
                    waiting.appendleft((segment, attempt + 1))
        finally:
            workers.close()
            # What is on its way may still be committed.
            wait([one.commit for one in storing if not one.commit.cancelled()], GRACE_S)

    def _encode(
        self,
        segment: Segment,
        source: InputLike,
        attempt: int,
        workers: Workers,
        storing: deque[_Storing],
    ) -> None:
        """Hand over what was encoded, to be stored by another thread."""
        started_s = time.monotonic()
        if not isinstance(source, str | os.PathLike):
            source.seek(0)
        done = self._report.frames_done
        writer = self._workspace.write_segment(segment.number, attempt)
        with ExitStack() as stack:
            stack.callback(partial(setattr, self._report, "frames_done", done))
            stack.push(writer)
            result = encode_segment(
                source,
                self._kept.writing(segment.number, writer.__enter__()),  # left by whoever stores it
                Window(first=segment.first, last=segment.last, before=segment.before, after=segment.after),
                self._index,
                self._settings,
                on_progress=lambda now: self._tick(now, done, segment.number),
            )
            elapsed_s = time.monotonic() - started_s
            commit = workers.submit(partial(self._store, segment, writer, elapsed_s, result))
            storing.append(_Storing(segment, attempt, writer, commit))
            stack.pop_all()
        self._report.frames_done = done + segment.last - segment.first

    def _store(self, segment: Segment, writer: SegmentWriter, elapsed_s: float, result: Result) -> Commit:
        """Send the rest, check all of it, commit it."""
        writer.__exit__(None, None, None)
        verified = self._verify(segment, writer.name, writer.stored, elapsed_s)
        commit = verified.model_copy(update={"warnings": result.warnings})
        for warning in result.warnings:
            log.warning("segment %d: %s", segment.number, warning)
        self._workspace.put_commit(segment.number, commit.model_dump_json().encode())
        log.info("segment %d: %d frames in %.1f s", segment.number, commit.frames, commit.elapsed_s)
        with self._guard:
            self._on_commit(commit)
        return commit

    def _take(self, one: _Storing) -> None:
        """Wait until a segment is committed, and say so."""
        segment = one.segment
        try:
            while not wait([one.commit], POLL_S).done:
                self._report.tick(
                    "processing", self._report.frames_done, other=one.writer.sent_bytes + self._read_bytes
                )
            commit = self.commits[segment.number] = one.commit.result()
        except BaseException:  # whatever lost the segment, its frames are not done; it is raised again
            self._report.frames_done -= segment.last - segment.first
            raise
        self._report.say("processing", segment=segment.number, fps=commit.frames / max(commit.elapsed_s, 1e-3))

    def _tick(self, now: Progress, done: int, number: int) -> None:
        self._report.tick("processing", done + now.frames_out, segment=number, fps=now.fps)

    def _verify(self, segment: Segment, name: str, stored: Stored, elapsed_s: float) -> Commit:
        """Raises `_UnsoundError` unless the object is what was written, and what the plan wants.

        The object itself is read, unless the store has proven every byte of it and a copy of them is at hand.
        """
        first_pts, last_pts = self._index.pts[segment.first], self._index.pts[segment.last - 1]
        commit = Commit(
            plan=self._digest,
            number=segment.number,
            key=name,
            version=stored.version,
            size_bytes=stored.size_bytes,
            sha256=stored.sha256,
            frames=segment.last - segment.first,
            extradata_sha256="",
            first_pts=first_pts,
            last_pts=last_pts,
            worker=self._worker,
            elapsed_s=elapsed_s,
        )
        copy = self._kept.open(segment.number) if stored.proven else None
        with nullcontext(copy) if copy is not None else self._workspace.open_segment(commit) as file:
            try:
                facts = read_segment(file, name, on_read=self._count)
            except InputError as error:
                raise _UnsoundError(str(error)) from error
        self._compare(commit, facts)
        return commit.model_copy(
            update={"extradata_sha256": facts.extradata_sha256, "reorder_frames": facts.reorder_frames}
        )

    def _count(self, size_bytes: int) -> None:
        with self._guard:
            self._read_bytes += size_bytes

    def _compare(self, commit: Commit, facts: SegmentFacts) -> None:
        length_s = (commit.last_pts - commit.first_pts) * self._index.time_base
        for what, wanted, found in (
            ("bytes", commit.size_bytes, facts.size_bytes),
            ("SHA-256", commit.sha256, facts.sha256),
            ("frames", commit.frames, facts.frames),
            ("length in seconds", length_s, facts.length_s),
        ):
            if wanted != found:
                raise _UnsoundError(f"{commit.key} was stored with {what} {found} instead of {wanted}")


class _UnsoundError(WorkerError):
    """What was stored is not what it should be."""
