"""The process that starts before anything else on a machine, and ends the machine when its time has come.

It starts the work as a child, which tells it in small files how it goes. What ends the machine: the work is done,
the machine was given up, its time is over, the child never began, fell silent, or does not get on. On a rented
machine "end" is a request to destroy the instance, repeated until the provider says that it is gone; then it
sleeps, because a container that exits is started again and billed. On this machine it ends the child and exits.

Its notes are on disk, so that a restarted container has the limits and not a fresh clock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from runner.worker.self_destroy import SelfDestroyError, check_self_destroy, destroy_self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runner.clock import Clock

log = logging.getLogger(__name__)

BOOT_S: Final = 600.0
"""From the very first start to the first sign of a worker that has its boot document."""
POLL_S: Final = 0.5
MAX_CRASHES: Final = 3
"""Of the child, in a row; what brings it down more often will do so again."""
GRACE_S: Final = 5.0
"""A child that is asked to end gets this long."""
NO_LIMIT: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds since 1970, lengths in seconds."""

    boot_until_s: float
    """Before it the worker has to have its boot document."""
    deadline_s: float = NO_LIMIT
    """The machine's end, whatever it does."""
    idle_s: float = NO_LIMIT
    """Longest time without a sign of life."""
    stall_s: float = NO_LIMIT
    """Longest time without anything done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """When the worker last gave a sign, and when the mark of its progress last changed."""

    mark: object
    alive_s: float
    moved_s: float


def why_end(now_s: float, limits: Limits, seen: Seen | None) -> str | None:
    """Why the machine has to end now; None while it may go on."""
    if now_s >= limits.deadline_s:
        return "the machine's time is over"
    if seen is None or limits.deadline_s == NO_LIMIT:
        return "the work has not begun in time" if now_s >= limits.boot_until_s else None
    if now_s >= seen.alive_s + limits.idle_s:
        return f"the worker has been silent for {limits.idle_s:.0f} s"
    if now_s >= seen.moved_s + limits.stall_s:
        return f"the worker has done nothing for {limits.stall_s:.0f} s"
    return None


class Watchdog:
    """Runs `command` until it is done or has to end; `notes` is the folder that both write into."""

    def __init__(
        self,
        command: Sequence[str],
        notes: Path,
        clock: Clock,
        *,
        environment: Mapping[str, str],
        boot_s: float = BOOT_S,
    ) -> None:
        self._command = tuple(command)
        self._notes = notes
        self._clock = clock
        self._environment = dict(environment)
        self._child: subprocess.Popen[bytes] | None = None
        self._seen: Seen | None = None
        self._crashes = 0
        self._mark: object = None
        self._boot_until_s = self._first_start() + boot_s

    def run(self) -> str:
        """Why the work has ended, which is always known."""
        try:
            while True:
                reason = why_end(self._clock.now(), self._limits(), self._look())
                reason = reason or self._tend()
                if reason is not None:
                    return reason
                self._clock.sleep(POLL_S)
        finally:
            self.end_child()

    def end_child(self) -> None:
        """Nothing of the work runs on after this."""
        child, self._child = self._child, None
        if child is None:
            return
        with contextlib.suppress(OSError):
            child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin is not None:
            child.stdin.close()

    def _tend(self) -> str | None:
        """Start the child, or start it again; why nothing more will come of it, if so."""
        if self._child is None:
            self._child = subprocess.Popen(self._command, env=self._environment, stdin=subprocess.PIPE)
            return None
        code = self._child.poll()
        if code is None:
            return None
        self.end_child()
        if code == 0:
            return "done"
        if code == os.EX_TEMPFAIL:
            return "the machine was given up"
        self._crashes = 1 if self._seen is not None and self._seen.mark != self._mark else self._crashes + 1
        self._mark = None if self._seen is None else self._seen.mark
        log.warning("the work ended with code %d, the %d. time", code, self._crashes)
        return f"the work crashed {self._crashes} times" if self._crashes >= MAX_CRASHES else None

    def _look(self) -> Seen | None:
        now_s, told = self._clock.now(), _read(self._notes / "vital.json")
        if told is None:
            return self._seen
        with contextlib.suppress(OSError):
            changed = (self._notes / "vital.json").stat().st_mtime_ns
            mark = (told.get("state"), told.get("mark"))
            before = self._seen
            if before is None or before.mark != (mark, changed):
                moved_s = now_s if before is None or _mark_of(before) != mark else before.moved_s
                self._seen = Seen(mark=(mark, changed), alive_s=now_s, moved_s=moved_s)
        return self._seen

    def _limits(self) -> Limits:
        told = _read(self._notes / "limits.json")
        if told is None:
            return Limits(boot_until_s=self._boot_until_s)
        lengths = {name: float(told[name]) for name in ("deadline_s", "idle_s", "stall_s")}
        return Limits(boot_until_s=self._boot_until_s, **lengths)

    def _first_start(self) -> float:
        path = self._notes / "started.json"
        told = _read(path)
        if told is not None:
            return float(told["started_s"])
        now_s = self._clock.now()
        with contextlib.suppress(OSError):  # a disk that takes no note takes no work either, and the child says so
            self._notes.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_text(json.dumps({"started_s": now_s}), encoding="utf-8")
        return now_s


def watch(location: str, notes: Path, clock: Clock, *, boot_s: float = BOOT_S) -> int:
    """The whole life of a machine; the exit code, where the process may exit at all."""
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", level=logging.WARNING)
    rented = "CONTAINER_API_KEY" in os.environ
    environment = dict(os.environ)
    environment |= {"FRAMEHAUL_LIFELINE": "1", "FRAMEHAUL_STARTED_S": str(clock.now())}
    if not rented and "VAST_CONTAINERLABEL" in os.environ:
        environment["FRAMEHAUL_NO_SELF_DESTROY"] = "it has no CONTAINER_API_KEY"
    elif rented:
        try:
            check_self_destroy()
        except SelfDestroyError as error:
            environment["FRAMEHAUL_NO_SELF_DESTROY"] = str(error)
    command = [sys.executable, "-m", "runner", "worker", "--work"]
    dog = Watchdog(command, notes, clock, environment={**environment, "FRAMEHAUL_BOOT_URL": location}, boot_s=boot_s)
    signal.signal(signal.SIGTERM, lambda *_: _end_on_signal(dog))
    before = _read(notes / "ended.json") if rented else None
    try:
        reason = str(before["reason"]) if before else dog.run()
    except Exception as error:  # noqa: BLE001 - whatever happens, the machine has to end
        reason = f"the watchdog failed: {type(error).__name__}: {error}"
    log.warning("the work ends: %s", reason)
    if rented:
        with contextlib.suppress(OSError):
            (notes / "ended.json").write_text(json.dumps({"reason": reason}), encoding="utf-8")
        destroy_self(clock)
        _sleep_for_ever(clock)
    _forget(notes)
    return 0 if reason == "done" else os.EX_TEMPFAIL


def _end_on_signal(dog: Watchdog) -> NoReturn:
    dog.end_child()
    raise SystemExit(128 + signal.SIGTERM)


def _sleep_for_ever(clock: Clock) -> NoReturn:
    while True:
        clock.sleep(3600)


def _forget(notes: Path) -> None:
    """Keys do not stay on this machine longer than the work."""
    shutil.rmtree(notes, ignore_errors=True)


def _mark_of(seen: Seen) -> object:
    return seen.mark[0] if isinstance(seen.mark, tuple) else seen.mark


def _read(path: Path) -> dict[str, Any] | None:
    """What the worker noted; None where there is nothing yet. It replaces files whole."""
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None
