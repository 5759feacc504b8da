"""Where a machine keeps its notes, and the one thing that it is told by its environment."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from runner.state import state_folder

VARIABLE: Final = "FRAMEHAUL_BOOT_URL"
"""Environment variable with the URL (or path) of the boot document."""


def notes_folder(location: str) -> Path:
    """The folder of a machine that was booted from `location`: the same after a restart."""
    if "://" not in location:
        return Path(f"{location}.notes")
    return state_folder() / "worker" / hashlib.sha256(location.encode()).hexdigest()[:16]
