"""One run in bad weather: a seed decides what goes wrong and when, and afterwards everything is counted."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from runner.ticket import new_run
from tests.runner.chaos.laptop import Order, RentedStage, clean_up
from tests.runner.fleet.stage import IMAGE, STUB
from tests.runner.vast.clocks import ScaledClock
from tests.runner.vast.fake import ACCOUNT_KEY, Boot, FakeVast, Image

if TYPE_CHECKING:
    from collections.abc import Callable

SPEED: Final = 60.0
SEGMENTS: Final = 8
LIMIT_S: Final = 180.0
"""Real seconds after which a run hangs."""
ROOT: Final = Path(__file__).parents[3]


class Nursery:
    """Where laptops come from."""

    def __enter__(self) -> Self:
        path = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.runner.chaos.laptop"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **path},
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, order: Order) -> int:
        """The process id of a new laptop."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order.model_dump_json() + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@dataclass(kw_only=True)
class Report:
    """What one run came to."""

    seed: int
    outcome: str = ""
    told: str = ""
    events: list[str] = field(default_factory=list)
    laptops: int = 0
    machines: int = 0
    losses: int = 0
    """Starts of a worker beyond the first."""
    reaped: int = 0
    """Instances that were there when the run was over, and were found."""
    billing: int = 0
    """Instances that still cost money after that."""
    doubled_segments: int = 0
    """Segments that were begun again, beyond one per loss."""
    doubled_outputs: int = 0
    corrupt: bool = False
    spent_usd: float = 0.0
    budget_usd: float = 0.0
    foreign_touched: bool = False

    @property
    def is_sound(self) -> bool:
        return not (
            self.billing or self.doubled_segments or self.doubled_outputs or self.corrupt or self.foreign_touched
            or self.spent_usd > self.budget_usd
        )  # fmt: skip

    def __str__(self) -> str:
        return json.dumps(asdict(self))


