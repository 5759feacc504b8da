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
from dataclasses import dataclass, field
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from pytest_benchmark.fixture import BenchmarkFixture

FULL_HEIGHT: Final = 1080
HEIGHT: Final = int(os.environ.get("FRAMEHAUL_BENCH_HEIGHT", FULL_HEIGHT))
WIDTH: Final = HEIGHT * 16 // 9 // 2 * 2
ROUNDS: Final = int(os.environ.get("FRAMEHAUL_BENCH_ROUNDS", "5"))
TAGS: Final = "setparams=colorspace=bt709:color_trc=bt709:color_primaries=bt709:range=tv"
CORES: Final = len(os.sched_getaffinity(0))


@pytest.fixture(scope="session", autouse=True)
def same_cores() -> None:
    """OpenCV gets as many threads as everyone else."""
    cv2.setNumThreads(CORES)


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Path of the `ffmpeg` program."""
    found = shutil.which("ffmpeg")
    if found is None:
        pytest.fail("the peer is missing: Debian and Ubuntu have it as apt-get install ffmpeg")
    return found


@pytest.fixture(scope="session")
def picture() -> tuple[NDArray[np.uint8], ...]:
    """Y, Cb and Cr of one 4:2:0 picture: soft shapes with some noise, the same in every run."""
    rng = np.random.default_rng(20)

    def plane(height: int, width: int) -> NDArray[np.uint8]:
        soft = cv2.GaussianBlur(rng.integers(0, 256, (height, width)).astype(np.float32), (0, 0), 3)
        soft = 16 + 219 * (soft - soft.min()) / (soft.max() - soft.min())
        return np.clip(np.rint(soft + rng.normal(0, 4, soft.shape)), 16, 235).astype(np.uint8)

    return plane(HEIGHT, WIDTH), plane(HEIGHT // 2, WIDTH // 2), plane(HEIGHT // 2, WIDTH // 2)


@pytest.fixture
def ours(picture: tuple[NDArray[np.uint8], ...]) -> Callable[[str], Callable[[], Frame]]:
    """`ours(chain)()` runs `chain` once on the picture, compiled beforehand."""

    def bind(chain: str) -> Callable[[], Frame]:
        source = VideoFormat(width=WIDTH, height=HEIGHT, pixel_format=pixel_format("yuv420p"))
        executor = CpuExecutor(plan_chain(source, parse_chain(chain, CATALOGUE)), threads=CORES)
        executor.warm_up()
        frame = Frame(planes=picture, format=executor.plan.source)
        return lambda: executor.run(frame)

    return bind


@pytest.fixture(scope="session")
def peer_filter(
    ffmpeg: str, picture: tuple[NDArray[np.uint8], ...], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, int], float]:
    """`peer_filter(chain, frames)`: seconds a frame that FFmpeg's filters take on the same picture.

    One raw picture, repeated by reference: the difference between a long and a short run holds neither start-up
    nor decoding. Filters get as many threads as there are cores.
    """
    raw = tmp_path_factory.mktemp("peer") / "picture.yuv"
    raw.write_bytes(b"".join(plane.tobytes() for plane in picture))
    source = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-i", str(raw)]

    def seconds(chain: str, frames: int) -> float:
        graph = f"loop=loop={frames}:size=1,{TAGS},{chain}"
        command = [ffmpeg, "-v", "error", *source, "-filter_threads", str(CORES), "-vf", graph, "-f", "null", "-"]
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return time.perf_counter() - begin

    def per_frame(chain: str, frames: int) -> float:
        short = seconds(chain, 1)
        return (seconds(chain, 1 + frames) - short) / frames

    return per_frame


@dataclass
class Comparison:
    """One measured ratio in the making."""

    benchmark: BenchmarkFixture
    name: str
    goal: float | None
    peers: dict[str, list[float]] = field(default_factory=dict)

    def run(self, subject: Callable[[], object], peers: Mapping[str, Callable[[], float]], **facts: object) -> None:
        """Time `subject` and each peer by turns, then write the result.

        The first peer is the one that the ratio is against. `facts` go into the result; a function among them is
        called at the end.
        """
        self.peers = {name: [] for name in peers}

        def peers_turn() -> None:
            for name, measure in peers.items():
                self.peers[name].append(measure())

        self.benchmark.pedantic(subject, setup=peers_turn, rounds=ROUNDS, iterations=1)
        settled = {name: fact() if callable(fact) else fact for name, fact in facts.items()}
        self._write(self.benchmark.stats.stats.data, settled)

    def _write(self, mine: list[float], facts: dict[str, object]) -> None:
        """Keep the medians, and the ratio to the first peer, as JSON."""
        medians = {name: statistics.median(values) for name, values in self.peers.items()}
        first = next(iter(medians), None)
        result = {
            "name": self.name,
            "date": datetime.now(UTC).date().isoformat(),
            "picture": f"{WIDTH}x{HEIGHT} yuv420p",
            "ours_s": round(statistics.median(mine), 6),
            "ours_rounds_s": [round(value, 6) for value in mine],
            "peers_s": {name: round(value, 6) for name, value in medians.items()},
            "peers_rounds_s": {name: [round(v, 6) for v in values] for name, values in self.peers.items()},
            "ratio": round(statistics.median(mine) / medians[first], 4) if first else None,
            "ratio_to": first,
            "goal": self.goal,
            **facts,
            "machine": machine(),
            "versions": versions(),
        }
        self.benchmark.extra_info.update({"ratio": result["ratio"], "ratio_to": first, "goal": self.goal})
        print(f"\n{self.name}: {json.dumps({k: result[k] for k in ('ours_s', 'peers_s', 'ratio', 'goal')})}")
        if HEIGHT == FULL_HEIGHT:
            folder = Path(__file__).parent / "results" / device()
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{self.name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


@pytest.fixture
def compare(benchmark: BenchmarkFixture) -> Callable[..., Comparison]:
    """`compare(name, goal=…)`: a ratio to measure; the goal is what it should not exceed."""

    def start(name: str, *, goal: float | None = None) -> Comparison:
        return Comparison(benchmark=benchmark, name=name, goal=goal)

    return start


@pytest.fixture
def timed() -> Callable[..., Callable[[], float]]:
    """`timed(function)`: a peer that runs in this process, as seconds per call after one call to warm up."""

    def wrap(function: Callable[[], object], *, warm_up: bool = True) -> Callable[[], float]:
        if warm_up:
            function()

        def measure() -> float:
            begin = time.perf_counter()
            function()
            return time.perf_counter() - begin

        return measure

    return wrap


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
    names = ("framehaul", "numpy", "numba", "av", "opencv-python-headless")
    return {name: version(name) for name in names} | {"python": platform.python_version(), "ffmpeg": first}
