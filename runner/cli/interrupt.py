"""Ctrl-C and requests to end: the command stops in time and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NoReturn

from runner.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

GRACE_S: Final = 0.5
"""How long a job may take to stop by itself before the process ends without it; Ctrl-C is answered within 2 s."""

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def end_on_signals() -> None:
    """Make a request to end (SIGTERM, or the terminal closing) do what Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        # What the caller set to be ignored, as nohup does, stays ignored.
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def ignore_signals() -> None:
    """All is done and the process is about to end with its exit code: Ctrl-C changes nothing any more."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def run_interruptibly(work: Callable[[threading.Event], Any], *, discard: Callable[[], None]) -> Any:
    """Run `work(stop)` in a thread of its own, while this one waits for it and for signals.

    A signal sets `stop`. When `work` has ended for it, or has not `GRACE_S` later, or a second signal comes,
    `discard()` puts away what is unfinished and the process ends at once: native code cannot be interrupted
    from outside, and closing an encoder that still has frames can take half a minute.
    Without a signal it returns what `work` returns and raises what it raises.
    """
    stop = threading.Event()
    job = _Job(work, stop)
    signals: list[float] = []

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        signals.append(monotonic())
        stop.set()

    main = threading.current_thread() is threading.main_thread()
    wanted = [n for n in SIGNALS if main and signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in wanted}
    try:
        job.start()
        while job.is_alive():
            job.join(0.1)
            if len(signals) > 1 or (signals and monotonic() > signals[0] + GRACE_S):
                _end_now(discard)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signals and job.error is not None:
        _end_now(discard)
    if job.error is not None:
        raise job.error
    return job.result


class _Job(threading.Thread):
    """A thread that keeps what its work returned or raised."""

    def __init__(self, work: Callable[[threading.Event], Any], stop: threading.Event) -> None:
        super().__init__(name="job", daemon=True)
        self._work = work
        self._stop_request = stop
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._work(self._stop_request)
        except BaseException as error:  # noqa: BLE001 - handed on to the waiting thread
            self.error = error


def _end_now(discard: Callable[[], None]) -> NoReturn:
    with suppress(OSError):
        discard()
    with suppress(OSError, ValueError):
        sys.stderr.write("runner: interrupted\n")
        sys.stderr.flush()
    os._exit(ExitCode.INTERRUPTED)
