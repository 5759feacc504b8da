"""The bootstrap of one machine: all that it is told, from one URL or file that it alone is given.

It is kept beside the machine's other notes, readable by its owner alone, because the URL dies within the hour and a
container may be restarted after that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from runner.errors import WorkerError
from runner.spec import Record
from storage.credentials import Credentials, make_credentials
from storage.grants import WriteGrant

MAX_BYTES: Final = 64 << 20
"""A document of presigned URLs alone has some 600 bytes for every 8 MiB of segments."""

MAX_JOBS: Final = 1000
"""One machine does no more one after the other: each is a document to fetch."""


class Key(Record):
    """A key for one purpose and for a while."""

    key_id: str = Field(repr=False)
    key: str = Field(repr=False)
    region: str
    endpoint: str

    @classmethod
    def of(cls, credentials: Credentials) -> Key:
        return cls(
            key_id=credentials.key_id, key=credentials.key, region=credentials.region, endpoint=credentials.endpoint
        )

    def credentials(self) -> Credentials:
        return make_credentials(
            self.key_id, self.key, region=self.region, endpoint=self.endpoint, origin="the boot document"
        )


class KeyAccess(Record):
    """Places and the key of each; None where none is needed: a folder of this machine, or a page on the web."""

    kind: Literal["keys"] = "keys"
    input: Key | None = None
    """Reads the input, and nothing else."""
    work: Key | None = None
    """Reads, writes and lists the run's folder."""
    output: Key | None = None
    """Writes the output, and nothing else."""


class Attempt(Record):
    """Permission to write one segment's object, once."""

    name: str
    """In the run's folder."""
    grant: WriteGrant


class SegmentUrls(Record):
    """All that may be done about one segment."""

    attempts: tuple[Attempt, ...]
    commit_put_url: str = Field(repr=False)
    commit_get_url: str = Field(repr=False)
    committed: str | None = None
    """Name of the object that an earlier machine has committed."""
    committed_get_url: str | None = Field(None, repr=False)


class UrlAccess(Record):
    """Presigned URLs and no key at all."""

    kind: Literal["urls"] = "urls"
    input_url: str = Field(repr=False)
    done_get_url: str = Field(repr=False)
    done_put_url: str = Field(repr=False)
    segments: tuple[SegmentUrls, ...]
    """By the segment's number."""
    event_urls: tuple[str, ...] = Field(repr=False)
    """PUT, by the event's number; when they are used up the worker says no more."""
    log_urls: tuple[str, ...] = Field(repr=False)
    outputs: tuple[WriteGrant, ...]
    """One for each attempt at the output."""


class Boot(Record):
    """The whole document."""

    run: str
    worker: str
    """What the machine calls itself in the run's folder: its label."""
    provider: Literal["vast", "local"]
    instance_label: str = ""
    root: str
    """Where the run's folder lies, as `storage.uri` writes it."""
    input: str = Field(repr=False)
    """A web address may carry a signature."""
    output: str
    plan_url: str = Field(repr=False)
    """URL or path."""
    index_url: str = Field(repr=False)
    plan_digest: str
    """`WorkPlan.digest`: another plan is not this machine's."""
    deadline_s: float
    """Seconds since 1970 after which this machine ends itself, whatever it does."""
    given_s: float | None = None
    """When this was written, by the same clock as the deadline, which need not be the machine's."""
    idle_s: float = 600
    """Longest silence of the worker."""
    stall_s: float = 1200
    """Longest time without a frame, a segment, or a byte of one that was stored or read."""
    access: Annotated[KeyAccess | UrlAccess, Field(discriminator="kind")]
    more: tuple[str, ...] = Field((), repr=False, max_length=MAX_JOBS - 1)
    """URLs or paths of further documents: jobs that this machine does after this one, in this order."""

    def ends_s(self, began_s: float) -> float:
        """The deadline for a machine that began at `began_s` by its own clock: one that is behind lives no longer."""
        if self.given_s is None:
            return self.deadline_s
        return min(self.deadline_s, began_s + self.deadline_s - self.given_s)

    def secrets(self) -> tuple[str, ...]:
        """Everything in it that no log may show."""
        access = self.access
        signed = (self.input,) if "?" in self.input and self.input.startswith("http") else ()
        if isinstance(access, KeyAccess):
            return (*signed, *(key.key for key in (access.input, access.work, access.output) if key))
        return signed  # every other URL is hidden for its signature


def load_boot(location: str, notes: Path) -> Boot:
    """The document, from the notes when it was fetched before. Raises `WorkerError` for what is none."""
    kept = notes / "boot.json"
    data = kept.read_bytes() if kept.exists() else fetch(location, "the boot document", max_bytes=MAX_BYTES)
    try:
        boot = Boot.model_validate_json(data)
    except ValidationError as error:
        wrong = ".".join(str(part) for part in error.errors()[0]["loc"]) or "content"
        raise WorkerError(f"the boot document has no sound {wrong}: image and runner must be of one version") from None
    if not kept.exists():
        write_private(kept, data)
    return boot


def load_boots(location: str, notes: Path) -> list[Boot]:
    """The document and all that it names, at once: their URLs die within the hour."""
    first = load_boot(location, notes)
    return [first, *(load_boot(one, job_notes(notes, number)) for number, one in enumerate(first.more, 1))]


def job_notes(notes: Path, number: int) -> Path:
    """Where the notes about one of several jobs are."""
    return notes if number == 0 else notes / f"job-{number}"


def write_private(path: Path, data: bytes) -> None:
    """Write `path` at once or not at all, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f"{path.name}.new")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def fetch(location: str, what: str, *, max_bytes: int) -> bytes:
    """All bytes of a small object behind a presigned URL, or of a file. Raises `WorkerError`, `StorageError`."""
    from storage.http import Web
    from storage.retry import Retrier

    if "://" not in location:
        try:
            data = Path(location).read_bytes()
        except OSError as error:
            raise WorkerError(f"{what} cannot be read from {location}: {(error.strerror or '').lower()}") from error
    else:
        web, doing = Web(), f"reading {what}"
        data = Retrier().call(doing, lambda: web.send(doing, "GET", location).content)
    if len(data) > max_bytes:
        raise WorkerError(f"{what} has {len(data)} bytes; no more than {max_bytes} make sense")
    return data
