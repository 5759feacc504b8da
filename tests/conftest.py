"""What every test may use, and the rule that a skip is a promise which someone checks.

A skip is allowed on a developer's machine. With `CI` set it is a failure, unless its reason starts with one of
`ALLOWED_SKIPS`; with `REQUIRE_GPU=1` the GPU reason is not allowed either. The skips that were allowed are
listed above pytest's last line.

Only with `REQUIRE_GPU=1` is a GPU met, by the tests marked `gpu`: `just test-gpu`. Without it a GPU is hidden, so that
all other tests find the same machine everywhere.

Whatever a test prints or logs is searched for keys, signatures and tokens: one that shows a secret has failed.
"""

from __future__ import annotations

import os
import shutil
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.storage.server import SECRETS, bucket, crowded, remote, running_server, server  # noqa: F401  (fixtures, for every test)

ROOT: Final = Path(__file__).parents[1]

# Numba reads this when it is first imported: one cache for all workers of a run and for the processes they start.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".numba_cache"))

# CUDA reads this when it is first asked: no device is visible, here and in the processes that tests start.
if not os.environ.get("REQUIRE_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np  # noqa: E402  (after the lines above, which must come first)
from hypothesis import settings  # noqa: E402  (as above)

if TYPE_CHECKING:
    from collections.abc import Generator

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

GPU_SKIP: Final = "no NVIDIA GPU asked for"
ALLOWED_SKIPS: Final = {
    GPU_SKIP: "the tests marked gpu run on a machine with one: just test-gpu",
    "no Set5 images": "a data set that the project does not carry: FRAMEHAUL_SET5 names its folder",
}
"""Start of a skip's reason -> why continuous integration accepts it."""

DAMAGED_SAMPLE: Final = 24
"""Damaged clips that an ordinary run tries; `just damaged` tries 200."""
MUTANT_SAMPLE: Final = 20
"""Mutants of the CUDA kernels that an ordinary run tries; `just mutants` tries all."""
LONG_SHARE: Final = 8
"""One in so many of the tests marked `long` is run, the same ones always; `just long` runs all."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--damaged",
        type=int,
        default=DAMAGED_SAMPLE,
        metavar="N",
        help=f"how many seeded damaged clips to try (default {DAMAGED_SAMPLE})",
    )
    parser.addoption(
        "--mutants",
        type=int,
        default=MUTANT_SAMPLE,
        metavar="N",
        help=f"how many seeded mutants of the CUDA kernels to try, 0 for all (default {MUTANT_SAMPLE})",
    )
    parser.addoption("--long", action="store_true", help=f"run all tests marked long, not one in {LONG_SHARE} of them")
    parser.addoption("--all-cubins", action="store_true", help="compile every kernel for every GPU architecture")


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Path of the `ffmpeg` program, an oracle with filters that PyAV's FFmpeg lacks (zscale)."""
    found = shutil.which("ffmpeg")
    if found is None:
        pytest.skip("no ffmpeg program (Debian and Ubuntu: apt-get install ffmpeg)")
    return found


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers seeded by the test's own name: the same in every run and whatever runs beside it."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu`; with `REQUIRE_GPU=1` they run, and fail where there is none. Leave out most marked
    `long`, unless they are named or asked for.
    """
    if not config.getoption("--long") and not any("::" in word for word in config.args):
        left = [
            item for item in items if item.get_closest_marker("long") and zlib.crc32(item.nodeid.encode()) % LONG_SHARE
        ]
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)
    if not os.environ.get("REQUIRE_GPU"):
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=GPU_SKIP))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    if report.passed and any(SECRETS.search(text) for _, text in report.sections):
        report.outcome = "failed"
        report.longrepr = "it printed or logged a secret: see what was captured"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped:
        _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make `report` a failure under CI unless its reason is an allowed one."""
    reason = _skip_reason(report)
    allowed = [start for start in ALLOWED_SKIPS if not (start == GPU_SKIP and os.environ.get("REQUIRE_GPU"))]
    if os.environ.get("CI") and not reason.startswith(tuple(allowed)):
        report.outcome = "failed"
        report.longrepr = f"skipped, which continuous integration does not accept: {reason}"


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the skips by reason."""
    counts: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        reason = _skip_reason(report)
        counts[reason] = counts.get(reason, 0) + 1
    if not counts:
        return
    terminalreporter.section("skipped")
    for reason, count in sorted(counts.items()):
        note = next((why for start, why in ALLOWED_SKIPS.items() if reason.startswith(start)), "not accepted by CI")
        terminalreporter.line(f"{count} x {reason} ({note})")


def pytest_report_header() -> list[str]:
    program = shutil.which("ffmpeg") or "absent: the tests that need it are skipped"
    return [f"ffmpeg: {program}", f"numba cache: {os.environ['NUMBA_CACHE_DIR']}"]