class Storm:
    """The weather of one seed."""

    def __init__(self, seed: int, nursery: Nursery, folder: Path) -> None:
        self.random = random.Random(seed)
        self.report = Report(seed=seed)
        self.nursery = nursery
        self.folder = folder
        self.pid = 0
        self.calm = False
        self.abandons = self.random.random() < 0.3
        """Whether nobody goes on once the last laptop has died: then there is only the reaper."""

    def run(self) -> Report:
        """All of it, with real processes; the report."""
        (self.folder / "vast").mkdir()
        (self.folder / "run").mkdir()
        clock = ScaledClock(SPEED)
        rng = self.random
        with FakeVast(self.folder / "vast", clock=clock, offers=24) as vast:
            self.vast = vast
            vast.images[IMAGE] = Image(entrypoint=STUB)
            vast.boot = Boot(new_s=2, loading_s=rng.choice([10, 10, 40, 120]), restart_s=5)
            foreign = vast.add_foreign(label="framehaul-mine", image=IMAGE)
            budget = rng.choice(["0.006", "0.008", "0.012", "0.5", "0.5", "0.5"])
            self.report.budget_usd = float(budget)
            self.order = Order(
                root=str(self.folder / "run"), url=vast.url, key=ACCOUNT_KEY, run=new_run(clock.time()), speed=SPEED,
                since_s=clock._since_s, segments=SEGMENTS, budget=budget, segment_s=rng.choice([0.1, 0.2, 0.3]),
                refusals=rng.choice([0, 0, 0, 1, 2]), result="",
            )  # fmt: skip
            self._go_on()
            self._count(foreign_lives=foreign.exists)
        return self.report

    def _go_on(self) -> None:
        """Laptops one after the other, until one says how the run ended."""
        until = time.monotonic() + LIMIT_S
        count = self.random.randint(1, 6)
        events = sorted(
            ((self.random.uniform(0.05, 3.0), self.random.choice(EVENTS)) for _ in range(count)), key=lambda one: one[0]
        )
        if self.abandons:
            events.append((self.random.uniform(0.5, 3.0), laptop_dies))
        start = time.monotonic()
        self._open_laptop()
        while True:
            assert time.monotonic() < until, f"seed {self.report.seed} hangs: {self.report}"
            now = time.monotonic() - start
            if events and events[0][0] <= now:
                event = events.pop(0)[1]
                self.report.events.append(event.__name__)
                event(self)
            self.calm = not events
            if self._has_ended():
                return
            time.sleep(0.01)

    def _open_laptop(self) -> None:
        self.report.laptops += 1
        result = self.folder / f"result-{self.report.laptops}.json"
        self.order = self.order.model_copy(update={"result": str(result)})
        self.pid = self.nursery.start(self.order)

    def _has_ended(self) -> bool:
        path = Path(self.order.result)
        trace = Path(f"{path}.trace")
        assert not trace.exists(), f"seed {self.report.seed}: {trace.read_text()}"
        if not path.exists():
            if not Path(f"/proc/{self.pid}").exists() and not path.exists() and not trace.exists():
                if self.abandons and self.calm:
                    self.report.outcome = "abandoned"
                    return True
                self._open_laptop()  # its owner finds it dead, and opens another
            return False
        told = json.loads(path.read_text())
        self.report.outcome, self.report.told = told["outcome"], told["told"]
        final = told["outcome"] in {"done", "PlanError"}
        if not final and self.report.laptops < 12:
            if self.calm:
                self.vast.faults.clear()
            self._open_laptop()  # the user reads the message, and goes on
            return False
        return True

    def kill_laptop(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _count(self, *, foreign_lives: bool) -> None:
        report, vast = self.report, self.vast
        # The last laptop is gone, the weather is good, and somebody reaps: at once, and after what comes back late.
        with vast.lock:
            vast.faults.clear()
            vast.silent_until_s = 0.0
        stage = RentedStage(self.order)
        report.reaped = clean_up(stage)
        while vast.resurrections:
            time.sleep(0.02)
        stage.fast.sleep(30)
        report.reaped += clean_up(stage)
        ours = [one for one in vast.instances.values() if not one.foreign]
        report.billing = len(vast.billing())
        report.machines = len(ours)
        report.losses = max(0, sum(one.starts for one in ours) - 1)
        begun = [stage.noted(f"begun-{n}") for n in range(SEGMENTS)]
        report.doubled_segments = max(0, sum(max(0, one - 1) for one in begun) - report.losses)
        outputs = stage.noted("output")
        report.doubled_outputs = max(0, outputs - 1 - report.losses)
        report.spent_usd = vast.spent_usd()
        report.foreign_touched = not foreign_lives
        if report.outcome == "done":
            wanted = "".join(f"segment {n}\n" for n in range(SEGMENTS))
            report.corrupt = not stage.output.exists() or stage.output.read_text() != wanted
        elif stage.output.exists():
            report.corrupt = stage.output.read_text().count("\n") != SEGMENTS


def laptop_dies(storm: Storm) -> None:
    storm.kill_laptop()


def worker_dies(storm: Storm) -> None:
    for number in storm.vast.billing():
        storm.vast.kill(number)


def outbid(storm: Storm) -> None:
    for number in storm.vast.billing()[:1]:
        storm.vast.outbid(number)


def host_vanishes(storm: Storm) -> None:
    for number in storm.vast.billing()[:1]:
        storm.vast.go_offline(number)


def silence(storm: Storm) -> None:
    storm.vast.silence(storm.random.choice([20, 90, 240]))


def both_die(storm: Storm) -> None:
    laptop_dies(storm)
    worker_dies(storm)


def create_reply_lost(storm: Storm) -> None:
    storm.vast.break_next("create", lose=True)


def create_fails_and_works(storm: Storm) -> None:
    storm.vast.break_next("create", status=502, after=True, contract=storm.random.random() < 0.5)


def create_dropped(storm: Storm) -> None:
    storm.vast.break_next("create", drop=True, times=2)


def empty_lists(storm: Storm) -> None:
    storm.vast.break_next("list", empty=True, times=3, lie=storm.random.random() < 0.3)


def destroy_fails(storm: Storm) -> None:
    how: dict[str, Any] = storm.random.choice(
        [{"status": 500}, {"status": 500, "after": True}, {"lose": True}, {"status": 429}]
    )
    storm.vast.break_next("destroy", times=storm.random.randint(1, 3), **how)


def show_fails(storm: Storm) -> None:
    storm.vast.break_next("show", times=4, status=storm.random.choice([500, 502, 429]))


def comes_back(storm: Storm) -> None:
    storm.vast.resurrect_next(storm.random.choice([0.0, 20.0, 60.0]))


def slow_answers(storm: Storm) -> None:
    storm.vast.break_next("*", times=3, delay_s=storm.random.choice([1.0, 20.0]))


EVENTS: Final[tuple[Callable[[Storm], None], ...]] = (
    laptop_dies, laptop_dies, laptop_dies, worker_dies, worker_dies, both_die, outbid, host_vanishes, silence,
    create_reply_lost, create_fails_and_works, create_dropped, empty_lists, destroy_fails, show_fails, comes_back,
    slow_answers,
)  # fmt: skip
