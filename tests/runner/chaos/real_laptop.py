"""A laptop that carries a real job: plan, keys and offers as `runner submit` has them, on the market's fast clock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import runner.worker.main  # noqa: F401 - all that a job needs, loaded before laptops are forked off
from runner.access import RunAccess
from runner.bucket import Bucket
from runner.inspection import inspect_source
from runner.journal import BlackList, Journal
from runner.records import WorkPlan
from runner.runs import bucket_at
from runner.source_index import unpack_index
from runner.spec import JobSpec
from runner.submission import choose, draft, submit
from runner.ticket import Ticket
from runner.watch import Patience
from tests.runner.chaos.laptop import RentedStage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from runner.job import Access, Candidate
    from runner.provider import Offer
    from tests.runner.chaos.laptop import Order

PATIENCE: Final = Patience(boot_s=1800, quiet_boot_s=1800, stall_s=1200, unreachable_s=60)
"""Real workers start no faster than they do in life."""


class RealStage(RentedStage):
    """A run of a real job."""

    patience = PATIENCE

    def __init__(self, order: Order) -> None:
        super().__init__(order)
        self.journal = Journal()
        self.shunned = BlackList()

    @property
    def location(self) -> str:
        return self.order.bucket

    def access(self) -> Access:
        return ScaledAccess(self)

    def _begin(self, segments: int, budget: str | None, deadline_s: float) -> None:
        del segments, budget, deadline_s
        self.bucket = Bucket(bucket_at(self.order.bucket))
        self.run = self.bucket.run(self.order.run)
        ticket, plan = self.run.read(self.run.folder.ticket, Ticket), self.run.read(self.run.folder.plan, WorkPlan)
        spec = JobSpec.model_validate_json(self.order.spec or "")
        if ticket is None or plan is None:
            made = draft(spec, self.provider, now_s=self.clock.now(), code_version="0")
            named = made.plan.work.model_copy(update={"run": self.order.run})
            begun = submit(replace(made, plan=replace(made.plan, work=named)), self.provider, self.bucket)
            self.ticket, self.plan, self.facts = begun.ticket, begun.plan, begun.facts
            return
        index = unpack_index(self.run.read_bytes(self.run.folder.index) or b"", digest=plan.index_digest)
        # An output that is there may be this run's own, written just before its worker was lost.
        self.facts = inspect_source(plan.spec.model_copy(update={"overwrite": True}), index=index)
        self.ticket, self.plan = ticket, plan

    def _choose(self, shunned: frozenset[str], spent: Decimal, done: frozenset[int]) -> Sequence[Candidate]:
        return choose(
            self.provider, self.plan, self.ticket, self.facts, now_s=self.clock.now(), spent=spent, shunned=shunned,
            done=done,
        )  # fmt: skip


class ScaledAccess:
    """Three keys for each machine, and a deadline on its own clock."""

    def __init__(self, stage: RealStage) -> None:
        self._clock = stage.fast
        self._access = RunAccess(stage.run, stage.plan, provider="vast")

    def boot(self, label: str, *, deadline_s: float, offer: Offer) -> str:
        return self._access.boot(label, deadline_s=self._clock.real(deadline_s), offer=offer)

    def revoke(self, label: str | None = None) -> None:
        self._access.revoke(label)
