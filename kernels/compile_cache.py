"""Where Numba keeps what it compiled, so that a chain compiles once and not once a process.

Numba's own choice, beside the source, fails on a read-only install and leaves files behind in a package folder.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def prepare() -> Path:
    """Settle the folder, before Numba is imported; returns it.

    `NUMBA_CACHE_DIR` wins; else `$XDG_CACHE_HOME` (default `~/.cache`) `/framehaul/numba`; where that cannot be
    written, a private folder of this user among the temporary files.
    """
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else _user_folder() or _temporary_folder()
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return folder


def _user_folder() -> Path | None:
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # noqa: PTH111 - unlike Path.expanduser, never raises
    folder = base / "framehaul" / "numba"
    if not folder.is_absolute():  # there is no home folder
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _temporary_folder() -> Path:
    """A folder that only this user can write to: what is in it is run as code."""
    import tempfile

    folder = Path(tempfile.gettempdir()) / f"framehaul-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="framehaul-"))
