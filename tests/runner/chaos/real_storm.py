"""Storms over real workers: a film is cut, filtered, encoded without loss and joined while machines and laptops die."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from runner.records import Done, Progress
from runner.spec import EncodeSpec, JobSpec
from runner.ticket import End, new_run
from storage.errors import MissingError
from tests.kernels.io.jobs import samples
from tests.kernels.test_segments import facts, shown
from tests.runner.chaos.laptop import Order
from tests.runner.chaos.reaper import CommandReaper
from tests.runner.chaos.storm import HOUR_S, ROOT, Storm
from tests.runner.chaos.traffic import IMAGE_BYTES
from tests.runner.chaos.weather import EVENTS, both_die, outbid, worker_dies
from tests.runner.e2e.stage import cuts_inside_groups, opened
from tests.runner.submit.commands import Desk
from tests.runner.vast.clocks import ScaledClock
from tests.runner.vast.fake import IMAGE, Boot

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.chaos.storm import Nursery, Report
    from tests.runner.e2e.stage import Stage
    from tests.storage.server import Server

SPEED: Final = 20.0
CHAIN: Final = "hflip,unsharp"
SEGMENT_S: Final = 0.3
STORE_S: Final = 0.8
"""How long the store takes for a segment: so much work is under way when something goes wrong."""
EARLY_S: Final = 0.5
"""How much of the weather comes before the first worker starts, real seconds."""
START_S: Final = 1.0
"""How much of it comes before the first segment is done."""
PATIENCE_S: Final = 40.0
"""How long the weather waits for either."""
DONE: Final = re.compile(r"segment (\d+): \d+ frames")
"""What a worker says when it has committed one."""


@dataclass(frozen=True, kw_only=True)
class Film:
    """A source with open groups of pictures, and what one run on this machine makes of it."""

    source: bytes
    wanted: bytes


class RealStorm(Storm):
    """The weather of one seed, over workers that do what they do in life."""

    longest_s = 6.0
    reaps = 2  # what was asked for in vain is listed late for a quarter of an hour at most, by the commands' clock
    events = (*EVENTS, worker_dies, worker_dies, worker_dies, both_die, outbid, outbid)

    def __init__(self, seed: int, nursery: Nursery, folder: Path, server: Server, film: Film) -> None:
        super().__init__(seed, nursery, folder)
        self._began_s = time.monotonic()
        self.abandons = self.random.random() < 0.2
        self.cancels = True  # a command's clock cannot run ahead to the deadline
        self.server = server
        self.film = film
        self.report.real = True

    def run(self) -> Report:
        rng = self.random
        (self.folder / "laptop").mkdir()
        # Commands read the machine's own clock: at this one's beginning, both say the same.
        self.clock = ScaledClock(SPEED, epoch_s=time.time())
        with opened(self.folder, self.server, clock=self.clock, offers=24) as place:
            self.place, self.vast = place, place.vast
            image = self.vast.images[IMAGE]
            own = {"PYTHONPATH": str(ROOT)}  # of a machine, too
            self.vast.images[IMAGE] = replace(image, env=image.env | own, size_bytes=IMAGE_BYTES)
            self.desk = replace(place.desk, variables={**place.desk.variables, **own})
            self.vast.boot = Boot(new_s=2, loading_s=rng.choice([10, 40]), restart_s=5)
            self.server.break_next({"op": "PutObject", "path": "/seg/", "delay": STORE_S, "times": 10_000})
            place.store("input").put("in.mp4", self.film.source)
            self.order = self._order(place)
            others = self._add_others(place.run_bucket(self.order.run).bucket)
            self._go_on()
            self._clear_up(CommandReaper(self._other_desk(), place.location("work")), None)
            self._count(others)
            self._check_film()
        return self.report

    def _is_quiet(self, now_s: float) -> bool:
        """Laptop and worker take seconds to start: most of what goes wrong comes once there is something to lose."""
        if time.monotonic() > self._began_s + PATIENCE_S:
            return False
        machines = self.vast.instances.values()
        if now_s > EARLY_S and not any(one.starts for one in machines):
            return True
        return now_s > START_S and not any(DONE.search(one.log) for one in machines)

    def _order(self, place: Stage) -> Order:
        budget = self.random.choice(["0.1", "1", "1"])
        spec = JobSpec(
            input=place.location("input", "in.mp4"), output=place.location("output", "out.mkv"), chain=CHAIN,
            container="mkv", encode=EncodeSpec(codec="ffv1"), segment_s=SEGMENT_S, provider="vast", image=IMAGE,
            max_price_usd_per_h=Decimal(2), budget_usd=Decimal(budget), deadline_s=6 * HOUR_S,
        )  # fmt: skip
        return Order(
            root=str(self.folder / "laptop"), url=self.vast.url, key=place.vast_key, run=new_run(self.clock.time()),
            speed=SPEED, epoch_s=self.clock.epoch_s, since_s=self.clock.since_s, deadline_s=6 * HOUR_S, image=IMAGE,
            named=True, segments=7, budget=budget, result="", spec=spec.model_dump_json(),
            bucket=place.location("work"), environment=self.desk.environment,
        )  # fmt: skip

    def _other_desk(self) -> Desk:
        """Where somebody reaps: the machine that has rented, or one that has only the same keys."""
        desk = self.desk
        if self.random.random() < 0.5:
            return desk
        home = self.folder / "other"
        home.mkdir()
        return Desk(home=home, variables={**desk.variables, "XDG_CONFIG_HOME": str(desk.home / "config")})

    def _cancel(self, stage: object) -> None:
        """With the command itself, or with as much of it as a laptop has done that dies at its first step."""
        del stage
        found = self.place.run_bucket(self.order.run)
        if not found.exists(found.folder.plan):
            return
        if self.random.random() < 0.5:
            found.write(found.folder.end, End(state="cancelled", time_s=self.clock.time()))
            return
        done = self.desk.run("cancel", self.order.run, "--bucket", self.place.location("work"))
        # What was asked for and never answered may be listed late: the command says so, and what follows must find it.
        assert done.returncode == 0 or (done.returncode == 6 and "may list it late" in done.stderr), done.stderr

    def _check_film(self) -> None:
        """What the workers say they did, and what there is of it."""
        report, place = self.report, self.place
        run = place.run_bucket(self.order.run)
        logs = "".join(one.log for one in self.vast.instances.values())
        told = [run.read_told(run.folder.object(name), Progress) for name in run.names("events/")]
        states = Counter(one.state for one in told if one is not None)
        report.losses = max(0, states["booting"] - 1)
        report.doubled_segments = max(0, sum(n - 1 for n in Counter(DONE.findall(logs)).values()) - report.losses)
        report.doubled_outputs = max(0, states["done"] - 1 - report.losses)
        made = self._output()
        if report.outcome == "done":
            done = run.read(run.folder.object(run.folder.DONE), Done)
            report.corrupt = done is None or not done.ok or made is None
            assert len(cuts_inside_groups(self.film.source, place.plan(self.order.run))) >= 3
        if made is not None:
            report.corrupt |= not _same(made, self.film.wanted)

    def _output(self) -> bytes | None:
        try:
            return self.place.read("output", "out.mkv")
        except MissingError:
            return None


def _same(made: bytes, wanted: bytes) -> bool:
    """Every sample, every time, and all that is beside the picture."""
    return all(tell(made) == tell(wanted) for tell in (samples, shown, facts))
