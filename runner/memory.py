"""How much memory this process may use: the machine's, or less in a container that is given less."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def usable_bytes() -> int | None:
    """None where the system does not tell."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    limit = _container_limit_bytes()
    return min(total, limit) if limit else total


def _container_limit_bytes() -> int | None:
    for name in _LIMITS:
        try:
            return int(Path(name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return None
