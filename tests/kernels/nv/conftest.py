"""A machine with an NVIDIA driver, as far as PyNvVideoCodec can tell: the real wheel on libraries built here.

The libraries answer in a process of their own, started with them in `LD_LIBRARY_PATH`: a driver once loaded stays. That
process has no CuPy, wherever the tests run, since CuPy needs more of a driver than this one has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[3]
SOURCES: Final = Path(__file__).parent / "driver"
LIBRARIES: Final = {
    "libcuda.so.1": ("cuda.c",),
    "libnvcuvid.so.1": ("nvcuvid.c",),
    "libnvidia-encode.so.1": ("nvencodeapi.c", "pcm.c"),
}
HIDE_CUPY: Final = """import sys

sys.modules["cupy"] = None
"""
"""For `sitecustomize`, which Python imports before anything else."""
TIMEOUT_S: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Runs programs beside a stand-in driver."""

    folder: Path
    """Where the driver's libraries are."""
    work: Path
    """A folder of the test's own."""
    switches: Mapping[str, str] = field(default_factory=dict)
    """What the driver is told, by the names in its sources."""

    def with_(self, **switches: object) -> Machine:
        told = {**self.switches, **{name: str(value) for name, value in switches.items()}}
        return Machine(folder=self.folder, work=self.work, switches=told)

    def without(self, *libraries: str) -> Machine:
        """The same machine, some of its driver's libraries unfit: were they gone, a real driver's might be found."""
        folder = self.work / "-".join(("without", *libraries))
        folder.mkdir()
        for name in LIBRARIES:
            if name in libraries:
                (folder / name).touch()
            else:
                (folder / name).symlink_to(self.folder / name)
        return Machine(folder=folder, work=self.work, switches=self.switches)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        log = self.work / "driver.log"
        log.unlink(missing_ok=True)
        environment = {
            **{name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"},
            "PYTHONPATH": str(_hiding(self.work)),
            "LD_LIBRARY_PATH": str(self.folder),
            "NV_LOG": str(log),
            **self.switches,
        }
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=TIMEOUT_S
        )

    def python(self, code: str, *arguments: str) -> Any:
        """What `code` prints last, read as JSON."""
        ended = self.run("-W", "error", "-c", code, *arguments)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])

    def runner(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "runner", *arguments)

    def log(self, call: str) -> list[dict[str, Any]]:
        """What the driver noted of that call in the last run."""
        path = self.work / "driver.log"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [entry for entry in map(json.loads, lines) if entry["call"] == call]


def _hiding(work: Path) -> Path:
    """A folder for `PYTHONPATH` that hides CuPy."""
    folder = work / "no_cupy"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(HIDE_CUPY, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def driver_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc to build the stand-in driver with")
    if find_spec("PyNvVideoCodec") is None:
        pytest.skip("no PyNvVideoCodec wheel (pip install -e '.[dev]' on Linux x86-64)")
    folder = tmp_path_factory.mktemp("driver")
    for name, sources in LIBRARIES.items():
        flags = ["-std=gnu11", "-O1", "-fPIC", "-shared", "-Wall", "-Werror", f"-Wl,-soname,{name}"]
        paths = [str(SOURCES / source) for source in sources]
        subprocess.run([compiler, *flags, *paths, "-o", str(folder / name)], check=True, capture_output=True)
    return folder


@pytest.fixture
def machine(driver_folder: Path, tmp_path: Path) -> Machine:
    return Machine(folder=driver_folder, work=tmp_path)
