"""A market in memory that fails in every way a real one does, and a process that can die between any two steps."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum, auto
from typing import TYPE_CHECKING

from runner.errors import OfferGoneError, RateLimitError, UnansweredError, UnknownOutcomeError
from runner.journal import Entry, Journal
from runner.provider import Instance, Offer, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.provider import InstanceRequest
    from runner.spec import Requirements

OURS = "registry.test/framehaul-worker:1"


class Killed(BaseException):
    """The process was killed: from here on, nothing that it tries has any effect."""


class Create(Enum):
    """How a request to rent goes."""

    WELL = auto()
    GONE = auto()
    LOST_AFTER = auto()
    LOST_BEFORE = auto()
    REFUSED_AFTER = auto()
    """An error that names the instance, which exists."""
    STOPPED = auto()
    """The reply is lost, and the instance is there, stopped."""
    TOO_OFTEN = auto()
    """Refused, with the advice to come back tomorrow."""


class Destroy(Enum):
    WELL = auto()
    LOST_AFTER = auto()
    LOST_BEFORE = auto()
    IGNORED = auto()
    """Answered as if it had been done."""
    BACK_LATER = auto()
    """Done, and some time later it is back."""


class Look(Enum):
    """How a question about what there is goes."""

    WELL = auto()
    LOST = auto()
    EMPTY = auto()
    """A list without anything in it, and wrong; who asks for one instance is told the truth."""
    LIE = auto()
    """Whatever is asked, there is nothing."""


class RefusedAfterError(UnknownOutcomeError):
    def __init__(self, instance_id: str) -> None:
        super().__init__("refused")
        self.instance_id = instance_id


@dataclass
class Life:
    """A clock, and a process that lives until its steps are used up."""

    now_s: float = 1_800_000_000.0
    steps_left: int | None = None

    def now(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.step()
        self.now_s += seconds

    def step(self) -> None:
        """Something with an effect is about to happen."""
        if self.steps_left is None:
            return
        if self.steps_left <= 0:
            raise Killed
        self.steps_left -= 1


@dataclass
class MemoryMarket:
    """Implements `runner.provider.Provider`."""

    life: Life
    creates: list[Create] = field(default_factory=list)
    destroys: list[Destroy] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    existing: dict[str, Instance] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    """Instances that the list leaves out."""
    back: list[tuple[float, Instance]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Labels of all requests to rent."""
    touched: list[str] = field(default_factory=list)
    """Instances whose end was asked for."""
    count: int = 0
    name: str = "memory"
    costs: bool = True

    def offers(
        self, requirements: Requirements, *, max_price_usd_per_h: Decimal | None, limit: int = 64
    ) -> Sequence[Offer]:
        del requirements, max_price_usd_per_h
        return [
            Offer(id=str(n), machine=f"m{n}", gpu_name="G", num_gpus=1, vram_gb=24, price_usd_per_h=Decimal(n + 1) / 10)
            for n in range(min(limit, 4))
        ]

    def create(self, offer: Offer, request: InstanceRequest) -> Instance:
        self.life.step()
        self.asked.append(request.label)
        how = self.creates.pop(0) if self.creates else Create.WELL
        if how is Create.GONE:
            raise OfferGoneError("gone")
        if how is Create.LOST_BEFORE:
            raise UnansweredError("lost")
        if how is Create.TOO_OFTEN:
            refused = RateLimitError("too often")
            refused.retry_after_s = 86_400.0
            raise refused
        made = self.add(request.label, request.image, offer, stopped=how is Create.STOPPED)
        self.life.step()
        if how in {Create.LOST_AFTER, Create.STOPPED}:
            raise UnknownOutcomeError("lost")
        if how is Create.REFUSED_AFTER:
            raise RefusedAfterError(made.id)
        return made

    def add(self, label: str, image: str, offer: Offer | None = None, *, stopped: bool = False) -> Instance:
        self.count += 1
        made = Instance(
            id=str(self.count),
            label=label,
            image=image,
            machine=offer.machine if offer else "m",
            state=State.STOPPED if stopped else State.LOADING,
            gpu_name="G",
            price_usd_per_h=Decimal(1),
            started_s=self.life.now(),
        )
        self.existing[made.id] = made
        return made

    def instances(self) -> Sequence[Instance]:
        if self._look() in {Look.EMPTY, Look.LIE}:
            return []
        return [one for one in self.existing.values() if one.id not in self.hidden]

    def show(self, instance_id: str) -> Instance | None:
        return None if self._look() is Look.LIE else self.existing.get(instance_id)

    def destroy(self, instance_id: str) -> None:
        self.life.step()
        self.touched.append(instance_id)
        how = self.destroys.pop(0) if self.destroys else Destroy.WELL
        if how is Destroy.LOST_BEFORE:
            raise UnansweredError("lost")
        if how is Destroy.IGNORED:
            return
        gone = self.existing.pop(instance_id, None)
        if how is Destroy.BACK_LATER and gone is not None:
            self.back.append((self.life.now() + 30, gone))
        if how is Destroy.LOST_AFTER:
            raise UnansweredError("lost")

    def logs(self, instance_id: str, *, lines: int = 100) -> Sequence[str]:
        del instance_id, lines
        return []

    def credit_usd(self) -> Decimal | None:
        return None

    def heal(self) -> None:
        """No more faults."""
        self.creates.clear()
        self.destroys.clear()
        self.looks.clear()

    def _look(self) -> Look:
        self.life.step()
        for entry in [one for one in self.back if one[0] <= self.life.now()]:
            self.back.remove(entry)
            self.existing[entry[1].id] = replace(entry[1], state=State.RUNNING)
        how = self.looks.pop(0) if self.looks else Look.WELL
        if how is Look.LOST:
            raise UnansweredError("lost")
        return how


class MortalJournal(Journal):
    """A journal whose process can die before or after a line is on disk."""

    def __init__(self, journal: Journal, life: Life) -> None:
        super().__init__(journal.path)
        self._life = life

    def write(self, entry: Entry) -> None:
        self._life.step()
        super().write(entry)
        self._life.step()
