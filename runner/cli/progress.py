"""How a running job is shown: one live line on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from rich.progress import Progress as LiveProgress

T = TypeVar("T")
PLAIN_INTERVAL_S: Final = 5.0
"""Time between two lines where there is no terminal: often enough to see life, seldom enough for a log."""


class JobProgress(Protocol):
    """What a job tells about itself; `kernels.pipeline.Progress` has it."""

    @property
    def frames_out(self) -> int: ...
    @property
    def frames_total(self) -> int | None: ...
    @property
    def fps(self) -> float: ...
    @property
    def eta_s(self) -> float | None: ...
    @property
    def phase(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of progress, whatever is counted."""

    phase: str
    done: float
    total: float | None
    amount: str
    """`120/480 frames`."""
    speed: str
    eta_s: float | None

    def __str__(self) -> str:
        """`filtering  120/480 frames  25 %  34.1 fps  0:00:11 left`."""
        words = [self.phase, self.amount]
        if self.total:
            words.append(f"{min(100.0, 100.0 * self.done / self.total):.0f} %")
        if self.speed:
            words.append(self.speed)
        if self.eta_s is not None:
            words.append(f"{_clock(self.eta_s)} left")
        return "  ".join(words)


class ProgressDisplay(Protocol):
    """Shows progress while its block runs; `say` prints a line above it, `close` ends it early."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, progress: JobProgress) -> None: ...
    def show_line(self, line: Line) -> None: ...
    def say(self, line: str) -> None: ...
    def close(self) -> None: ...


def progress_display(*, quiet: bool) -> ProgressDisplay:
    """The display that suits where standard error goes."""
    if quiet:
        return PlainProgress(interval_s=None)
    return LiveLine() if sys.stderr.isatty() else PlainProgress(interval_s=PLAIN_INTERVAL_S)


def progress_text(progress: JobProgress) -> str:
    """One line: `filtering  120/480 frames  25 %  34.1 fps  0:00:11 left`."""
    return str(_frames_line(progress)) if progress.frames_out else progress.phase


class PlainProgress:
    """A line on standard error every `interval_s` seconds and at every new phase; none at all when it is None."""

    def __init__(self, *, interval_s: float | None) -> None:
        self._interval_s = interval_s
        self._next_s = monotonic() + (interval_s or 0)
        self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, progress: JobProgress) -> None:
        self._show(progress.phase, progress, progress_text)

    def show_line(self, line: Line) -> None:
        self._show(line.phase, line, str)

    def _show(self, phase: str, shown: T, text: Callable[[T], str]) -> None:
        now = monotonic()
        if self._interval_s is None or (now < self._next_s and phase == self._phase):
            return
        self._phase = phase
        self._next_s = now + self._interval_s
        self.say(text(shown))

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        pass


class LiveLine:
    """One line that redraws itself ten times a second, drawn by Rich."""

    def __init__(self) -> None:
        self._live = _live_progress()
        self._task = self._live.add_task("starting", total=None, amount="", speed="", left="")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def show(self, progress: JobProgress) -> None:
        self.show_line(_frames_line(progress))

    def show_line(self, line: Line) -> None:
        self._live.update(
            self._task,
            description=line.phase,
            completed=line.done,
            total=line.total or None,
            amount=line.amount,
            speed=line.speed,
            left=f"{_clock(line.eta_s)} left" if line.eta_s is not None else "",
        )

    def close(self) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _live_progress() -> LiveProgress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TextColumn("{task.fields[speed]}", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # printed lines go above the live one, but into a pipe as they are
    )


def _frames_line(progress: JobProgress) -> Line:
    total = f"/{progress.frames_total}" if progress.frames_total else ""
    noun = "frame" if progress.frames_out == 1 and not total else "frames"
    return Line(
        phase=progress.phase,
        done=progress.frames_out,
        total=progress.frames_total,
        amount=f"{progress.frames_out}{total} {noun}",
        speed=f"{progress.fps:.1f} fps" if progress.fps > 0 else "",
        eta_s=progress.eta_s,
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
