"""What a worker says while it works: small objects for whoever follows, notes for its watchdog, a log for later.

Each event is a new object, because a store may keep an old one visible for a while and bills every version.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from runner.records import Progress
from runner.worker.boot import write_private
from storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runner.worker.redact import Redactor
    from runner.worker.workspace import Workspace

log = logging.getLogger(__name__)

EVENT_S: Final = 3.0
"""Between two events while nothing but frames changes."""
LOG_S: Final = 15.0
BEAT_S: Final = 1.0
ALIVE_S: Final = 5.0
MAX_LINE: Final = 2000
MAX_LINES: Final = 5000
"""Kept for the next piece of the log; older ones are dropped when the store does not answer."""


class Vital:
    """The worker's sign of life, a file that its watchdog reads."""

    def __init__(self, notes: Path) -> None:
        self._path = notes / "vital.json"
        self.begin_job(notes)
        self._state = "booting"
        self._mark = 0
        self._written_s = 0.0
        self._guard = threading.Lock()

    def begin_job(self, notes: Path) -> None:
        """From now on events are counted in `notes`: every job has numbers of its own."""
        self._numbers = notes / "numbers.json"

    def numbers(self) -> tuple[int, int]:
        """The numbers of the next event and the next piece of the log: no restart uses one again."""
        try:
            found = json.loads(self._numbers.read_bytes())
            return int(found[0]), int(found[1])
        except (OSError, ValueError, LookupError, TypeError):
            return 0, 0

    def count(self, event: int, piece: int) -> None:
        write_private(self._numbers, json.dumps([event, piece]).encode())

    def beat(self, state: str | None = None, *, moved: bool = False) -> None:
        """Still alive; `moved` says that something was done since. From any thread."""
        with self._guard:
            self._beat(state, moved=moved)

    def keep_beating(self) -> None:
        """A sign of life in any case, from now on: what does not get on is another matter, with a limit of its own."""
        threading.Thread(target=self._beat_for_ever, name="vital", daemon=True).start()

    def _beat_for_ever(self) -> None:
        while True:
            self.beat()
            time.sleep(ALIVE_S)

    def _beat(self, state: str | None, *, moved: bool) -> None:
        changed = state is not None and state != self._state
        self._state = state or self._state
        self._mark += moved or changed
        now_s = time.monotonic()
        if changed or now_s - self._written_s >= BEAT_S:
            self._written_s = now_s
            write_private(self._path, json.dumps({"state": self._state, "mark": self._mark}).encode())


class LogBuffer(logging.Handler):
    """Keeps records, redacted, as lines of JSON until they are taken."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__(logging.INFO)
        self._redact = redact
        self._lines: list[str] = []
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        text = self._redact(self.format(record))[:MAX_LINE]
        line = json.dumps({"time_s": round(record.created, 3), "level": record.levelname, "text": text})
        with self._guard:
            self._lines = [*self._lines[-MAX_LINES + 1 :], line]

    def take(self) -> list[str]:
        with self._guard:
            lines, self._lines = self._lines, []
        return lines

    def put_back(self, lines: list[str]) -> None:
        with self._guard:
            self._lines = [*lines, *self._lines][-MAX_LINES:]


class Reporter:
    """Says where the worker is. `clock` gives seconds since 1970."""

    def __init__(
        self,
        workspace: Workspace,
        worker: str,
        vital: Vital,
        lines: LogBuffer,
        redact: Redactor,
        *,
        deadline_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._workspace = workspace
        self._worker = worker
        self._vital = vital
        self._lines = lines
        self._redact = redact
        self._clock = clock
        self._number, self._log_number = vital.numbers()
        self._said_s = self._logged_s = clock()
        most = workspace.most_events
        left_s = max(0.0, deadline_s - clock())
        self._event_s = EVENT_S if most is None else max(EVENT_S, 1.25 * left_s / max(1, most))
        self._log_s = LOG_S if most is None else max(LOG_S, 1.25 * left_s / max(1, most))
        self._other: int | None = None
        self.frames_done = 0
        """Of the whole job, committed or not."""
        self.first_frame_s: float | None = None
        """When the first frame of this worker came out of the encoder; seconds since 1970."""

    def say(self, state: str, message: str = "", **facts: Any) -> None:
        """An event, at once. A store that does not take it is no reason to stop."""
        self._vital.beat(state)
        self._said_s = self._clock()
        fields = {"worker": self._worker, "number": self._number, "time_s": self._said_s, "state": state}
        words = {"frames_done": self.frames_done, "message": self._redact(message)[:MAX_LINE]}
        event = Progress.model_validate(fields | words | facts)
        try:
            self._workspace.put_event(self._number, event.model_dump_json(exclude_defaults=True).encode())
        except StorageError as error:
            log.warning("an event was not stored: %s", error)
        self._number += 1
        self._vital.count(self._number, self._log_number)
        self.flush_log(force=state in {"done", "failed", "giving-up"})

    def tick(
        self, state: str, frames_done: int, *, segment: int | None = None, fps: float = 0.0, other: int | None = None
    ) -> None:
        """Called often while frames go by: an event now and then. `other` changes when anything else was done."""
        moved = frames_done != self.frames_done or other not in (None, self._other)
        self._other = other
        if moved and self.first_frame_s is None:
            self.first_frame_s = self._clock()
        self.frames_done = frames_done
        self._vital.beat(state, moved=moved)
        if self._clock() - self._said_s >= self._event_s:
            self.say(state, segment=segment, fps=fps)

    def flush_log(self, *, force: bool = False) -> None:
        """Store what was logged, when enough time has passed."""
        if not force and self._clock() - self._logged_s < self._log_s:
            return
        self._logged_s = self._clock()
        lines = self._lines.take()
        if not lines:
            return
        try:
            self._workspace.put_log(self._log_number, "".join(f"{line}\n" for line in lines).encode())
            self._log_number += 1
            self._vital.count(self._number, self._log_number)
        except StorageError:
            self._lines.put_back(lines)
