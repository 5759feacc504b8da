"""One run and all that it takes to carry it through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from runner.spending import END_RESERVE_S
from runner.ticket import End
from runner.watch import Patience

if TYPE_CHECKING:
    from decimal import Decimal

    from runner.bucket import RunBucket
    from runner.provider import Offer
    from runner.records import WorkPlan
    from runner.ticket import Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An offer that can serve the plan."""

    offer: Offer
    traffic_usd: Decimal
    """The most that its traffic can cost."""
    deadline_s: float | None = None
    """When it has to be over there, for a reason of its own."""


class Access(Protocol):
    """What makes a machine able to do the work, and unable again."""

    def boot(self, label: str, *, deadline_s: float, offer: Offer) -> str:
        """Write the bootstrap of one instance; the URL where it alone finds it."""
        ...

    def revoke(self, label: str | None = None) -> None:
        """Take back what one instance was given; without a label, what all were. Harmless when repeated."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run and what it needs."""

    plan: WorkPlan
    ticket: Ticket
    bucket: RunBucket
    access: Access
    image: str
    command: tuple[str, ...] = ()
    image_login: str | None = field(default=None, repr=False)
    """Registry login, for private images."""
    patience: Patience = field(default_factory=Patience)
    poll_s: float = 3.0
    """Between two looks at the bucket."""
    ask_s: float = 12.0
    """Between two questions to the provider."""
    boot_ask_s: float = 5.0
    """As long as the worker has not said a word."""
    end_reserve_s: float = END_RESERVE_S
    sweep_s: float = 90.0
    """Between two looks for instances of the run that should not be."""
    search_pause_s: float = 30.0
    """Between two searches, while nothing suitable is offered."""
    least_s: float = 120.0
    """An instance that could only run shorter than this is not rented."""


def end_run(job: Job, state: str, *, now_s: float, spent: Decimal, message: str = "") -> End:
    """Take back what machines were given and note that nothing more may be rented for the run."""
    end = End.model_validate({"state": state, "time_s": now_s, "message": message, "spent_usd": str(spent)})
    job.bucket.write(job.bucket.folder.end, end)
    job.access.revoke()
    return end
