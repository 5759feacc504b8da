"""How speed is measured: our code and a named peer by turns in one run, on the same cores, and the ratio kept.

    FRAMEHAUL_BENCH_HEIGHT   lines of the 16:9 picture (1080); any other value writes no result
    FRAMEHAUL_BENCH_ROUNDS   turns of each side (5)

A result goes to `results/<device>/<name>.json` beside this file.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT: Final = Path(__file__).parents[1]
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba_cache"))

import cv2  # noqa: E402 - Numba must find the variable above
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from kernels.backends.cpu import CpuExecutor  # noqa: E402
from kernels.catalogue import CATALOGUE  # noqa: E402
from kernels.chain import parse_chain  # noqa: E402
from kernels.frame import Frame, VideoFormat  # noqa: E402
from kernels.pixel_format import pixel_format  # noqa: E402
from kernels.plan import plan_chain  # noqa: E402
from tests.storage.server import running_server, server  # noqa: E402, F401  (fixtures)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from pytest_benchmark.fixture import BenchmarkFixture

    Picture = tuple[NDArray[np.uint8], ...]
    """Y, Cb and Cr."""

FULL_HEIGHT: Final = 1080
HEIGHT: Final = int(os.environ.get("FRAMEHAUL_BENCH_HEIGHT", FULL_HEIGHT))
WIDTH: Final = HEIGHT * 16 // 9 // 2 * 2
ROUNDS: Final = int(os.environ.get("FRAMEHAUL_BENCH_ROUNDS", "5"))
TAGS: Final = "setparams=colorspace=bt709:color_trc=bt709:color_primaries=bt709:range=tv"
FRAMES: Final = 60
"""Frames that a filter is timed over, ours and FFmpeg's alike."""
CORES: Final = len(os.sched_getaffinity(0))


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Path of the `ffmpeg` program."""
    found = shutil.which("ffmpeg")
    if found is None:
        pytest.fail("the peer is missing: Debian and Ubuntu have it as apt-get install ffmpeg")
    return found


@pytest.fixture(scope="session")
def picture() -> Picture:
    """One 4:2:0 picture: soft shapes with some noise, the same in every run."""
    rng = np.random.default_rng(20)

    def plane(height: int, width: int) -> NDArray[np.uint8]:
        soft = cv2.GaussianBlur(rng.integers(0, 256, (height, width)).astype(np.float32), (0, 0), 3)
        soft = 16 + 219 * (soft - soft.min()) / (soft.max() - soft.min())
        noisy = np.clip(np.rint(soft + rng.normal(0, 4, soft.shape)), 16, 235)
        return np.asarray(noisy, np.uint8)

    return plane(HEIGHT, WIDTH), plane(HEIGHT // 2, WIDTH // 2), plane(HEIGHT // 2, WIDTH // 2)


@pytest.fixture(scope="session")
def raw_picture(picture: Picture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The picture as a file of raw video."""
    path = tmp_path_factory.mktemp("peer") / "picture.yuv"
    path.write_bytes(b"".join(plane.tobytes() for plane in picture))
    return path


@pytest.fixture
def bench(benchmark: BenchmarkFixture, ffmpeg: str, picture: Picture, raw_picture: Path) -> Bench:
    """What a benchmark measures with."""
    cv2.setNumThreads(CORES)
    return Bench(benchmark=benchmark, ffmpeg=ffmpeg, picture=picture, raw_picture=raw_picture)


