"""The end of a job: all segments become the output, by copying."""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import TYPE_CHECKING

from kernels.io.join import Piece
from kernels.segments import join_segments
from runner.errors import WorkerError
from runner.records import Done
from runner.worker.segments import settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernels.io.frame_index import FrameIndex
    from kernels.progress import Progress
    from runner.records import Commit, WorkPlan
    from runner.worker.events import Reporter
    from runner.worker.workspace import Workspace

log = logging.getLogger(__name__)


def finalise(
    workspace: Workspace, plan: WorkPlan, index: FrameIndex, commits: Mapping[int, Commit], report: Reporter
) -> Done:
    """Write the output and then `done.json`. Raises `WorkerError`, `StorageError` and what the kernels raise."""
    report.say("joining")
    pieces = [_piece(workspace, segment.first, segment.last, commits[segment.number]) for segment in plan.segments]
    if len({commit.extradata_sha256 for commit in commits.values()}) != 1:
        raise WorkerError("segments were made by encoders that differ, and cannot be one stream; submit the job again")
    output = workspace.write_output()
    with workspace.open_input(plan.source) as source:
        if not isinstance(source, str | os.PathLike):
            source.seek(0)
        with output as sink:
            result = join_segments(
                source, sink, pieces, index, settings_of(plan), on_progress=partial(_tick, report, plan.frames)
            )
            if result.frames_out != plan.frames:
                raise WorkerError(f"the output would have {result.frames_out} of {plan.frames} frames")
    for warning in result.warnings:
        log.warning("%s", warning)
    stored = output.stored
    done = Done(
        plan=plan.digest,
        ok=True,
        frames=result.frames_out,
        output_size_bytes=stored.size_bytes,
        output_etag=stored.etag,
        message="; ".join(result.warnings),
    )
    workspace.put_done(done.model_dump_json().encode())
    report.frames_done = plan.frames
    report.say("done", f"{done.frames} frames, {done.output_size_bytes} bytes")
    return done


def _tick(report: Reporter, frames: int, now: Progress) -> None:
    """All frames are done; the watchdog sees that they are joined."""
    report.tick("joining", frames, joined=now.frames_out)


def _piece(workspace: Workspace, first: int, last: int, commit: Commit) -> Piece:
    return Piece(
        first=first,
        last=last,
        open=partial(workspace.open_segment, commit),
        reorder_frames=commit.reorder_frames,
        name=commit.key,
    )
