"""NPP as a peer: the calls as C code built from NPP's signatures receives them, where no GPU is."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from runner.bench.cases import CASES
from runner.bench.npp import StreamContext

ROOT: Final = Path(__file__).parents[3]
SOURCE: Final = Path(__file__).parent / "npp_machine.c"
CONTEXT: Final = "1 0 1016 1039 1001 1008 1075 1076 1 0"
"""A stream, device 0, and the driver's attributes by their numbers, each where NPP reads it."""
MEASURE: Final = """
import json, sys
from runner.bench.peers import time_peer
print(json.dumps({name: time_peer(name, 64, 36) for name in sys.argv[1:]}))
"""
NPP_PEERS: Final = {
    "NPP lanczos 2x": ["resize 16 128x72", "resize 16 64x36", "resize 16 64x36"],
    "NPP cubic 1/2": ["resize 4 32x18", "resize 4 16x9", "resize 4 16x9"],
    "NPP super sampling 1/2": ["resize 8 32x18", "resize 8 16x9", "resize 8 16x9"],
    "NPP NV12 to RGB": ["nv12 0 64x36"],
    "NPP 4:2:0 to RGB planes": ["yuv420 0 64x36"],
}
"""Peer -> the calls of one frame."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver, and NPP where its wheel for CUDA 12 puts it."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc to build the stand-in driver with")
    folder = tmp_path_factory.mktemp("npp")
    libraries = folder / "nvidia" / "npp" / "lib"
    libraries.mkdir(parents=True)
    made = {folder / "libcuda.so.1": ["-DDRIVER"]} | {
        libraries / f"libnpp{name}.so.12": [] for name in ("c", "ig", "icc")
    }
    for path, options in made.items():
        command = [compiler, "-std=gnu11", "-O1", "-fPIC", "-shared", "-Wall", *options, str(SOURCE), "-o", str(path)]
        subprocess.run(command, check=True, capture_output=True)
    return folder


def measure(folder: Path, log: Path, peer: str, **switches: str) -> float | str:
    paths = {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder), "NPP_LOG": str(log)}
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", MEASURE, peer],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **paths, **switches},
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    found: float | str = json.loads(ended.stdout)[peer]
    return found


@pytest.mark.parametrize("peer", NPP_PEERS)
def test_npp_is_called_by_its_signatures(peer: str, folder: Path, tmp_path: Path) -> None:
    seconds = measure(folder, tmp_path / "log", peer)
    calls, lines = NPP_PEERS[peer], (tmp_path / "log").read_text().splitlines()
    # Each frame once before the capture and once in it; then the graph 20 times by the clock, which always says 3 ms,
    # after 3 to warm up.
    assert lines[-23:] == ["launch"] * 23
    called = lines[:-23]
    frames = len(called) // len(calls) // 2
    assert called == [f"{call} {CONTEXT}" for call in calls] * frames * 2
    assert seconds == pytest.approx(0.003 / frames)


def test_what_npp_refuses_is_said(folder: Path, tmp_path: Path) -> None:
    said = measure(folder, tmp_path / "log", "NPP NV12 to RGB", NPP_STATUS="-23")
    assert said == "fails here: UnavailableError: nppiNV12ToRGB_709CSC_8u_P2C3R_Ctx fails with status -23"


def test_what_cannot_be_captured_is_not_timed_otherwise(folder: Path, tmp_path: Path) -> None:
    said = measure(folder, tmp_path / "log", "NPP NV12 to RGB", NPP_CAPTURE="901")
    assert said == "fails here: UnavailableError: what was to be timed cannot be captured in a graph (status 901)"


def test_the_suite_compares_with_each() -> None:
    assert NPP_PEERS.keys() == {peer for case in CASES for peer in case.peers if peer.startswith("NPP")}


def test_the_context_is_laid_out_as_npp_reads_it() -> None:
    assert ctypes.sizeof(StreamContext) == 48
    assert StreamContext.shared_bytes_per_block.offset == 24
    assert StreamContext.stream_flags.offset == 40
