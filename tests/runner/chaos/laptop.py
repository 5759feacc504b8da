"""A laptop that can be killed: carries one run through, or goes on with it, as a process of its own.

Run as a program it is a nursery: every line on standard input is the JSON of one laptop, which is forked off and
whose process id is printed. So hundreds start quickly, and SIGKILL is SIGKILL.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from runner.errors import ProviderError, RunnerError
from runner.images import OUR_IMAGES
from runner.job import end_run
from runner.journal import run_of
from runner.lease import Market
from runner.reap import Verdict, reap
from runner.runs import Buckets, KnownRuns
from runner.ticket import End, Ticket
from runner.vast.api import VastClient
from runner.vast.key import ApiKey
from runner.vast.provider import VastProvider
from runner.watch import Patience
from tests.runner.chaos.traffic import Traffic
from tests.runner.fleet.stage import FileAccess, Stage, make_plan

if TYPE_CHECKING:
    from decimal import Decimal

    from runner.provider import Offer

PATIENCE: Final = Patience(boot_s=240, quiet_boot_s=150, stall_s=150, unreachable_s=60)
HEAVY: Final = "tests.runner.chaos.real_laptop"
"""The module of laptops that carry real jobs: it loads all that a job needs."""


class Order(BaseModel):
    """What one laptop is told."""

    root: str
    url: str
    key: str
    run: str
    speed: float
    epoch_s: float
    since_s: float
    """Of the market's clock, by the machine's monotonic one."""
    deadline_s: float
    """Of the run, seconds after its beginning."""
    image: str
    named: bool = False
    """Whether the run's plan names the image, as a user does who has one of his own."""
    segments: int
    budget: str
    traffic_size: float = 1.0
    segment_s: float = 0.1
    refusals: int = 0
    result: str
    environment: dict[str, str] = {}
    spec: str | None = None
    """The JSON of a real job; without one, workers are stubs."""
    bucket: str = ""
    """Of a real job."""


@dataclass
class FastClock:
    """The market's clock, in another process."""

    speed: float
    epoch_s: float
    since_s: float

    def now(self) -> float:
        return self.epoch_s + (time.monotonic() - self.since_s) * self.speed

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds) / self.speed)

    def real(self, then_s: float) -> float:
        """The same moment on the machine's own clock."""
        return time.time() + (then_s - self.now()) / self.speed


class RentedStage(Stage):
    """A run on the fake Vast.ai, taken up where it stands."""

    patience = PATIENCE

    def __init__(self, order: Order) -> None:
        self.order = order
        self.fast = FastClock(order.speed, order.epoch_s, order.since_s)
        self.traffic = Traffic(segments=order.segments, size=order.traffic_size)
        client = VastClient(
            ApiKey(secret=order.key, origin="the test"), url=order.url, clock=self.fast.now, sleep=self.fast.sleep,
            read_timeout_s=5.0, patience_s=30.0,
        )  # fmt: skip
        super().__init__(
            Path(order.root), VastProvider(client), segments=order.segments, budget=order.budget, clock=self.fast,
            deadline_s=order.deadline_s, segment_s=order.segment_s, destroy_url=order.url,
        )  # fmt: skip
        self.image = order.image
        self.files = SlowedAccess(self, self.files.boot, refusals=order.refusals)

    @property
    def market(self) -> Market:
        return Market(provider=self.provider, journal=self.journal, clock=self.fast, stop=self.stop)

    @property
    def location(self) -> str:
        """Where runs lie, as `--bucket` has it."""
        return str(self.bucket)

    def traffic_usd(self, offer: Offer, done: frozenset[int]) -> Decimal:
        return self.traffic.most_usd(offer, len(done))

    def _begin(self, segments: int, budget: str | None, deadline_s: float) -> None:
        """The run that was ordered: a laptop that comes later finds it as the first has left it."""
        bucket = self.bucket.run(self.order.run)
        plan = make_plan(self.order.run, segments, str(self.output), budget)
        if self.order.named:
            plan = plan.model_copy(update={"spec": plan.spec.model_copy(update={"image": self.order.image})})
        self.plan, self.run = plan, bucket
        found = bucket.read(bucket.folder.ticket, Ticket)
        if found is None:
            now_s = self.clock.now()
            found = Ticket(
                run=plan.run, created_s=now_s, deadline_s=now_s + deadline_s, provider=self.provider.name,
                given_input="in", budget_usd=plan.spec.budget_usd, given_output=str(self.output),
                made=str(self.output), host="here",
            )  # fmt: skip
            bucket.write(bucket.folder.ticket, found)
            bucket.write(bucket.folder.plan, plan)
        self.ticket = found


class SlowedAccess(FileAccess):
    """Bootstraps whose deadlines are on the machine's own clock, as the stub's is."""

    def boot_url(self, label: str, deadline_s: float) -> str:
        assert isinstance(self.run, RentedStage)
        return super().boot_url(label, self.run.fast.real(deadline_s))


def open_stage(order: Order) -> RentedStage:
    """With stubs, or with real workers."""
    if order.spec is None:
        return RentedStage(order)
    stage: RentedStage = importlib.import_module(HEAVY).RealStage(order)
    return stage


def work(order: Order) -> dict[str, Any]:
    """Carry the run through, as `runner submit` and `runner resume` do; what became of it."""
    try:
        stage = open_stage(order)
    except RunnerError as error:  # nothing is written, and nothing was rented
        return {"outcome": type(error).__name__, "told": str(error), "spent": "0"}
    end = stage.run.read(stage.run.folder.end, End)
    if end is not None and end.state != "finished":
        stage.run.delete(stage.run.folder.end)
    conductor = stage.conductor(
        poll_s=3.0, ask_s=12.0, end_reserve_s=300.0, least_s=60.0, patience=stage.patience, search_pause_s=30.0
    )
    told, state = "", "finished"
    try:
        with suppress(ProviderError):  # a look at what is over, before anything else
            reap(
                stage.provider, stage.journal, KnownRuns(Buckets([stage.location])), images=OUR_IMAGES,
                clock=stage.fast, spare=frozenset({Verdict.UNKNOWN}),
            )  # fmt: skip
        alive = [one for one in stage.provider.instances() if run_of(one.label) == order.run]
        outcome = conductor.conduct(alive).value
    except RunnerError as error:
        outcome, told, state = type(error).__name__, str(error), "failed"
    spent = conductor.accounts.spent_usd()
    end_run(conductor.job, state, now_s=stage.fast.now(), spent=spent, message=told)
    return {"outcome": outcome, "told": told, "spent": str(spent)}


def nursery() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        order = Order.model_validate_json(line)
        if order.spec is not None:  # once, and not in every laptop again
            importlib.import_module(HEAVY)
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
        os.environ["XDG_STATE_HOME"] = f"{order.root}/state"
        os.environ.update(order.environment)
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
