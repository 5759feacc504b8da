"""How long a worker takes from the start of its container to the first encoded frame, with everything warm.

A process as the image starts it, source and run folder in a real S3 bucket, kernels compiled before, presigned URLs
alone: watchdog, boot document, plan, probe, decode, filters, encoder. The first round fills caches and is not counted.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, Final

import pytest

from benchmarks.conftest import HEIGHT, WIDTH, keep
from runner.access import Mode
from tests.runner.worker.runs import plan_run, work
from tests.storage.server import REGION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.storage.server import Server

GOAL_S: Final = 10.0
ROUNDS: Final = int(os.environ.get("FRAMEHAUL_BENCH_ROUNDS", "5"))
CHAIN: Final = "scale=1280:720:flags=lanczos,cas=0.5"
FRAMES: Final = 48


@pytest.mark.timeout(600)
def test_first_frame(ffmpeg: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, clip = server.credentials, tmp_path / "in.mp4"
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", given.key_id)
    monkeypatch.setenv("B2_APPLICATION_KEY", given.key)
    video = f"mandelbrot=size={WIDTH}x{HEIGHT}:rate=24:start_scale=0.5,format=yuv420p"
    command = [
        ffmpeg, "-v", "error", "-f", "lavfi", "-i", video, "-frames:v", str(FRAMES), "-c:v", "libx264",
        "-preset", "veryfast", "-crf", "20", str(clip),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    bucket = server.new_bucket(versioned=False)
    server.store(bucket, read_timeout_s=60).put("in.mp4", clip.read_bytes())

    def place(key: str) -> str:
        return f"s3://{bucket}/{key}?endpoint={server.url}&region={REGION}"

    found = []
    for number in range(ROUNDS + 1):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / f"state-{number}"))
        run = plan_run(
            place(f"jobs-{number}/"), place("in.mp4"), place(f"out-{number}.mp4"), codec="h264", crf=20.0,
            preset="veryfast", cuts=(24,), state=tmp_path / f"state-{number}", chain=CHAIN,
        )  # fmt: skip
        boot = run.access(mode=Mode.URLS).boot("framehaul-bench-0-0000", deadline_s=time.time() + 600)
        log = tmp_path / f"log-{number}"
        assert work(run, boot, log=log) == 0
        told = re.search(r"first frame ([\d.]+) s after the start", log.read_text())
        assert told is not None
        found.append(float(told[1]))
    keep(
        {
            "name": "worker_first_frame",
            "ours_s": statistics.median(found[1:]),
            "goal": GOAL_S,
            "first_round_s": found[0],
            "rounds_s": found[1:],
            "job": f"{WIDTH}x{HEIGHT} h264, {CHAIN}, x264 veryfast, presigned URLs",
            "load_average": os.getloadavg()[0],
        }
    )
