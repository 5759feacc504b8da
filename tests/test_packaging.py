"""What a user installs: built here, installed in an environment of its own, used from outside the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from kernels.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]
PACKAGES = ("kernels", "runner", "storage")


@dataclass(frozen=True)
class Distribution:
    """The two files of one build."""

    wheel: Path
    sdist: Path

    def wheel_names(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def sdist_names(self) -> set[str]:
        with tarfile.open(self.sdist) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `command` from the root folder, where no source tree is in sight."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA", "COV"))}
    return subprocess.run(
        command, cwd="/", env=kept | environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """An sdist of the source tree, and the wheel made from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return Distribution(wheel=next(folder.glob("*.whl")), sdist=next(folder.glob("*.tar.gz")))


@pytest.fixture(scope="module")
def installed(distribution: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment with the wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    done = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", distribution.wheel)
    assert done.returncode == 0, done.stderr
    site_packages = next((folder / "lib").glob("python3.*/site-packages"))
    # A path in a .pth file adds that folder, not the .pth files in it: an editable install of this tree stays out.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin"


def source_files() -> set[str]:
    """Every file of the packages that a user needs, relative to the source tree."""
    wanted = {".py", ".cu", ".cuh", ".html", ".typed"}
    found = {path for name in PACKAGES for path in (ROOT / name).rglob("*")}
    return {str(path.relative_to(ROOT)) for path in found if path.suffix in wanted or path.name == "py.typed"}


def test_both_hold_every_source_and_data_file(distribution: Distribution) -> None:
    wanted = source_files()
    assert {"kernels/cuda/cas.cu", "kernels/cuda/include/plane.cuh", "kernels/py.typed"} <= wanted
    assert wanted <= distribution.wheel_names()
    assert wanted <= distribution.sdist_names()


def test_wheel_holds_nothing_else(distribution: Distribution) -> None:
    tops = {name.partition("/")[0] for name in distribution.wheel_names()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in distribution.wheel_names() if name.endswith((".pyc", ".nbi", ".nbc"))]


def test_sdist_holds_what_its_tests_and_documents_need(distribution: Distribution) -> None:
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml", "tests/conftest.py"}
    assert wanted <= distribution.sdist_names()


def test_installed_packages_come_from_the_wheel(installed: Path) -> None:
    code = "import kernels, runner, storage; print(*(m.__file__ for m in (kernels, runner, storage)), sep='\\n')"
    done = run(installed / "python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(installed.parent) for line in done.stdout.splitlines())


def test_installed_cuda_sources_are_found(installed: Path) -> None:
    code = (
        "from importlib.resources import files\n"
        "cuda = files('kernels') / 'cuda'\n"
        "print(len((cuda / 'cas.cu').read_text()), (cuda / 'include' / 'plane.cuh').is_file())"
    )
    done = run(installed / "python", "-c", code)
    assert done.returncode == 0, done.stderr
    length, found = done.stdout.split()
    assert int(length) > 1000
    assert found == "True"


def test_installed_runner_says_its_version(installed: Path) -> None:
    done = run(installed / "runner", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert "0.1.0" in done.stdout


def test_compiled_kernels_stay_out_of_the_installation(installed: Path, tmp_path: Path) -> None:
    """A read-only installation works: what is compiled goes to the user's cache, and the next process finds it."""
    code = (
        "import numpy, kernels\n"
        "flat = numpy.full((8, 16), 60, numpy.uint8)\n"
        "assert (kernels.unsharp(flat) == flat).all()\n"
        "from kernels.ops import unsharp\n"
        "stats = unsharp._sharpen_rows.stats\n"
        "print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))"
    )
    counts = []
    for _ in range(2):
        done = run(installed / "python", "-B", "-c", code, XDG_CACHE_HOME=str(tmp_path))
        assert done.returncode == 0, done.stderr
        counts.append(done.stdout.split())
    assert counts == [["0", "1"], ["1", "0"]]
    assert list((tmp_path / "framehaul" / "numba").rglob("*.nbi"))
    assert not list(installed.parent.rglob("*.nbi"))


def test_installed_catalogue_is_whole(installed: Path) -> None:
    done = run(installed / "python", "-c", "from kernels.catalogue import CATALOGUE; print(*sorted(CATALOGUE))")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(CATALOGUE)


@pytest.mark.parametrize("home", ["/dev/null", "relative"])
def test_without_a_home_the_cache_is_private(installed: Path, tmp_path: Path, home: str) -> None:
    code = "import kernels, os; folder = os.environ['NUMBA_CACHE_DIR']; print(folder, os.stat(folder).st_mode & 0o777)"
    done = run(installed / "python", "-c", code, XDG_CACHE_HOME=home, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    folder, mode = done.stdout.split()
    assert Path(folder).parent == tmp_path
    assert int(mode) == 0o700
