"""What a machine is given to do its work with, and how it is taken back.

    keys   three keys of B2 that expire: one reads the input, one reads, writes and lists the run's folder, one writes
           the output. None deletes anything, none makes keys.
    urls   presigned URLs and no key: for whoever may make no keys, and for servers that know no such keys
    own    the user's own key, for a worker on the user's own machine

What was given is noted in `ctl/<run>/access/`, without anything secret, so that another machine can take it back.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal

from runner.errors import UsageError
from runner.records import Commit
from runner.spec import Record
from runner.state import state_folder
from runner.url_access import UrlGiver
from runner.worker.boot import Boot, Key, KeyAccess, write_private
from storage.credentials import find_credentials
from storage.errors import CredentialsError, StorageError
from storage.grants import grant_reading
from storage.keys import KeyService, account_service
from storage.place import place_of
from storage.store import MAX_PRESIGN_S
from storage.uri import LocalUri, ObjectUri, Uri, WebUri, parse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.bucket import RunBucket
    from runner.provider import Offer
    from runner.records import WorkPlan
    from runner.worker.boot import UrlAccess
    from storage.credentials import Credentials
    from storage.place import Place

log = logging.getLogger(__name__)

BOOT_URL_S: Final = 3600
"""How long the boot document can be fetched: longer than any image takes to be pulled."""
SPARE_S: Final = 3600
"""How long keys and URLs live on after the machine's deadline: clocks differ, and the end takes a while."""
MIN_S: Final = 600
INPUT_RIGHTS: Final = ("readFiles",)
WORK_RIGHTS: Final = ("listFiles", "readFiles", "writeFiles")
OUTPUT_RIGHTS: Final = ("writeFiles",)

Role = Literal["input", "work", "output"]


class Mode(StrEnum):
    """See the top of this file."""

    KEYS = "keys"
    URLS = "urls"
    OWN = "own"


class GivenKey(Record):
    """A key that a machine has; its id is no secret."""

    role: Role
    key_id: str


class GivenUpload(Record):
    """An upload that was begun for a machine."""

    role: Role
    key: str
    upload: str


