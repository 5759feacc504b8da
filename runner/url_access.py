"""Presigned URLs for all that one machine may have to do for a run: what it gets instead of a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runner.worker.boot import Attempt, SegmentUrls, UrlAccess
from storage.grants import WriteGrant, grant_reading, grant_writing
from storage.place import Place
from storage.store import Grant
from storage.transfer import content_type_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.bucket import RunBucket
    from runner.records import Commit, Segment, WorkPlan

ATTEMPTS: Final = 2
"""Per segment, and at the output: a machine that fails twice with one fails again."""
EVENTS: Final = 300
LOG_PIECES: Final = 100
FRAME_BYTES: Final = 512 << 10
"""Bound of an encoded frame's mean size: 250 Mbit/s at 60 frames per second."""
LOSSLESS_FRAME_BYTES: Final = 4 << 20
MIN_OBJECT_BYTES: Final = 64 << 20


class UrlGiver:
    """Signs everything. What was begun on the way is in `segment_grants` and `output_grants`, to be taken back."""

    def __init__(
        self, bucket: RunBucket, plan: WorkPlan, label: str, *, lives_s: int, frame_bytes: int | None = None
    ) -> None:
        self._bucket = bucket
        self._plan = plan
        self._label = label
        self._lives_s = lives_s
        lossless = plan.spec.encode.codec == "ffv1" or plan.spec.encode.crf == 0
        self._frame_bytes = frame_bytes or (LOSSLESS_FRAME_BYTES if lossless else FRAME_BYTES)
        self.segment_grants: list[WriteGrant] = []
        self.output_grants: list[WriteGrant] = []

    def give(self, *, input_url: str, output: Place, commits: Mapping[int, Commit]) -> UrlAccess:
        """Everything, for what is not committed yet."""
        folder, label = self._bucket.folder, self._label
        for number in range(ATTEMPTS):
            self.output_grants.append(
                grant_writing(
                    output,
                    mark=f"{label}-output-{number}",
                    max_bytes=self._most(self._plan.frames) + self._plan.source.size_bytes,
                    expires_s=self._lives_s,
                    content_type=content_type_of(output.key),
                )
            )
        return UrlAccess(
            input_url=input_url,
            done_get_url=self._sign(Grant.GET, folder.DONE),
            done_put_url=self._sign(Grant.PUT, folder.DONE),
            segments=tuple(self._segment(one, commits.get(one.number)) for one in self._plan.segments),
            event_urls=tuple(self._sign(Grant.PUT, folder.event_name(label, n)) for n in range(EVENTS)),
            log_urls=tuple(self._sign(Grant.PUT, folder.log_name(label, n)) for n in range(LOG_PIECES)),
            outputs=tuple(self.output_grants),
        )

    def _segment(self, segment: Segment, commit: Commit | None) -> SegmentUrls:
        name = self._bucket.folder.commit_name(segment.number)
        tries = range(ATTEMPTS if commit is None else 0)
        return SegmentUrls(
            attempts=tuple(self._attempt(segment, number) for number in tries),
            commit_put_url=self._sign(Grant.PUT, name),
            commit_get_url=self._sign(Grant.GET, name),
            committed=None if commit is None else commit.key,
            committed_get_url=None if commit is None else grant_reading(self._at(commit.key), expires_s=self._lives_s),
        )

    def _attempt(self, segment: Segment, number: int) -> Attempt:
        name = self._bucket.folder.segment_name(segment.number, f"{self._label}-{number}")
        grant = grant_writing(
            self._at(name),
            mark=f"{self._label}-{segment.number}-{number}",
            max_bytes=self._most(segment.last - segment.first),
            expires_s=self._lives_s,
        )
        self.segment_grants.append(grant)
        return Attempt(name=name, grant=grant)

    def _most(self, frames: int) -> int:
        return max(MIN_OBJECT_BYTES, frames * self._frame_bytes)

    def _sign(self, grant: Grant, name: str) -> str:
        place = self._at(name)
        return place.store.presign(grant, place.key, expires_s=self._lives_s)

    def _at(self, name: str) -> Place:
        """What is called `name` in the run's folder."""
        uri = self._bucket.folder.object(name)
        return Place(self._bucket.bucket.store, self._bucket.bucket.key(uri))
