"""Where this machine remembers its runs, its instances and its bad machines."""

from __future__ import annotations

import os
from pathlib import Path


def state_folder() -> Path:
    """`$XDG_STATE_HOME/framehaul`, or `~/.local/state/framehaul`; made when something is first written."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "framehaul"
