"""One run in bad weather: a seed decides what goes wrong and when, and afterwards everything is counted."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from runner.bucket import Bucket
from runner.job import end_run
from runner.journal import PREFIX
from runner.reap import GRACE_S
from runner.ticket import Ticket, new_run
from storage.uri import LocalUri
from tests.runner.chaos.laptop import Order, RentedStage
from tests.runner.chaos.reaper import CalledReaper
from tests.runner.chaos.traffic import IMAGE_BYTES, Traffic
from tests.runner.chaos.weather import EVENTS, LATE_EVENTS, laptop_dies
from tests.runner.fleet.stage import STUB, make_plan
from tests.runner.vast.clocks import ScaledClock
from tests.runner.vast.fake import ACCOUNT_KEY, Boot, FakeVast, Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.runner.chaos.reaper import Reaper
    from tests.runner.vast.fake_instance import FakeInstance

SPEED: Final = 60.0
SEGMENTS: Final = 8
LIMIT_S: Final = 240.0
"""Real seconds after which a run hangs."""
HOUR_S: Final = 3600.0
SOON_S: Final = 900.0
"""Deadline of a run that nobody comes back for, and nobody cancels."""
LAPTOPS: Final = 12
FINAL: Final = frozenset({"done", "PlanError"})
"""What a laptop says of a run that nobody goes on with."""
ROOT: Final = Path(__file__).parents[3]
OURS: Final = "framehaul/worker:1"
OWN: Final = "registry.test/somebody/worker:2"
"""An image that a user has built, which only the plan tells to be one of ours."""


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
    real: bool = False
    """Whether its workers were."""
    outcome: str = ""
    told: str = ""
    events: list[str] = field(default_factory=list)
    laptops: int = 0
    machines: int = 0
    losses: int = 0
    """Workers that had begun, beyond the first."""
    reaped: dict[str, int] = field(default_factory=dict)
    """Verdict -> instances that were found once the laptops were gone."""
    kept: int = 0
    """Times that reaping left an instance alone because its run went on."""
    misled: bool = False
    """Whether reaping ended well in bad weather, and something was left that was over: the next look found it."""
    unsure: int = 0
    """Times that reaping was given up in good weather, and said that something might still cost money."""
    billing: int = 0
    """Instances that still cost money after that."""
    doubled_segments: int = 0
    """Segments that were begun again, beyond one per loss."""
    doubled_outputs: int = 0
    corrupt: bool = False
    spent_usd: float = 0.0
    traffic_usd: float = 0.0
    """Of that."""
    told_usd: float | None = None
    """What the program says that was spent at most."""
    budget_usd: float = 0.0
    foreign_touched: bool = False

    @property
    def understated(self) -> bool:
        """Whether a run that its last laptop has seen end has cost more than that says."""
        return self.outcome in FINAL and self.told_usd is not None and self.spent_usd > self.told_usd

    @property
    def is_sound(self) -> bool:
        return not (
            self.billing or (self.unsure and not self.real) or self.doubled_segments or self.doubled_outputs
            or self.corrupt or self.foreign_touched or self.understated or self.spent_usd > self.budget_usd
        )  # fmt: skip

    def __str__(self) -> str:
        return json.dumps(asdict(self) | {"understated": self.understated})


class Storm:
    """The weather of one seed, over stubs that compute nothing."""

    clock: ScaledClock
    vast: FakeVast
    order: Order
    longest_s: float = 3.0
    """Real seconds within which things go wrong."""
    reaps: int = 120
    """Tries in good weather: by then, nothing that was asked for can come late."""
    events: tuple[Callable[[Storm], None], ...] = EVENTS

    def __init__(self, seed: int, nursery: Nursery, folder: Path) -> None:
        self.random = random.Random(seed)
        self.report = Report(seed=seed)
        self.nursery = nursery
        self.folder = folder
        self.pid = 0
        self.calm = False
        self.abandons = self.random.random() < 0.3
        """Whether nobody goes on once the last laptop has died: then there is only the reaper."""
        self.cancels = self.random.random() < 0.5
        """Whether somebody cancels it then, or its deadline ends it."""

    def run(self) -> Report:
        """All of it, with real processes; the report."""
        (self.folder / "vast").mkdir()
        root = self.folder / "run"
        (root / "bucket").mkdir(parents=True)
        self.clock = ScaledClock(SPEED, epoch_s=time.time())  # files have the machine's own times
        rng = self.random
        with FakeVast(self.folder / "vast", clock=self.clock, offers=24) as self.vast:
            named = rng.random() < 0.5
            self.order = Order(
                root=str(root), url=self.vast.url, key=ACCOUNT_KEY, run=new_run(self.clock.time()),
                speed=SPEED, epoch_s=self.clock.epoch_s, since_s=self.clock.since_s, segments=SEGMENTS,
                deadline_s=SOON_S if self.abandons and not self.cancels else 6 * HOUR_S,
                image=OWN if named else OURS, named=named, budget=rng.choice(["0.08", "0.1", "0.15", "1", "1", "1"]),
                traffic_size=rng.choice([0.4, 1.0, 2.5]), segment_s=rng.choice([0.1, 0.2, 0.3]),
                refusals=rng.choice([0, 0, 0, 1, 2]), result="",
            )  # fmt: skip
            self.vast.images[self.order.image] = Image(entrypoint=STUB, size_bytes=IMAGE_BYTES)
            traffic = Traffic(segments=SEGMENTS, size=self.order.traffic_size)
            self.vast.traffic = partial(traffic.moved, root / "ledger")
            self.vast.boot = Boot(new_s=2, loading_s=rng.choice([10, 10, 40, 120]), restart_s=5)
            others = self._add_others(Bucket(LocalUri(root / "bucket")))
            self._go_on()
            stage = RentedStage(self.order)
            self._clear_up(CalledReaper(stage, has_journal=rng.random() < 0.5), stage)
            self._count(others)
            self._check_work(stage)
        return self.report

    def _go_on(self) -> None:
        """Laptops one after the other, until one says how the run ended."""
        self.report.budget_usd = float(self.order.budget)
        until = time.monotonic() + LIMIT_S
        count = self.random.randint(1, 6)
        events = sorted(
            ((self.random.uniform(0.05, self.longest_s), self.random.choice(self.events)) for _ in range(count)),
            key=lambda one: one[0],
        )
        if self.abandons:
            events.append((self.random.uniform(0.5, self.longest_s), laptop_dies))
        start = before = time.monotonic()
        self._open_laptop()
        while True:
            assert time.monotonic() < until, f"seed {self.report.seed} hangs: {self.report}"
            if self._is_quiet(before - start):
                start += time.monotonic() - before
            before = time.monotonic()
            now = before - start
            if events and events[0][0] <= now:
                event = events.pop(0)[1]
                self.report.events.append(event.__name__)
                event(self)
            self.calm = not events
            if self._has_ended():
                return
            time.sleep(0.01)

    def _is_quiet(self, now_s: float) -> bool:
        """Whether the weather waits at this moment of its own time."""
        del now_s
        return False

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
        self.report.told_usd = float(told["spent"])
        final = told["outcome"] in FINAL
        if not final and self.report.laptops < LAPTOPS:
            if self.calm:
                self.vast.faults.clear()
            self._open_laptop()  # the user reads the message, and goes on
            return False
        return True

    def kill_laptop(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _add_others(self, bucket: Bucket) -> list[FakeInstance]:
        """Instances that nobody here may touch; one of them does a run in the same bucket, which goes on."""
        run, image, now_s = new_run(self.clock.time()), self.order.image, self.clock.time()
        folder = bucket.run(run)
        folder.write(
            folder.folder.ticket,
            Ticket(
                run=run, created_s=now_s, deadline_s=now_s + 24 * HOUR_S, provider="vast", given_input="in",
                given_output="out", made="out", host="there",
            ),
        )  # fmt: skip
        plan = make_plan(run, SEGMENTS, "out")
        spec = plan.spec.model_copy(update={"image": image if self.order.named else None})
        folder.write(folder.folder.plan, plan.model_copy(update={"spec": spec}))
        return [
            self.vast.add_foreign(label="framehaul-mine", image=image),
            self.vast.add_foreign(label=f"{PREFIX}{self.order.run}-0-ab12cd34", image="somebody/else:1"),
            self.vast.add_foreign(label=f"{PREFIX}{run}-0-ab12cd34", image=image),
        ]

    def _clear_up(self, reaper: Reaper, stage: RentedStage | None) -> None:
        """The last laptop is gone, and somebody reaps: in bad weather, once it is good, and after what comes late."""
        rng, vast = self.random, self.vast
        for event in rng.sample(LATE_EVENTS, rng.randint(0, 3)):
            self.report.events.append(f"late {event.__name__}")
            event(self)
        if stage is not None and rng.random() < 0.25:
            with _hidden(stage):
                reaper.once()
        if self._reap(reaper, rng.randint(1, 3)):
            self.report.misled = self.report.outcome != "abandoned" and bool(vast.billing())
        with vast.lock:
            vast.faults.clear()
            vast.silent_until_s = 0.0
        if self.report.outcome == "abandoned" and self.cancels:
            self._cancel(stage)
        for _ in range(2):
            self._wait(stage)
            self.report.unsure += not self._reap(reaper, self.reaps)
        self.report.reaped, self.report.kept = dict(reaper.seen.destroyed), reaper.seen.kept

    def _reap(self, reaper: Reaper, tries: int) -> bool:
        """Again and again until it ends well; whether it did."""
        for _ in range(tries):
            if reaper.once():
                return True
            self.clock.sleep(10)
        return False

    def _cancel(self, stage: RentedStage | None) -> None:
        """Somebody cancels the run, on a laptop that dies before it has ended anything."""
        assert stage is not None
        end_run(stage.conductor().job, "cancelled", now_s=self.clock.time(), spent=Decimal(0))

    def _wait(self, stage: RentedStage | None) -> None:
        """Until whatever comes back is back, and what still works has ended by itself or is overdue."""
        while self.vast.resurrections:
            time.sleep(0.02)
        self.clock.sleep(30)
        if stage is None or self.report.outcome != "abandoned" or self.cancels:
            return
        while self.vast.billing() and self.clock.time() < stage.ticket.deadline_s + GRACE_S + 5:
            time.sleep(0.05)

    def _count(self, others: list[FakeInstance]) -> None:
        report, vast = self.report, self.vast
        ours = [one for one in vast.instances.values() if not one.foreign]
        report.spent_usd = vast.spent_usd()
        report.traffic_usd = sum(one.meter.traffic_usd for one in ours)
        report.billing = len(vast.billing())
        report.machines = len(ours)
        report.foreign_touched = not all(one.exists for one in others)

    def _check_work(self, stage: RentedStage) -> None:
        """What the stubs have really done, by their own book."""
        report = self.report
        report.losses = max(0, stage.noted("started") - 1)
        begun = [stage.noted(f"begun-{n}") for n in range(SEGMENTS)]
        report.doubled_segments = max(0, sum(max(0, one - 1) for one in begun) - report.losses)
        report.doubled_outputs = max(0, stage.noted("output") - 1 - report.losses)
        if report.outcome == "done":
            wanted = "".join(f"segment {n}\n" for n in range(SEGMENTS))
            report.corrupt = not stage.output.exists() or stage.output.read_text() != wanted
        elif stage.output.exists():
            report.corrupt = stage.output.read_text().count("\n") != SEGMENTS


@contextmanager
def _hidden(stage: RentedStage) -> Iterator[None]:
    """The run's own folder cannot be read, which says nothing about the run."""
    folder = stage.root / "bucket/ctl" / stage.plan.run
    away = folder.with_name("away")
    folder.rename(away)
    folder.symlink_to(folder)
    try:
        yield
    finally:
        folder.unlink()
        away.rename(folder)
