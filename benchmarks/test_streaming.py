"""A worker whose network and whose compute have known speeds: its time against the slowest of the three alone.

Source, run folder and output are in a real S3 bucket behind a proxy that lets so many bytes a second through. The
encoder of each segment is held to so many bytes a second, which is what the work costs. All else is the worker's own
code: reading ahead, segments, checks, commits, the join beside the work.

    download   every byte that came through the proxy, at its rate
    compute    every byte of the segments, at the encoder's rate
    upload     every byte that went through the proxy, segments and output, at its rate

Rates are about a tenth of a rented machine's, so that a small machine can stand for all parts of it. The figure of each
case is the worker's time, from the opened plan to `done.json`, over the largest of the three.
"""

from __future__ import annotations

import io
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import av
import numpy as np
import pytest

from benchmarks.conftest import keep
from runner.access import Mode
from runner.records import WorkPlan
from runner.source_index import unpack_index
from runner.worker.boot import KeyAccess, load_boot
from runner.worker.events import LogBuffer, Reporter, Vital
from runner.worker.finalise import Joiner
from runner.worker.kept import Kept
from runner.worker.redact import Redactor
from runner.worker.segments import SegmentWork
from runner.worker.with_keys import KeyWorkspace
from tests.runner.worker.runs import plan_run
from tests.storage.rate_proxy import RateProxy
from tests.storage.server import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runner.worker.boot import Boot
    from runner.worker.workspace import SegmentWriter
    from tests.storage.server import Server

MB: Final = 1_000_000
GOAL: Final = 1.15
SIZE: Final = (640, 360)
FRAMES: Final = 3000
SEGMENTS: Final = 12
LABEL: Final = "framehaul-bench-0-0000"


@dataclass(frozen=True, kw_only=True)
class Case:
    """Which of the three is slow."""

    down: float
    """Megabyte per second; so are the others."""
    compute: float
    up: float


CASES: Final = {
    "download": Case(down=8, compute=24, up=48),
    "compute": Case(down=80, compute=8.8, up=48),
    "upload": Case(down=80, compute=24, up=17.6),
    "all_equal": Case(down=8.4, compute=9.8, up=19.6),
}
SLACK_S: Final = 0.3
"""What the encoder may make up for, so that the work it really does is a part of what it is held to."""


class SlowEncoder(KeyWorkspace):
    """A workspace whose segments are written no faster than so."""

    def __init__(self, boot: Boot, access: KeyAccess, bytes_per_s: float) -> None:
        super().__init__(boot, access)
        self.bytes_per_s = bytes_per_s
        self.computed_bytes = 0
        self._free_s = 0.0

    def write_segment(self, number: int, attempt: int) -> SegmentWriter:
        made, space = super().write_segment(number, attempt), self
        send = made.write

        def write(data: Any) -> int:
            now_s = time.monotonic()
            space._free_s = max(space._free_s, now_s - SLACK_S) + len(data) / space.bytes_per_s
            space.computed_bytes += len(data)
            time.sleep(max(0.0, space._free_s - now_s))  # the cost that is simulated: nothing is waited for
            return send(data)

        made.write = write  # type: ignore[method-assign] # here the encoder takes its time
        return made


@pytest.fixture(scope="module")
def film() -> bytes:
    """Noise as it is, without an encoder: reading it costs nothing but bytes."""
    target = io.BytesIO()
    rng = np.random.default_rng(1)
    width, height = SIZE
    with av.open(target, "w", format="matroska") as container:
        stream = cast("Any", container.add_stream("rawvideo", rate=25))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(
                rng.integers(16, 235, (height * 3 // 2, width), dtype=np.uint8), format="yuv420p"
            )
            frame.pts = n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


@pytest.fixture
def proxy(server: Server) -> Iterator[RateProxy]:
    with RateProxy(urlsplit(server.url).port or 0) as running:
        yield running


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CASES)
def test_streaming(
    name: str, server: Server, proxy: RateProxy, film: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, given = CASES[name], server.credentials
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", given.key_id)
    monkeypatch.setenv("B2_APPLICATION_KEY", given.key)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    bucket = server.new_bucket(versioned=False)
    server.store(bucket, read_timeout_s=60).put("in.mkv", film)

    def place(key: str) -> str:
        return f"s3://{bucket}/{key}?endpoint={proxy.url}&region={REGION}"

    run = plan_run(
        place("jobs/"), place("in.mkv"), place("out.mkv"), cuts=(), state=tmp_path,
        segment_s=FRAMES / 25 / SEGMENTS,
    )  # fmt: skip
    boot = load_boot(run.access(mode=Mode.OWN).boot(LABEL, deadline_s=time.time() + 600), tmp_path)
    assert isinstance(boot.access, KeyAccess)
    workspace = SlowEncoder(boot, boot.access, case.compute * MB)
    plan = WorkPlan.model_validate_json(workspace.read_plan())
    index = unpack_index(workspace.read_index(), digest=plan.index_digest)
    redact = Redactor()
    report = Reporter(workspace, LABEL, Vital(tmp_path), LogBuffer(redact), redact, deadline_s=boot.deadline_s)
    proxy.limit(down=case.down * MB, up=case.up * MB)
    began_s = time.perf_counter()
    kept = Kept()
    with Joiner(workspace, plan, index, report, kept=kept) as joiner:
        SegmentWork(workspace, plan, index, LABEL, report, kept=kept, on_commit=joiner.take).run()
        worked_s = time.perf_counter() - began_s
        done = joiner.finish()
    wall_s = time.perf_counter() - began_s
    down, up = proxy.limit()
    assert done.frames == FRAMES
    alone = {
        "download": down / case.down / MB,
        "compute": workspace.computed_bytes / case.compute / MB,
        "upload": up / case.up / MB,
    }
    keep(
        {
            "name": f"streaming_{name}",
            "ratio": round(wall_s / max(alone.values()), 4),
            "goal": GOAL,
            "ours_s": round(wall_s, 3),
            "segments_done_s": round(worked_s, 3),
            "alone_s": {what: round(seconds, 3) for what, seconds in alone.items()},
            "sum_alone_s": round(sum(alone.values()), 3),
            "source_bytes": len(film),
            "output_bytes": done.output_size_bytes,
            "downloaded_bytes": down,
            "uploaded_bytes": up,
            "segments": len(plan.segments),
            "rates_mb_per_s": {"download": case.down, "compute": case.compute, "upload": case.up},
            "load_average": os.getloadavg()[0],
            "picture": f"{SIZE[0]}x{SIZE[1]} yuv420p, {FRAMES} frames of noise, ffv1",
        }
    )
