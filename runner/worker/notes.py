"""Where a machine keeps its notes, and the one thing that it is told by its environment."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from runner.state import state_folder

if TYPE_CHECKING:
    from pathlib import Path

VARIABLE: Final = "FRAMEHAUL_BOOT_URL"
"""Environment variable with the URL (or path) of the boot document."""
SILENT_S: Final = 60.0
"""A worker that lives gives a sign every 5 s."""


def notes_folder(location: str) -> Path:
    """The folder of a machine that was booted from `location`: the same after a restart, and gone with the machine."""
    return state_folder() / "worker" / hashlib.sha256(location.encode()).hexdigest()[:16]


def first_start_s(notes: Path) -> float | None:
    """When the machine's watchdog began for the first time, seconds since 1970; None where nothing tells."""
    try:
        return float(json.loads((notes / "started.json").read_bytes())["started_s"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def why_unhealthy(notes: Path, *, now_s: float) -> str:
    """What is wrong with the machine whose notes these are, as far as they tell; empty when nothing is."""
    if not (notes / "started.json").exists():
        return "its watchdog has not started"
    try:
        told_s = (notes / "vital.json").stat().st_mtime
    except FileNotFoundError:
        return ""  # it boots; the watchdog sees to it that this takes no longer than it may
    silent_s = now_s - told_s
    ended = (notes / "ended.json").exists()
    return f"the worker has been silent for {silent_s:.0f} s" if silent_s > SILENT_S and not ended else ""
