"""Time, and requests to stop: what everything that waits waits with."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from runner.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
STEP_S: Final = 0.1


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait this long."""
        ...


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class StopRequest:
    """Whether somebody asked this process to stop. A flag and nothing more, so that no work is torn in the middle."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""
        """What has to be done before the end, for whoever asks; empty while that is nothing."""

    def __bool__(self) -> bool:
        return self.count > 0

    def make(self) -> None:
        self.count += 1

    def check(self) -> None:
        """Raises `Interrupted` once somebody has asked."""
        if self:
            raise Interrupted

    def forget(self) -> None:
        self.count = 0

    def wait(self, clock: Clock, seconds: float) -> None:
        """Let `seconds` pass, or fewer when a request comes."""
        until = clock.now() + seconds
        while not self and (left := until - clock.now()) > 0:
            clock.sleep(min(left, STEP_S))


@contextmanager
def stop_on_signals(stop: StopRequest, *, say: str = "") -> Iterator[StopRequest]:
    """While the block runs, Ctrl-C and requests to end set `stop` instead of ending anything in the middle.

    `say` is printed for each, with what has to be done first. Outside the main thread, and for what the caller has
    set to be ignored (as nohup does), nothing changes.
    """

    def note(_number: int, _frame: FrameType | None) -> None:
        stop.make()
        if say:
            with suppress(OSError, ValueError, RuntimeError):  # the terminal may be gone: that was the signal
                sys.stderr.write(f"\n{say}: {stop.first}\n" if stop.first else f"\n{say}\n")

    main = threading.current_thread() is threading.main_thread()
    wanted = [number for number in SIGNALS if main and signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in wanted}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
