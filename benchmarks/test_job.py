"""Whole jobs, process start to finished file: `runner run` and the same `ffmpeg` command, by turns.

Two clips: one of about 11 Mbit/s, as cameras and disc rips are, and one with so much grain (66 Mbit/s) that hardly
anything but the encoder, which both sides share, takes time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from benchmarks.conftest import Bench

HEIGHT = int(os.environ.get("FRAMEHAUL_BENCH_HEIGHT", "1080"))
FRAMES = int(os.environ.get("FRAMEHAUL_BENCH_FRAMES", "300"))
RUNNER = Path(sys.executable).with_name("runner")


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


# A process starts with the peak memory of the one that it was forked from: a small one stands between.
BETWEEN = """
import json, os, sys, time
begin = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet), 0)
wall_s = time.perf_counter() - begin
cost = dict(wall_s=wall_s, cpu_s=used.ru_utime + used.ru_stime, peak_bytes=used.ru_maxrss * 1024)
print(json.dumps(cost))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def spend(*command: str | Path) -> Cost:
    """Run `command` to its end; memory is the peak resident set of that process."""
    words = (sys.executable, "-I", "-S", "-c", BETWEEN, *map(str, command))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Cost(**json.loads(done.stdout))


GRAIN = {"": "", "_grain": "noise=alls=8:allf=t,"}


@pytest.fixture(scope="module", params=GRAIN, ids=lambda name: name.strip("_") or "plain")
def clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Moving pictures, 30 a second, and sound; the name of the file ends in the key of its grain."""
    path = tmp_path_factory.mktemp("job") / f"clip{request.param}.mp4"
    width = HEIGHT * 16 // 9 // 2 * 2
    video = f"mandelbrot=size={width}x{HEIGHT}:rate=30:start_scale=0.5,{GRAIN[request.param]}format=yuv420p"
    command = [
        ffmpeg, "-v", "error", "-f", "lavfi", "-i", video, "-f", "lavfi", "-i", "sine=frequency=330",
        "-frames:v", str(FRAMES), "-shortest", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20",
        "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
        "-c:a", "aac", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@pytest.mark.timeout(0)  # a dozen jobs take minutes
@pytest.mark.parametrize(
    ("name", "chain", "goal"),
    [
        ("job_scale_2x", "scale=iw*2:ih*2:flags=lanczos", 1.1),
        ("job_scale_2x_cas", "scale=iw*2:ih*2:flags=lanczos,cas=0.5", 0.75),
    ],
)
def test_job(bench: Bench, clip: Path, tmp_path: Path, name: str, chain: str, goal: float) -> None:
    """The first run of each side fills caches (files, compiled kernels) and is not counted."""
    target = tmp_path / "out.mp4"
    arguments = ("--vf", chain, "--codec", "h264", "--preset", "veryfast", "--crf", "23", "-y", "--quiet")
    their_arguments = ("-vf", chain, "-c:v", "libx264", "-preset", "veryfast", "-crf", "23", "-c:a", "copy", "-y")
    ours: list[Cost] = []
    theirs: list[Cost] = []

    def run_ours() -> None:
        ours.append(spend(RUNNER, "run", clip, target, *arguments))

    def run_theirs() -> float:
        theirs.append(spend(bench.ffmpeg, "-v", "error", "-i", clip, *their_arguments, target))
        return theirs[-1].wall_s

    run_ours()
    run_theirs()
    bench.compare(
        name + clip.stem.removeprefix("clip"),
        run_ours,
        {"ffmpeg": run_theirs},
        goal=goal,
        job=f"{FRAMES} frames, {chain}, x264 veryfast crf 23, audio copied",
        peak_bytes=lambda: {"ours": max(c.peak_bytes for c in ours), "ffmpeg": max(c.peak_bytes for c in theirs)},
        cpu_s=lambda: {"ours": ours[-1].cpu_s, "ffmpeg": theirs[-1].cpu_s},
    )
