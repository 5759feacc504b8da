"""A CuPy that finds a GPU it cannot use: what is said of it, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.kernels.io.clips import Clip, make

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kernels.nv.conftest import Machine

BROKEN: Final = """
from types import SimpleNamespace


class CUDARuntimeError(RuntimeError):
    pass


def Device(number):
    raise CUDARuntimeError("cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable")


cuda = SimpleNamespace(
    Device=Device,
    compiler=SimpleNamespace(CompileException=CUDARuntimeError),
    driver=SimpleNamespace(CUDADriverError=CUDARuntimeError),
    memory=SimpleNamespace(OutOfMemoryError=MemoryError),
    runtime=SimpleNamespace(CUDARuntimeError=CUDARuntimeError),
)
"""
PROBLEM: Final = "no GPU can be used: cudaErrorDevicesUnavailable: CUDA-capable device(s) is/are busy or unavailable"


@pytest.fixture
def broken(machine: Machine, tmp_path: Path) -> Machine:
    """Beside the stand-in driver; `in.mp4` lies there."""
    package = tmp_path / "packages" / "cupy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(BROKEN, encoding="utf-8")
    (machine.work / "in.mp4").write_bytes(make(Clip(frames=3)))
    return machine.with_(PYTHONPATH=package.parent, NV_UNSUPPORTED="4:1:8", NV_ENCODERS="none")


def test_who_insists_is_told_once_what_to_do(broken: Machine) -> None:
    ended = broken.runner("run", str(broken.work / "in.mp4"), str(broken.work / "out.mp4"), "-q", "--backend", "cuda")
    assert ended.returncode == 7
    said = f"filters were to run on the GPU, which cannot: {PROBLEM}; see `runner doctor`"
    assert ended.stderr.splitlines() == [f"runner: {said}"]


def test_who_does_not_insist_is_told_why_alone(broken: Machine) -> None:
    ended = broken.runner("run", str(broken.work / "in.mp4"), str(broken.work / "out.mp4"))
    assert ended.returncode == 0
    warned = [line for line in ended.stderr.splitlines() if "filters run on the CPU" in line]
    assert len(warned) == 1
    assert warned[0].endswith(f"filters run on the CPU: {PROBLEM}")
