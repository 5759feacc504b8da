"""A run in a bucket or folder, planned and ready for workers, and the workers as real processes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kernels.pipeline import process
from runner.access import RunAccess
from runner.bucket import Bucket, RunBucket
from runner.inspection import inspect_source
from runner.planning import cut
from runner.records import Commit, Done, WorkPlan
from runner.source_index import index_digest, pack_index
from runner.spec import EncodeSpec, JobSpec
from storage.uri import LocalUri, ObjectUri, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from kernels.io.encode import EncodeSettings
    from storage.credentials import Credentials

RUN: Final = "20260101-120000-abcdef"
KEPT: Final = ("PATH", "HOME", "NUMBA_CACHE_DIR", "LANG", "CUDA_VISIBLE_DEVICES")
"""What a worker has of the tests' environment."""
LONG_S: Final = 240.0
"""How long anything may take on a busy machine before a test fails."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One planned run."""

    plan: WorkPlan
    bucket: RunBucket
    credentials: Credentials | None
    state: Path
    """XDG_STATE_HOME of its workers."""

    def access(self, **options: Any) -> RunAccess:
        options.setdefault("provider", "local")
        return RunAccess(self.bucket, self.plan, credentials=self.credentials, **options)

    def done(self) -> Done | None:
        return self.bucket.read(self.bucket.folder.object(self.bucket.folder.DONE), Done)

    def commits(self) -> dict[int, Commit]:
        names = list(self.bucket.names("commit/"))
        found = [self.bucket.read(self.bucket.folder.object(name), Commit) for name in names]
        return {commit.number: commit for commit in found if commit is not None}

    def objects(self, prefix: str = "") -> list[str]:
        return sorted(self.bucket.names(prefix))


def plan_run(
    root: str, source: str, output: str, *, codec: str = "ffv1", cuts: tuple[int, ...], state: Path, **options: Any
) -> Run:
    """Plan `source` into `output` with segments between `cuts`, and write the plan where workers look for it."""
    credentials: Credentials | None = options.pop("credentials", None)
    encode = EncodeSpec(codec=codec, crf=options.pop("crf", None), preset=options.pop("preset", None))
    container = parse(output).suffix.removeprefix(".")
    spec = JobSpec(input=source, output=output, container=container, encode=encode, provider="local", **options)
    facts = inspect_source(spec)
    segments = cut(facts.index, spec, facts.context)
    if cuts:
        edges = list(zip((0, *cuts), (*cuts, len(facts.index)), strict=True))
        segments = tuple(
            segments[0].model_copy(update={"number": n, "first": a, "last": b}) for n, (a, b) in enumerate(edges)
        )
    plan = WorkPlan(
        run=RUN,
        spec=spec,
        source=facts.id,
        index_digest=index_digest(facts.index),
        frames=sum(one.last - one.first for one in segments),
        segments=segments,
        encoder="software",
        code_version="test",
    )
    where = parse(root)
    assert isinstance(where, LocalUri | ObjectUri)
    bucket = Bucket(where, credentials=credentials).run(RUN)
    bucket.write(bucket.folder.plan, plan)
    bucket.write_bytes(bucket.folder.index, pack_index(facts.index))
    return Run(plan=plan, bucket=bucket, credentials=credentials, state=state)


@contextlib.contextmanager
def worker(run: Run, boot: str, *, log: Path, environment: Mapping[str, str] | None = None) -> Any:
    """A worker as a process group of its own, killed at the end of the block."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    given = {"FRAMEHAUL_BOOT_URL": boot, "XDG_STATE_HOME": str(run.state), **(environment or {})}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "runner", "worker"],
            env=kept | given,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def work(run: Run, boot: str, *, log: Path, environment: Mapping[str, str] | None = None) -> int:
    """Let a worker do all that is left; its exit code."""
    with worker(run, boot, log=log, environment=environment) as process:
        code: int = process.wait(timeout=LONG_S)
        return code


def until(condition: Callable[[], object], *, limit_s: float = LONG_S) -> None:
    """Wait for `condition`; fail when it does not come."""
    ends_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends_s, "it did not happen in time"
        time.sleep(0.02)


def whole(source: Path, container: str, encode: EncodeSettings) -> bytes:
    """What one run on this machine writes."""
    sink = io.BytesIO()
    process(source, sink, container=container, encode=encode)
    return sink.getvalue()
