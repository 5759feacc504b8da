"""What a transfer has done so far, on disk, so that another process can go on with it.

One line of JSON each: first what is transferred, then one per finished step. A line is written once its step is
done, so that a process may be killed at any moment; a last line that was cut is ignored. It holds no secret.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from storage.errors import JournalError

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)


def journal_path(source: str, target: str) -> Path:
    """Where the transfer from `source` to `target` is recorded: $XDG_STATE_HOME/framehaul, or ~/.local/state/..."""
    base = os.environ.get("XDG_STATE_HOME")
    folder = Path(base) if base else Path.home() / ".local" / "state"
    name = hashlib.sha256(f"{source}\n{target}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return folder / "framehaul" / "transfers" / f"{name}.jsonl"


def usable_journal(source: str, target: str) -> Path | None:
    """`journal_path`, or None where no file can be made there: a copy is worth more than its record."""
    path = journal_path(source, target)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        usable = False
    else:
        usable = os.access(path.parent, os.W_OK)
    if not usable:
        log.warning("%s takes no file: this transfer cannot be resumed", path.parent)
    return path if usable else None


def machine_run() -> str:
    """Changes when the machine restarts: what was not forced to disk may be lost then. Empty where nobody knows."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


class Journal:
    """The record at `path` of the transfer that `identity` describes, locked until the block is left.

    `earlier` has the steps of an earlier process when its identity was the same; `stale` those of one that
    transferred something else, with its identity first: both may be empty. Raises `JournalError` when another
    process holds it or no record can be made.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
        self.earlier: list[dict[str, Any]] = []
        self.stale: list[dict[str, Any]] = []
        self._identity = identity
        self._descriptor = -1
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """What entering the block does."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._claim()
            lines = self._lines()
            if lines and lines[0] == self._identity:
                self.earlier = lines[1:]
            else:
                self.stale = lines
                self.restart()
        except JournalError:
            self.close()
            raise
        except OSError as error:
            self.close()
            reason = (error.strerror or str(error)).lower()
            raise JournalError(
                f"{self.path} cannot be written: {reason}; set XDG_STATE_HOME to another folder"
            ) from error

    def restart(self) -> None:
        """Forget every step."""
        self.earlier = []
        os.ftruncate(self._descriptor, 0)
        self.add(self._identity)

    def add(self, step: dict[str, Any]) -> None:
        """Record that `step` is done. One write, so that threads and a kill never mix two lines."""
        line = json.dumps(step, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            if self._descriptor >= 0:  # a step that ends after the transfer has failed is done again next time
                os.write(self._descriptor, line)

    def remove(self) -> None:
        """The transfer is complete."""
        self.path.unlink(missing_ok=True)

    def _claim(self) -> None:
        """Lock the file; Windows has no such locks."""
        try:
            import fcntl
        except ImportError:
            return
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalError("another process is writing the same target; wait for it or stop it") from error

    def _lines(self) -> list[dict[str, Any]]:
        text = self.path.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        if len(whole) < len(text):  # cut by a kill
            os.ftruncate(self._descriptor, len(whole))
        lines = []
        for line in whole.splitlines():
            with suppress(ValueError):
                lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict)]

    def close(self) -> None:
        """What leaving the block does. Harmless when repeated."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)  # which unlocks it
                self._descriptor = -1
