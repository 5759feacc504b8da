"""Whole jobs, process start to finished file: `runner run` and the same `ffmpeg` command, by turns."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

HEIGHT = int(os.environ.get("FRAMEHAUL_BENCH_HEIGHT", "1080"))
FRAMES = int(os.environ.get("FRAMEHAUL_BENCH_FRAMES", "150"))
RUNNER = Path(sys.executable).with_name("runner")
X264 = ("-preset", "veryfast", "-crf", "23")


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_bytes: int


def spend(*command: str | Path) -> Cost:
    """Run `command` to its end; memory is the peak resident set of that process."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    assert process.returncode == 0, said.decode()
    wall_s = time.perf_counter() - begin
    return Cost(wall_s=wall_s, cpu_s=used.ru_utime + used.ru_stime, peak_bytes=used.ru_maxrss * 1024)


@pytest.fixture(scope="module")
def clip(ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Moving pictures with some noise, and sound; 30 frames a second."""
    path = tmp_path_factory.mktemp("job") / "clip.mp4"
    width = HEIGHT * 16 // 9 // 2 * 2
    video = f"mandelbrot=size={width}x{HEIGHT}:rate=30:start_scale=0.5,noise=alls=8:allf=t,format=yuv420p"
    command = [
        ffmpeg, "-v", "error", "-f", "lavfi", "-i", video, "-f", "lavfi", "-i", "sine=frequency=330",
        "-frames:v", str(FRAMES), "-shortest", "-c:v", "libx264", "-preset", "veryfast", "-crf", "20",
        "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv",
        "-c:a", "aac", str(path),
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


@pytest.mark.parametrize(
    ("name", "chain", "goal"),
    [
        ("job_scale_2x", "scale=iw*2:ih*2:flags=lanczos", 1.1),
        ("job_scale_2x_cas", "scale=iw*2:ih*2:flags=lanczos,cas=0.5", 0.75),
    ],
)
def test_job(compare, ffmpeg: str, clip: Path, tmp_path: Path, name: str, chain: str, goal: float) -> None:
    """The first run of each side fills caches (files, compiled kernels) and is not counted."""
    ours: list[Cost] = []
    theirs: list[Cost] = []
    target = tmp_path / "out.mp4"

    def run_ours() -> None:
        ours.append(spend(RUNNER, "run", clip, target, "--vf", chain, "--codec", "h264", *_long(X264), "-y", "--quiet"))

    def run_theirs() -> float:
        arguments = ("-i", clip, "-vf", chain, "-c:v", "libx264", *X264, "-c:a", "copy", "-y", target)
        theirs.append(spend(ffmpeg, "-v", "error", *arguments))
        return theirs[-1].wall_s

    run_ours()
    run_theirs()
    comparison = compare(name, goal=goal)
    comparison.run(
        run_ours,
        {"ffmpeg": run_theirs},
        job=f"{FRAMES} frames, {chain}, x264 veryfast crf 23, audio copied",
        peak_bytes=lambda: {"ours": max(c.peak_bytes for c in ours), "ffmpeg": max(c.peak_bytes for c in theirs)},
        cpu_s=lambda: {"ours": ours[-1].cpu_s, "ffmpeg": theirs[-1].cpu_s},
    )


def _long(options: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"-{word}" if word.startswith("-") else word for word in options)


def test_help(compare) -> None:
    """`runner --help`, against the interpreter starting and doing nothing."""
    compare("runner_help").run(
        lambda: spend(RUNNER, "--help"), {"python -c pass": lambda: spend(sys.executable, "-c", "pass").wall_s}
    )
