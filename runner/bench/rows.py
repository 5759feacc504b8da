"""One measurement, and a whole run of them with its circumstances."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    "framehaul", "numpy", "numba", "av", "cupy-cuda12x", "cupy-cuda13x", "PyNvVideoCodec", "torch", "torchvision",
    "kornia", "vapoursynth", "nvidia-npp", "nvidia-npp-cu12",
)  # fmt: skip
"""Whatever of these is installed can change a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One case at one size on one device."""

    name: str
    chain: str
    size: str
    seconds: float
    """Of one frame."""
    moved_bytes: int | None = None
    """That a frame has to move through memory at least, each stage's input and output once."""
    copy_share: float | None = None
    """Of the rate at which the device's own copy moves bytes; None where that is not measured."""
    peers: dict[str, float] = field(default_factory=dict)
    """Seconds of one frame for what else does it, measured in the same run."""
    peer_times: dict[str, str] = field(default_factory=dict)
    """What each of those times is."""

    @property
    def rate(self) -> float | None:
        """Bytes a second."""
        return None if self.moved_bytes is None else self.moved_bytes / self.seconds

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "chain": self.chain,
            "size": self.size,
            "ms": round(self.seconds * 1000, 6),
            "fps": round(1 / self.seconds, 2),
            "gb_per_s": None if self.rate is None else round(self.rate / 1e9, 3),
            "copy_share": None if self.copy_share is None else round(self.copy_share, 4),
            "peers_ms": {name: round(seconds * 1000, 6) for name, seconds in self.peers.items()},
            "peer_times": self.peer_times,
            "times_as_fast": {name: round(seconds / self.seconds, 3) for name, seconds in self.peers.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one run of a suite found."""

    suite: str
    device: str
    """The GPU, or the CPU."""
    on_gpu: bool
    rows: tuple[Row, ...]
    not_measured: tuple[str, ...] = ()
    """What was left out, and why."""
    copy_bytes_per_s: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "suite": self.suite,
            "date": datetime.now(UTC).date().isoformat(),
            "device": self.device,
            "on_gpu": self.on_gpu,
            "machine": machine(),
            "versions": versions(),
            "copy_gb_per_s": None if self.copy_bytes_per_s is None else round(self.copy_bytes_per_s / 1e9, 1),
            "rows": [row.to_json() for row in self.rows],
            "not_measured": list(self.not_measured),
        }


def machine() -> dict[str, Any]:
    """The computer around the device."""
    return {"cpu": cpu_name(), "cores": cores(), "system": f"{platform.system()} {platform.machine()}"}


def cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", path.read_text(encoding="utf-8")) if path.exists() else None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
