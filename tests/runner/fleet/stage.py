"""A run that is ready to be carried through: plan, ticket and access, over a folder as bucket."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.bucket import Bucket
from runner.clock import StopRequest, SystemClock
from runner.fleet import Conductor
from runner.follow import Follower
from runner.job import Candidate, Job
from runner.journal import BlackList, Journal
from runner.lease import Market
from runner.local import LocalProvider
from runner.records import Segment, SourceId, WorkPlan
from runner.spec import EncodeSpec, JobSpec
from runner.ticket import Ticket, new_run
from runner.watch import Patience
from storage.uri import LocalUri

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.clock import Clock
    from runner.job import Access
    from runner.provider import Offer, Provider
    from runner.standing import Choice, Standing

STUB: Final = (sys.executable, "-S", "-E", str(Path(__file__).with_name("stub_worker.py")))
FRAMES: Final = 10
"""Per segment."""
IMAGE: Final = "registry.test/framehaul-worker:1"
PATIENCE: Final = Patience(boot_s=20, quiet_boot_s=10, stall_s=10, unreachable_s=5)


def local(folder: Path, program: Sequence[str] = STUB) -> LocalProvider:
    return LocalProvider(folder / "instances", program=program)


@dataclass
class FileAccess:
    """Bootstraps as files, for the stub."""

    run: Stage
    boot: dict[str, Any] = field(default_factory=dict)
    refusals: int = 0
    """How many workers give their machine up."""
    revoked: int = 0
    given: list[str] = field(default_factory=list)

    def boot_url(self, label: str, deadline_s: float) -> str:
        path = self.run.root / f"boot-{label}.json"
        plan = self.run.plan
        facts = {
            "worker": label, "plan": plan.digest, "folder": str(self.run.root / "bucket/runs" / plan.run),
            "ledger": str(self.run.ledger), "output": plan.spec.output, "deadline_s": deadline_s,
            "segments": [one.model_dump() for one in plan.segments], "refuses": len(self.given) < self.refusals,
        }  # fmt: skip
        path.write_text(json.dumps(facts | self.boot))
        self.given.append(label)
        return str(path)


class Opened:
    """`FileAccess` as the fleet asks for it."""

    def __init__(self, files: FileAccess) -> None:
        self.files = files

    def boot(self, label: str, *, deadline_s: float, offer: Offer) -> str:
        del offer
        return self.files.boot_url(label, deadline_s)

    def revoke(self, label: str | None = None) -> None:
        self.files.revoked += 1
        for path in self.files.run.root.glob(f"boot-{label or '*'}.json"):
            path.unlink(missing_ok=True)


class Stage:
    """Everything around one run."""

    def __init__(
        self,
        root: Path,
        provider: Provider,
        *,
        segments: int = 4,
        budget: str | None = None,
        clock: Clock | None = None,
        deadline_s: float = 600,
        **boot: Any,
    ) -> None:
        self.root = root
        self.provider = provider
        self.image = IMAGE
        self.clock = clock or SystemClock()
        self.stop = StopRequest()
        self.ledger = root / "ledger"
        self.output = root / "out.txt"
        self.bucket = Bucket(LocalUri(root / "bucket"))
        (root / "bucket").mkdir(exist_ok=True)
        self._begin(segments, budget, deadline_s)
        self.files = FileAccess(self, boot)
        self.shown: list[Standing] = []
        self.choices: list[Choice] = []
        self.shunned = BlackList(root / "machines.json")
        self.journal = Journal(root / "journal.jsonl")
        self.on_show: Callable[[Standing], None] | None = None

    def _begin(self, segments: int, budget: str | None, deadline_s: float) -> None:
        """Write plan and ticket of a new run."""
        now_s = self.clock.now()
        self.plan = make_plan(self._new_run(), segments, str(self.output), budget)
        self.run = self.bucket.run(self.plan.run)
        self.run.write(self.run.folder.plan, self.plan)
        self.ticket = Ticket(
            run=self.plan.run, created_s=now_s, deadline_s=now_s + deadline_s, provider=self.provider.name,
            given_input="in", budget_usd=self.plan.spec.budget_usd, given_output=str(self.output),
            made=str(self.output), host="here",
        )  # fmt: skip
        self.run.write(self.run.folder.ticket, self.ticket)

    def _new_run(self) -> str:
        return new_run(self.clock.now())

    @property
    def market(self) -> Market:
        return Market(
            provider=self.provider, journal=self.journal, clock=self.clock, stop=self.stop, end_limit_s=20,
            looks_s=(0.0, 0.3),
        )  # fmt: skip

    def conductor(self, **job: Any) -> Conductor:
        given: dict[str, Any] = {
            "poll_s": 0.05,
            "ask_s": 0.2,
            "end_reserve_s": 1.0,
            "least_s": 1.0,
            "patience": PATIENCE,
            "search_pause_s": 0.2,
        } | job
        made = Job(
            plan=self.plan, ticket=self.ticket, bucket=self.run, access=self.access(), image=self.image, **given
        )  # fmt: skip
        return Conductor(
            made,
            self.market,
            Follower(self.run, self.plan),
            choose=self._choose,
            show=self._show,
            ask=lambda: self.choices.pop(0),
            shunned=self.shunned,
        )

    def access(self) -> Access:
        """What machines are given."""
        return Opened(self.files)

    def traffic_usd(self, offer: Offer, done: frozenset[int]) -> Decimal:
        """The most that the traffic of what is left can cost on `offer`."""
        del offer, done
        return Decimal(0)

    def _choose(self, shunned: frozenset[str], spent: Decimal, done: frozenset[int]) -> Sequence[Candidate]:
        del spent
        spec = self.plan.spec
        found = self.provider.offers(spec.requirements, max_price_usd_per_h=spec.max_price_usd_per_h)
        return [
            Candidate(offer=one, traffic_usd=self.traffic_usd(one, done)) for one in found if one.machine not in shunned
        ]

    def _show(self, standing: Standing) -> None:
        self.shown.append(standing)
        if self.on_show is not None:
            self.on_show(standing)

    def noted(self, what: str) -> int:
        """How often workers really did `what`."""
        return len(list(self.ledger.glob(f"{what}.*")))

    def check_output(self) -> None:
        """Every segment once, in order."""
        assert self.output.read_text() == "".join(f"segment {one.number}\n" for one in self.plan.segments)


def make_plan(run: str, segments: int, output: str, budget: str | None = None) -> WorkPlan:
    return WorkPlan(
        run=run,
        spec=JobSpec(
            input="in", output=output, container="mkv", encode=EncodeSpec(codec="ffv1"),
            budget_usd=None if budget is None else Decimal(budget), provider="local",
        ),
        source=SourceId(location="in", size_bytes=1, etag="e"),
        index_digest="0",
        frames=segments * FRAMES,
        segments=tuple(
            Segment(number=n, first=n * FRAMES, last=(n + 1) * FRAMES) for n in range(segments)
        ),
        encoder="software",
        code_version="0",
    )  # fmt: skip


def until(condition: Callable[[], bool], *, limit_s: float = 20) -> None:
    """Wait for `condition`; a test that waits in vain fails."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
