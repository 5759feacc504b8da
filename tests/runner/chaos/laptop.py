"""A laptop that can be killed: carries one run through, or goes on with it, as a process of its own.

Run as a program it is a nursery: every line on standard input is the JSON of one laptop, which is forked off and
whose process id is printed. So hundreds start quickly, and SIGKILL is SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from runner.errors import ProviderError, RunnerError
from runner.journal import Journal, run_of
from runner.lease import Market
from runner.reap import RunState, reap
from runner.ticket import Ticket
from runner.vast.api import VastClient
from runner.vast.key import ApiKey
from runner.vast.provider import VastProvider
from runner.watch import Patience
from tests.runner.fleet.stage import IMAGE, FileAccess, Stage, make_plan
from tests.runner.vast.clocks import EPOCH_S

PATIENCE = Patience(boot_s=240, quiet_boot_s=150, stall_s=150, unreachable_s=60)
DEADLINE_S = 6 * 3600.0
REAPS = 6


class Order(BaseModel):
    """What one laptop is told."""

    root: str
    url: str
    key: str
    run: str
    speed: float
    since_s: float
    """Of the market's clock, by the machine's monotonic one."""
    segments: int
    budget: str
    segment_s: float
    refusals: int = 0
    result: str


@dataclass
class FastClock:
    """The market's clock, in another process."""

    speed: float
    since_s: float

    def now(self) -> float:
        return EPOCH_S + (time.monotonic() - self.since_s) * self.speed

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds) / self.speed)

    def real(self, then_s: float) -> float:
        """The same moment on the machine's own clock."""
        return time.time() + (then_s - self.now()) / self.speed


class RentedStage(Stage):
    """A run on the fake Vast.ai, taken up where it stands."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.fast = FastClock(order.speed, order.since_s)
        client = VastClient(
            ApiKey(secret=order.key, origin="the test"), url=order.url, clock=self.fast.now, sleep=self.fast.sleep,
            read_timeout_s=5.0, patience_s=30.0,
        )  # fmt: skip
        super().__init__(
            Path(order.root), VastProvider(client), segments=order.segments, budget=order.budget, clock=self.fast,
            deadline_s=DEADLINE_S, segment_s=order.segment_s, destroy_url=order.url,
        )  # fmt: skip
        self.files = SlowedAccess(self, self.files.boot, refusals=order.refusals)

    @property
    def market(self) -> Market:
        return Market(provider=self.provider, journal=self.journal, clock=self.fast, stop=self.stop)

    def _begin(self, segments: int, budget: str | None, deadline_s: float) -> None:
        """The run that was ordered: a laptop that comes later finds it as the first has left it."""
        bucket = self.bucket.run(self.order.run)
        self.plan = make_plan(self.order.run, segments, str(self.output), budget)
        self.run = bucket
        found = bucket.read(bucket.folder.ticket, Ticket)
        if found is not None:
            self.ticket = found
            return
        super()._begin(segments, budget, deadline_s)

    def _new_run(self) -> str:
        return self.order.run


class SlowedAccess(FileAccess):
    """Bootstraps whose deadlines are on the machine's own clock, as the stub's is."""

    def boot_url(self, label: str, deadline_s: float) -> str:
        assert isinstance(self.run, RentedStage)
        return super().boot_url(label, self.run.fast.real(deadline_s))


def work(order: Order) -> dict[str, Any]:
    """Carry the run through; what became of it."""
    stage = RentedStage(order)
    conductor = stage.conductor(
        poll_s=3.0, ask_s=12.0, end_reserve_s=300.0, least_s=60.0, patience=PATIENCE, search_pause_s=30.0
    )
    try:
        alive = [one for one in stage.provider.instances() if run_of(one.label) == order.run]
        outcome = conductor.conduct(alive).value
    except RunnerError as error:
        outcome = type(error).__name__
        return {"outcome": outcome, "told": str(error), "spent": str(conductor.accounts.spent_usd())}
    return {"outcome": outcome, "told": "", "spent": str(conductor.accounts.spent_usd())}


class Over:
    """Every run is over: what reaping is told when a storm has passed."""

    def state(self, run: str) -> RunState:
        del run
        return RunState.FINISHED

    def image(self, run: str) -> str | None:
        del run
        return None

    def deadline_s(self, run: str, label: str) -> float | None:
        del run, label
        return None


def clean_up(stage: RentedStage) -> int:
    """`runner reap` once the run is over, again as long as it exits 6; how many instances were left."""
    journal: Journal = stage.journal
    count = 0
    for _ in range(REAPS):
        with suppress(ProviderError):
            done = reap(stage.provider, journal, Over(), images={IMAGE}, clock=stage.fast)
            count += len(done.destroyed)
            if not done.failures:
                break
    return count


def nursery() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = Order.model_validate_json(line)
        pid = os.fork()
        if pid == 0:
            _be_laptop(order)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def _be_laptop(order: Order) -> None:
    """In the forked process: never returns."""
    code = 1
    try:
        os.close(0)
        result = work(order)
        part = Path(f"{order.result}.new")
        part.write_text(json.dumps(result))
        part.replace(order.result)
        code = 0
    except BaseException:  # noqa: BLE001 - the edge of a process
        import traceback

        Path(f"{order.result}.trace").write_text(traceback.format_exc())
    finally:
        os._exit(code)


if __name__ == "__main__":
    nursery()
