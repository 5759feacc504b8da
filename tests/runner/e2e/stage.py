"""Everything that a job on rented machines needs, real or over real HTTP: market, three buckets, keys, a laptop."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import av

from runner.bucket import Bucket, RunBucket
from runner.records import WorkPlan
from storage.uri import ObjectUri, parse
from tests.runner.submit.commands import Desk
from tests.runner.vast.fake import ALL_RIGHTS, IMAGE, FakeVast, Image
from tests.storage.native_api import NativeApi
from tests.storage.server import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.b2 import B2Store
    from storage.credentials import Credentials
    from tests.runner.vast.clocks import Clock
    from tests.storage.server import Server

RENTED: Final = ("--on", "vast", "--max-price", "2", "--budget", "1", "--image", IMAGE)


class KeyMaker(NativeApi):
    """B2's key service for buckets of the test's S3 server, which holds each key to what it was made for."""

    def __init__(self, server: Server, account: Credentials, buckets: dict[str, str]) -> None:
        super().__init__(account=(account.key_id, account.key), made=("", ""), s3_url=server.url, buckets=buckets)
        self.server = server
        self.given: list[Credentials] = []
        """Every key that was ever made."""
        self.names: dict[str, str] = {}
        """Its id -> its name."""
        self._guard = Lock()

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        (number,) = body["bucketIds"]
        (bucket,) = (name for name, one in self.buckets.items() if one == number)
        with self._guard:
            key = self.server.make_key(bucket, prefix=body["namePrefix"] or "", capabilities=body["capabilities"])
            self.given.append(key)
            self.names[key.key_id] = body["keyName"]
            self.made = (key.key_id, key.key)
            return super().create(body)

    def traffic(self, label: str) -> tuple[int, int]:
        """Bytes that the machine with that label has got and sent with keys of its own: `(down, up)`."""
        counted = self.server.traffic()
        found = [counted[key] for key, name in self.names.items() if name.startswith(f"{label}-") and key in counted]
        return sum(down for _, down in found), sum(up for up, _ in found)

    def delete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        self.server.forget_key(body["applicationKeyId"])
        return super().delete(body)


@dataclass(kw_only=True)
class Stage:
    """One account at each service. Its keys are its own, and in files that only their owner can read."""

    server: Server
    vast: FakeVast
    vast_key: str
    account: Credentials
    native: KeyMaker
    desk: Desk
    buckets: dict[str, str]
    """input, work, output -> the bucket's name."""

    def store(self, role: str) -> B2Store:
        return self.server.store(self.buckets[role], read_timeout_s=60)

    def location(self, role: str, key: str = "") -> str:
        return f"s3://{self.buckets[role]}/{key}?endpoint={self.server.url}&region={REGION}"

    def words(self, source: str, target: str, *options: str) -> tuple[str, ...]:
        """A `runner submit` from bucket to bucket."""
        places = self.location("input", source), self.location("output", target)
        return ("submit", *places, "--bucket", self.location("work"), *RENTED, *options)

    def run_bucket(self, run: str) -> RunBucket:
        root = parse(self.location("work"))
        assert isinstance(root, ObjectUri)
        return Bucket(root, credentials=self.server.credentials).run(run)

    def plan(self, run: str) -> WorkPlan:
        bucket = self.run_bucket(run)
        plan = bucket.read(bucket.folder.plan, WorkPlan)
        assert plan is not None
        return plan

    def commits(self) -> list[str]:
        """Names of the commit records of every run."""
        return [info.key for info in self.store("work").list("runs/") if "/commit/" in info.key]

    def read(self, role: str, key: str) -> bytes:
        store = self.store(role)
        info = store.head(key)
        data = bytearray(info.size_bytes)
        with store.open_range(info, 0, info.size_bytes) as body:
            view = memoryview(data)
            while count := body.readinto(view):
                view = view[count:]
        return bytes(data)

    @property
    def secrets(self) -> list[str]:
        """Everything that opens something, by now."""
        instances = [one.key for one in self.vast.instances.values()]
        return [self.vast_key, self.account.key, *(one.key for one in self.native.given), *instances]


@contextmanager
def opened(folder: Path, server: Server, *, clock: Clock | None = None, offers: int = 10) -> Iterator[Stage]:
    """A stage in `folder`, with everything on it stopped at the end. `clock` is the market's."""
    with ExitStack() as stack:
        (folder / "vast").mkdir()
        vast = stack.enter_context(FakeVast(folder / "vast", clock=clock, offers=offers))
        cache = {name: os.environ[name] for name in ("NUMBA_CACHE_DIR",) if name in os.environ}
        vast.images[IMAGE] = Image(env=cache)
        buckets = {role: server.new_bucket(versioned=role != "work") for role in ("input", "work", "output")}
        account = server.make_key()
        stack.callback(server.forget_key, account.key_id)
        ids = {name: f"id-{role}" for role, name in buckets.items()}
        native = stack.enter_context(KeyMaker(server, account, ids))
        vast.traffic = native.traffic
        vast_key = vast.add_key(*ALL_RIGHTS)
        home = folder / "desk"
        _write(home / "config/vastai/vast_api_key", vast_key)
        _write(
            home / "config/framehaul/storage.toml",
            f'[storage]\nkey_id = "{account.key_id}"\nkey = "{account.key}"\nregion = "{REGION}"\n'
            f'endpoint = "{server.url}"\n',
        )
        variables = {"VAST_URL": vast.url, "B2_API_URL": native.url}
        yield Stage(
            server=server, vast=vast, vast_key=vast_key, account=account, native=native,
            desk=Desk(home=home, variables=variables), buckets=buckets,
        )  # fmt: skip


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o600)


def cuts_inside_groups(data: bytes, plan: WorkPlan) -> list[int]:
    """First frames of segments that lie inside a group of pictures of the source, by its own decoder."""
    with av.open(io.BytesIO(data)) as container:
        keys = [frame.key_frame for frame in container.decode(video=0)]
    return [one.first for one in plan.segments if not keys[one.first]]


def has_open_groups(data: bytes) -> bool:
    """Whether pictures that are shown before a keyframe come after it."""
    key_pts = None
    with av.open(io.BytesIO(data)) as container:
        for packet in container.demux(video=0):
            if packet.pts is None:
                continue
            if packet.is_keyframe:
                key_pts = packet.pts
            elif key_pts is not None and packet.pts < key_pts:
                return True
    return False
