"""The output: segments are joined as they are committed, beside the work, so that little is left to do at its end."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from kernels.errors import KernelsError, StoppedError
from kernels.io.join import Piece
from kernels.segments import join_segments
from runner.errors import RunnerError, WorkerError
from runner.records import Done
from runner.worker.segments import settings_of
from storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from kernels.io.frame_index import FrameIndex
    from kernels.progress import Progress, Result
    from runner.records import Commit, WorkPlan
    from runner.worker.events import Reporter
    from runner.worker.workspace import Stored, Workspace

log = logging.getLogger(__name__)

POLL_S: Final = 0.1
MOST_WARNINGS: Final = 20
"""In the last message; the log has all."""


class Joiner:
    """A context manager around the work. `take` is told each commit; `finish` gives the output and `done.json`.

    A join that fails beside the work is done once more at the end, when all segments are there.
    """

    def __init__(self, workspace: Workspace, plan: WorkPlan, index: FrameIndex, report: Reporter) -> None:
        self._workspace = workspace
        self._plan = plan
        self._index = index
        self._report = report
        self._commits: dict[int, Commit] = {}
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._made: tuple[Result, Stored] | None = None
        self._error: Exception | None = None
        self._joined = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Whatever ended the work, nothing of the join goes on."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def take(self, commit: Commit) -> None:
        """One segment more can be joined."""
        with self._news:
            self._commits[commit.number] = commit
            self._news.notify_all()
        if self._thread is None and self._plan.segments[0].number in self._commits:
            log.info("the join begins")
            self._thread = threading.Thread(target=self._join_beside, name="join")
            self._thread.start()

    def finish(self) -> Done:
        """Write the rest of the output, then `done.json`. Raises `WorkerError`, `StorageError`, `KernelsError`."""
        self._report.say("joining")
        if len({commit.extradata_sha256 for commit in self._commits.values()}) != 1:
            raise WorkerError("segments were made by encoders that differ, and cannot be one stream; submit it again")
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(POLL_S)
            self._report.tick("joining", self._plan.frames, joined=self._joined)
        if self._made is None:
            log.warning("the segments are joined once more: %s", self._error)
            self._made = self._join(attempt=1, lead=None)
        result, stored = self._made
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

    def _join_beside(self) -> None:
        first = self._commits[self._plan.segments[0].number]
        try:
            self._made = self._join(attempt=0, lead=first.reorder_frames)
        except (KernelsError, StorageError, RunnerError, OSError) as error:
            self._error = error

    def _join(self, *, attempt: int, lead: int | None) -> tuple[Result, Stored]:
        output = self._workspace.write_output(attempt)
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
        with self._workspace.open_segment(commit) as file:
            yield file