@dataclass(frozen=True, slots=True)
class Repeated:
    """A filter run on several frames at a call."""

    run: Callable[[], object]
    frames: int

    def __call__(self) -> None:
        for _ in range(self.frames):
            self.run()


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Both sides of a comparison, and the comparison. Everyone gets as many threads as there are cores."""

    benchmark: BenchmarkFixture
    ffmpeg: str
    picture: Picture
    raw_picture: Path

    def ours(self, chain: str, *, frames: int = FRAMES) -> Repeated:
        """What runs `chain` on the picture `frames` times over, as in a job, compiled beforehand."""
        source = VideoFormat(width=WIDTH, height=HEIGHT, pixel_format=pixel_format("yuv420p"))
        executor = CpuExecutor(plan_chain(source, parse_chain(chain, CATALOGUE)), threads=CORES)
        executor.warm_up()
        frame = Frame(planes=self.picture, format=executor.plan.source)
        return Repeated(lambda: executor.run(frame), frames)

    def ffmpeg_filter(self, chain: str, *, frames: int = FRAMES) -> Callable[[], float]:
        """What measures the seconds a frame that FFmpeg takes for `chain` on the picture.

        The picture is repeated by reference: the difference between a long and a short run holds neither
        start-up nor decoding.
        """

        def seconds(count: int) -> float:
            graph = f"loop=loop={count}:size=1,{TAGS},{chain}"
            source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-i", str(self.raw_picture)]
            command = [self.ffmpeg, "-v", "error", *source, "-filter_threads", str(CORES), "-vf", graph]
            begin = time.perf_counter()
            subprocess.run([*command, "-f", "null", "-"], check=True, stdin=subprocess.DEVNULL)
            return time.perf_counter() - begin

        def measure() -> float:
            short = seconds(1)
            return (seconds(1 + frames) - short) / frames

        return measure

    def here(self, function: Callable[[], object], *, warm_up: bool = True) -> Callable[[], float]:
        """What measures the seconds of one call of `function`, a peer that runs in this process."""
        if warm_up:
            function()

        def measure() -> float:
            begin = time.perf_counter()
            function()
            return time.perf_counter() - begin

        return measure

    def compare(
        self,
        name: str,
        subject: Callable[[], object],
        peers: Mapping[str, Callable[[], float]],
        *,
        goal: float | None = None,
        **facts: object,
    ) -> None:
        """Time `subject` and each peer by turns, then write the seconds of one frame.

        The ratio is against the first peer and should not exceed `goal`. `facts` go into the result; a function
        among them is called at the end.
        """
        turns: dict[str, list[float]] = {peer: [] for peer in peers}

        def peers_turn() -> None:
            for peer, measure in peers.items():
                turns[peer].append(measure())

        pedantic: Callable[..., object] = self.benchmark.pedantic
        pedantic(subject, setup=peers_turn, rounds=ROUNDS, iterations=1)
        stats = self.benchmark.stats
        assert stats is not None
        frames = subject.frames if isinstance(subject, Repeated) else 1
        mine = [float(seconds) / frames for seconds in stats.stats.data]
        settled = {fact: value() if callable(value) else value for fact, value in facts.items()}
        keep({"name": name, **_ratio(mine, turns), "goal": goal, **settled})


def _ratio(mine: list[float], turns: dict[str, list[float]]) -> dict[str, object]:
    """Medians in seconds, and how many times the first peer's ours is."""
    medians = {peer: statistics.median(values) for peer, values in turns.items()}
    first = next(iter(medians))
    return {
        "ours_s": round(statistics.median(mine), 6),
        "peers_s": {peer: round(value, 6) for peer, value in medians.items()},
        "ratio": round(statistics.median(mine) / medians[first], 4),
        "ratio_to": first,
        "ours_rounds_s": [round(value, 6) for value in mine],
        "peers_rounds_s": {peer: [round(value, 6) for value in values] for peer, values in turns.items()},
    }


def keep(result: dict[str, object]) -> None:
    """Print `result`, and write it with the circumstances when the picture has its full size."""
    shown = ("name", "ours_s", "peers_s", "ratio", "goal", "peak_bytes", "peak_writing_bytes")
    print("\n" + json.dumps({key: result[key] for key in shown if key in result}))
    if HEIGHT != FULL_HEIGHT:
        return
    circumstances = {
        "date": datetime.now(UTC).date().isoformat(),
        "picture": f"{WIDTH}x{HEIGHT} yuv420p",
        "machine": machine(),
        "versions": versions(),
    }
    folder = Path(__file__).parent / "results" / device()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['name']}.json"
    path.write_text(json.dumps(circumstances | result, indent=2) + "\n", encoding="utf-8")


@cache
def machine() -> dict[str, Any]:
    """What this runs on."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", text)
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model.group(1).strip() if model else platform.machine(),
        "cores": CORES,
        "memory_gib": round(memory_bytes / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
    }


def device() -> str:
    """The machine as a folder name."""
    facts = machine()
    return re.sub(r"[^a-z0-9]+", "-", f"{facts['cpu']} {facts['cores']} cores".lower()).strip("-")


@cache
def versions() -> dict[str, str]:
    """Everything whose version can change a figure."""
    first = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]  # noqa: S607
    names = ("framehaul", "numpy", "numba", "av", "opencv-python-headless", "boto3", "swift")
    return {name: version(name) for name in names} | {"python": platform.python_version(), "ffmpeg": first}
