"""What is written into a run's folder in the bucket. The plan is the trusted side's; the rest comes from a machine
that is not trusted, and is checked against the plan before anything follows from it.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from runner.spec import JobSpec, Record


class Segment(Record):
    """Frames `first <= n < last` of the source's own frame index, in order of presentation."""

    number: int = Field(ge=0)
    first: int = Field(ge=0)
    last: int = Field(gt=0)
    before: int = Field(0, ge=0)
    """Context: frames that the chain needs to see before `first`, decoded and not written."""
    after: int = Field(0, ge=0)


class SourceId(Record):
    """Exactly which bytes were planned for; other bytes under the same name are another source."""

    location: str
    size_bytes: int = Field(ge=0)
    etag: str
    version: str | None = None


class WorkPlan(Record):
    """What a worker does: written once, read-only for machines."""

    run: str
    """Name of the run, unique: `YYYYMMDD-hhmmss-xxxxxx`."""
    spec: JobSpec
    source: SourceId
    index_digest: str
    """SHA-256 of the frame index (`ctl/<run>/index`), which has every frame's pts."""
    frames: int = Field(gt=0)
    """Of the output: all that the segments hold."""
    segments: tuple[Segment, ...] = Field(min_length=1)
    encoder: str
    """Encoder family that every segment uses: 'software', or 'nvenc-<generation>'."""
    code_version: str

    @property
    def digest(self) -> str:
        """SHA-256 over all that decides the bytes of a segment: what commit records carry."""
        spec = self.spec.model_dump(mode="json")
        for neutral in ("max_price_usd_per_h", "budget_usd", "deadline_s", "requirements", "keyless", "provider"):
            spec.pop(neutral, None)
        decisive = self.model_dump_json(exclude={"run", "spec", "segments"}), repr(sorted(spec.items()))
        cuts = repr([(s.first, s.last, s.before, s.after) for s in self.segments])
        return hashlib.sha256("\n".join([*decisive, cuts]).encode()).hexdigest()


class Commit(Record):
    """A segment is done: written last, after its object was checked."""

    plan: str
    """`WorkPlan.digest`; a record with another one is ignored."""
    number: int = Field(ge=0)
    key: str = Field(pattern=r"^seg/\d{6}/[A-Za-z0-9._-]+$")
    """Name of the object in the run's folder: `seg/<number>/<attempt>.nut`, and nowhere else."""
    version: str | None = None
    size_bytes: int = Field(gt=0)
    sha256: str
    frames: int = Field(gt=0)
    extradata_sha256: str
    reorder_frames: int = Field(0, ge=0, le=64)
    """By how many places at most a packet comes later in the object than its frame in time."""
    first_pts: int
    last_pts: int
    worker: str
    elapsed_s: float = Field(ge=0)
    warnings: tuple[Annotated[str, Field(max_length=1000)], ...] = Field((), max_length=100)
    """What the user should hear of these frames: what was damaged and is concealed."""


class Progress(Record):
    """One line of a worker's event log: `events/<worker>/<n>.json`, each a new object."""

    worker: str
    number: int = Field(ge=0)
    """Of this event, from 0."""
    time_s: float
    """Seconds since 1970, by the worker's clock."""
    state: Literal["booting", "probing", "processing", "joining", "done", "failed", "giving-up"]
    segment: int | None = None
    frames_done: int = Field(0, ge=0)
    """Of the whole job, committed or not."""
    fps: float = Field(0, ge=0)
    message: str = ""
    """For people: shown with control characters removed."""


class Done(Record):
    """The whole job has ended: `done.json`, written last of all."""

    plan: str
    ok: bool
    frames: int = Field(ge=0)
    output_size_bytes: int = Field(0, ge=0)
    output_etag: str = ""
    message: str = ""
    exit_code: int = 0
