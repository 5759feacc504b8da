"""The output: segments are joined as they are committed, beside the work, so that little is left to do at its end."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import wait
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from kernels.errors import KernelsError, StoppedError
from kernels.io.join import Piece
from kernels.segments import join_segments
from runner.errors import RunnerError, WorkerError
from runner.records import Done
from runner.worker.segments import settings_of
from storage.errors import StorageError
from storage.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from kernels.io.frame_index import FrameIndex
    from kernels.progress import Progress, Result
    from runner.records import Commit, WorkPlan
    from runner.worker.events import Reporter
    from runner.worker.kept import Kept
    from runner.worker.workspace import OutputWriter, Stored, Workspace

log = logging.getLogger(__name__)

POLL_S: Final = 0.1
MOST_WARNINGS: Final = 20
"""In the last message; the log has all."""


class Joiner:
    """A context manager around the work. `take` is told each commit; `finish` gives the output and `done.json`.

    A join that fails beside the work is done once more at the end, when all segments are there.
    """

    def __init__(
        self, workspace: Workspace, plan: WorkPlan, index: FrameIndex, report: Reporter, *, kept: Kept
    ) -> None:
        self._workspace = workspace
        self._plan = plan
        self._index = index
        self._report = report
        self._kept = kept
        self._commits: dict[int, Commit] = {}
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._workers = Workers(1, "join")
        self._made: Future[tuple[Result, Stored]] | None = None
        self._output: OutputWriter | None = None
        self._joined = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whatever ended the work, nothing of the join goes on."""
        self._stop.set()
        self._workers.close()
        if self._made is not None and not self._made.cancelled():
            wait([self._made])

    def take(self, commit: Commit) -> None:
        """One segment more can be joined."""
        with self._news:
            self._commits[commit.number] = commit
            self._news.notify_all()
        first = self._commits.get(self._plan.segments[0].number)
        if self._made is None and first is not None:
            log.info("the join begins")
            self._made = self._workers.submit(partial(self._join, attempt=0, lead=first.reorder_frames))

    def finish(self) -> Done:
        """Write the rest of the output, then `done.json`. Raises `WorkerError`, `StorageError`, `KernelsError`."""
        self._report.say("joining")
        if len({commit.extradata_sha256 for commit in self._commits.values()}) != 1:
            raise WorkerError("segments were made by encoders that differ, and cannot be one stream; submit it again")
        assert self._made is not None
        try:
            result, stored = self._wait_for(self._made)
        except (KernelsError, StorageError, RunnerError, OSError) as error:
            log.warning("the segments are joined once more: %s", error)
            self._made = self._workers.submit(partial(self._join, attempt=1, lead=None))
            result, stored = self._wait_for(self._made)
        for warning in result.warnings:
            log.warning("%s", warning)
        done = Done(
            plan=self._plan.digest,
            ok=True,
            frames=result.frames_out,
            output_size_bytes=stored.size_bytes,
            output_etag=stored.etag,
            message="; ".join((*result.warnings, *self._of_segments(result.warnings))),
        )
        self._report.flush_log(force=True)  # whoever reads that it is done may end this machine at once
        self._workspace.put_done(done.model_dump_json().encode())
        self._report.frames_done = self._plan.frames
        self._report.say("done", f"{done.frames} frames, {done.output_size_bytes} bytes")
        return done

    def _of_segments(self, said: Sequence[str]) -> list[str]:
        """What commits warn of that is not in `said`, each thing once, with where."""
        places: dict[str, list[int]] = {}
        for number, commit in sorted(self._commits.items()):
            for text in commit.warnings:
                places.setdefault(text, []).append(number)
        return [
            f"{text} (segment {numbers[0]})" if len(numbers) == 1 else f"{text} ({len(numbers)} segments)"
            for text, numbers in places.items()
            if text not in said
        ][:MOST_WARNINGS]

    def _wait_for(self, made: Future[tuple[Result, Stored]]) -> tuple[Result, Stored]:
        while not wait([made], POLL_S).done:
            sent_bytes = 0 if self._output is None else self._output.sent_bytes
            self._report.tick("joining", self._plan.frames, other=self._joined + sent_bytes)
        return made.result()

    def _join(self, *, attempt: int, lead: int | None) -> tuple[Result, Stored]:
        output = self._output = self._workspace.write_output(attempt)
        with self._workspace.open_input(self._plan.source) as source:
            if not isinstance(source, str | os.PathLike):
                source.seek(0)
            with output as sink:
                result = join_segments(
                    source,
                    sink,
                    [self._piece(segment.number) for segment in self._plan.segments],
                    self._index,
                    settings_of(self._plan),
                    lead=lead,
                    on_progress=self._note,
                    stop=self._stop,
                )
                if result.frames_out != self._plan.frames:
                    raise WorkerError(f"the output would have {result.frames_out} of {self._plan.frames} frames")
        return result, output.stored

    def _note(self, now: Progress) -> None:
        self._joined = now.frames_out

    def _piece(self, number: int) -> Piece:
        segment = next(one for one in self._plan.segments if one.number == number)
        commit = self._commits.get(number)
        return Piece(
            first=segment.first,
            last=segment.last,
            open=partial(self._open, number),
            reorder_frames=0 if commit is None else commit.reorder_frames,
            name=f"segment {number}",
        )

    @contextmanager
    def _open(self, number: int) -> Iterator[BinaryIO]:
        """The segment's object, once it is committed. Raises `StoppedError` when it never will be."""
        with self._news:
            while number not in self._commits:
                if self._stop.is_set():
                    raise StoppedError("the work ended before all segments were there")
                self._news.wait(POLL_S)
            commit = self._commits[number]
        copy = self._kept.open(number)
        with nullcontext(copy) if copy is not None else self._workspace.open_segment(commit) as file:
            yield file
        self._kept.drop(number)
