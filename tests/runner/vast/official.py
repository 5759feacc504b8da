"""The official command-line tool of Vast.ai, in an environment of its own: it pins what this project does not."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Final

import pytest

VERSION: Final = "1.9.1"


@pytest.fixture(scope="session")
def vastai() -> str:
    """Path of the `vastai` program; installed into the user's cache the first time."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "framehaul-tests" / f"vastai-{VERSION}"
    program, done = folder / "bin" / "vastai", folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other workers of the same run wait
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            command = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", f"vastai=={VERSION}"]
            installed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
            if installed.returncode:
                pytest.skip(f"no vastai {VERSION}: `pip install vastai=={VERSION}` does not work here")
            done.touch()
    return str(program)