class Given(Record):
    """All that one machine was given."""

    label: str
    keys: tuple[GivenKey, ...] = ()
    uploads: tuple[GivenUpload, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a run reads and writes."""

    input: Uri
    work: LocalUri | ObjectUri
    """The run's own folder."""
    output: Uri

    def of(self, role: Role) -> Uri:
        return {"input": self.input, "work": self.work, "output": self.output}[role]


class RunAccess:
    """Gives machines what they need for one run. Raises `UsageError` for what no machine can reach, `StorageError`.

    `output` is where the worker writes, when that is not the plan's own. `credentials` and `service` replace those
    that are found for a location. `frame_bytes` bounds the encoded size of a frame for presigned URLs.
    """

    def __init__(
        self,
        bucket: RunBucket,
        plan: WorkPlan,
        *,
        provider: Literal["vast", "local"],
        output: str | None = None,
        credentials: Credentials | None = None,
        service: Callable[[Credentials], KeyService] = account_service,
        mode: Mode | None = None,
        frame_bytes: int | None = None,
        idle_s: float | None = None,
        stall_s: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        work = bucket.folder.work
        assert not isinstance(work, WebUri)
        self._bucket = bucket
        self._plan = plan
        self._provider = provider
        self._credentials = credentials
        self._service = service
        self._clock = clock
        self._frame_bytes = frame_bytes
        self._limits = {name: value for name, value in (("idle_s", idle_s), ("stall_s", stall_s)) if value is not None}
        self._places = Places(
            input=_absolute(parse(plan.source.location)),
            work=work,
            output=_absolute(parse(output or plan.spec.output)),
        )
        self.mode = mode or self._choose_mode()
        if self.mode is not Mode.OWN:
            self._refuse_local()

    def boot(self, label: str, *, deadline_s: float, offer: Offer | None = None, more: tuple[str, ...] = ()) -> str:
        """Write the bootstrap of the instance with this label; the URL, or path, where it finds it.

        `more` are the bootstraps of jobs that it does afterwards.
        """
        del offer
        lives_s = self._lives_s(deadline_s)
        access: KeyAccess | UrlAccess
        if self.mode is Mode.OWN:
            self._note(Given(label=label))
            access = KeyAccess(**{role: self._own_key(role) for role in ("input", "work", "output")})
            self._note(Given(label=label))  # the document is to be deleted
        elif self.mode is Mode.KEYS:
            access = self._make_keys(label, lives_s)
        else:
            access = self._make_urls(label, lives_s)
        folder = self._bucket.folder
        document = Boot(
            run=self._plan.run,
            worker=label,
            provider=self._provider,
            root=str(_absolute(folder.root)),
            input=_text(self._places.input),
            output=_text(self._places.output),
            plan_url=self._readable(folder.plan, lives_s),
            index_url=self._readable(folder.index, lives_s),
            plan_digest=self._plan.digest,
            deadline_s=deadline_s,
            given_s=self._clock(),
            access=access,
            more=more,
            **self._limits,
        )
        data = document.model_dump_json().encode()
        if self._provider == "local":
            path = self._local_boot(label)
            write_private(path, data)
            return str(path)
        self._bucket.write_bytes(folder.boot(label), data)
        return self._readable(folder.boot(label), min(BOOT_URL_S, lives_s))

    def revoke(self, label: str | None = None) -> None:
        """Take back what the instance with this label was given; without one, what all were. Harmless when repeated.

        A destroyed machine can come back to life: with nothing in its hands it cannot do work that another does.
        What cannot be taken back now stays noted, hinders none of the rest, and is raised at the end.
        """
        failure: StorageError | None = None
        for name in list(self._bucket.control_names("access/")):
            if label is not None and name != f"access/{label}.json":
                continue
            uri = self._control(name)
            try:
                given = self._bucket.read(uri, Given)
                if given is not None:
                    self._revoke_one(given)
                self._bucket.delete(uri)
            except StorageError as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def _revoke_one(self, given: Given) -> None:
        for key in given.keys:
            self._service(self._credentials_of(self._places.of(key.role))).delete(key.key_id)
        for upload in given.uploads:
            self._place(self._places.of(upload.role)).store.abort_upload(upload.key, upload.upload)
        self._bucket.delete(self._bucket.folder.boot(given.label))
        self._local_boot(given.label).unlink(missing_ok=True)

    def _make_keys(self, label: str, lives_s: int) -> KeyAccess:
        """Three keys, each noted as soon as it is made; should one fail, the others are taken back."""
        made: list[GivenKey] = []
        found: dict[str, Key | None] = {}
        wanted: tuple[tuple[Role, tuple[str, ...]], ...] = (
            ("input", INPUT_RIGHTS),
            ("work", WORK_RIGHTS),
            ("output", OUTPUT_RIGHTS),
        )
        try:
            for role, rights in wanted:
                uri = self._places.of(role)
                found[role] = None
                if isinstance(uri, ObjectUri):
                    key = self._service(self._credentials_of(uri)).create(
                        uri.bucket, prefix=uri.key, capabilities=rights, duration_s=lives_s, name=f"{label}-{role}"
                    )
                    made.append(GivenKey(role=role, key_id=key.key_id))
                    self._note(Given(label=label, keys=tuple(made)))
                    found[role] = Key.of(key.credentials)
        except StorageError:
            self._revoke_one(Given(label=label, keys=tuple(made)))
            raise
        return KeyAccess(**found)

    def _make_urls(self, label: str, lives_s: int) -> UrlAccess:
        giver = UrlGiver(self._bucket, self._plan, label, lives_s=lives_s, frame_bytes=self._frame_bytes)
        try:
            access = giver.give(
                input_url=self._input_url(lives_s),
                output=self._place(self._places.output),
                commits=self._commits(),
            )
        except StorageError:
            self._revoke_one(self._given_uploads(label, giver))
            raise
        self._note(self._given_uploads(label, giver))
        return access

    def _given_uploads(self, label: str, giver: UrlGiver) -> Given:
        work = tuple(GivenUpload(role="work", key=one.key, upload=one.upload) for one in giver.segment_grants)
        output = tuple(GivenUpload(role="output", key=one.key, upload=one.upload) for one in giver.output_grants)
        return Given(label=label, uploads=work + output)

    def _commits(self) -> dict[int, Commit]:
        """What is committed already, as far as it is of this plan."""
        digest, found = self._plan.digest, {}
        for segment in self._plan.segments:
            name = self._bucket.folder.commit_name(segment.number)
            commit = self._bucket.read_told(self._bucket.folder.object(name), Commit)
            if commit is not None and commit.plan == digest and commit.number == segment.number:
                found[segment.number] = commit
        return found

    def _note(self, given: Given) -> None:
        self._bucket.write(self._control(f"access/{given.label}.json"), given)

    def _control(self, name: str) -> Uri:
        control = self._bucket.folder.control
        if isinstance(control, LocalUri):
            return LocalUri(control.path / name)
        assert isinstance(control, ObjectUri)
        return control.with_key(control.key + name)

    def _readable(self, uri: Uri, lives_s: int) -> str:
        """Where a machine reads `uri` without a key: a presigned URL, or the path on this machine."""
        if isinstance(uri, LocalUri):
            return str(uri.path.absolute())
        return grant_reading(self._place(uri), expires_s=lives_s)

    def _input_url(self, lives_s: int) -> str:
        uri = self._places.input
        return uri.url if isinstance(uri, WebUri) else self._readable(uri, lives_s)

    def _own_key(self, role: Role) -> Key | None:
        uri = self._places.of(role)
        return Key.of(self._credentials_of(uri)) if isinstance(uri, ObjectUri) else None

    def _place(self, uri: Uri) -> Place:
        return place_of(uri, credentials=self._credentials if isinstance(uri, ObjectUri) else None)

    def _credentials_of(self, uri: Uri) -> Credentials:
        if self._credentials is not None:
            return self._credentials
        assert isinstance(uri, ObjectUri)
        return find_credentials(uri.scheme, endpoint=uri.endpoint, region=uri.region)

    def _choose_mode(self) -> Mode:
        if self._plan.spec.keyless:
            return Mode.URLS
        if self._provider == "local":
            return Mode.OWN
        buckets = [uri for uri in (self._places.input, self._places.work, self._places.output) if _is_object(uri)]
        try:
            for uri in buckets:
                self._service(self._credentials_of(uri))
        except CredentialsError as error:
            log.info("machines get presigned URLs: %s", error)
            return Mode.URLS
        return Mode.KEYS

    def _refuse_local(self) -> None:
        """Raises `UsageError` for places that no other machine can reach."""
        for role in ("input", "work", "output"):
            uri = self._places.of(role)
            if isinstance(uri, LocalUri):
                raise UsageError(f"{uri} is on this machine, where no rented one can reach it; give b2:// or s3://")

    def _lives_s(self, deadline_s: float) -> int:
        return int(min(MAX_PRESIGN_S, max(MIN_S, deadline_s - self._clock() + SPARE_S)))

    def _local_boot(self, label: str) -> Path:
        """An instance of a batch has a document for each of its runs."""
        name = label if self._plan.run in label else f"{label}.{self._plan.run}"
        return state_folder() / "boot" / f"{name}.json"


def _is_object(uri: Uri) -> bool:
    return isinstance(uri, ObjectUri)


def _absolute(uri: Uri) -> Uri:
    """The same place for a process in another folder."""
    return LocalUri(uri.path.absolute(), folder=uri.folder) if isinstance(uri, LocalUri) else uri


def _text(uri: Uri) -> str:
    """All of it: a web address with the signature that `str` leaves out."""
    return uri.url if isinstance(uri, WebUri) else str(uri)
