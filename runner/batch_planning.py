"""Files of a batch on their way to machines: which go together, with which encoders, and what all of them cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from runner.planning import part_of, rank, together
from runner.submission import conditions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from decimal import Decimal

    from runner.planning import Ranking
    from runner.provider import Provider
    from runner.submission import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Files that one machine can do one after the other."""

    drafts: tuple[Draft, ...]
    """With the encoder that each will have there."""
    ranking: Ranking
    """Where, and what all of them take and cost together."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Each once."""
        said = [text for one in self.drafts for text in one.facts.warnings]
        return tuple(dict.fromkeys([*said, *self.ranking.warnings]))


def groups(drafts: Sequence[Draft], provider: Provider, *, now_s: float) -> Iterator[list[int]]:
    """The numbers of `drafts` in groups for one machine each, mostly a single one."""
    if not drafts:
        return
    now = conditions(provider, now_s=now_s, started_s=drafts[0].started_s)
    parts = [part_of(one.plan.work, one.facts) for one in drafts]
    yield from together(parts, drafts[0].offers, now)


def settle(drafts: Sequence[Draft], provider: Provider, *, now_s: float, spent: Decimal) -> Settled:
    """What one machine would be and cost for all of `drafts`, which were planned one by one for the same offers.

    `spent` is what of their budget is gone. Raises `PlanError` where no machine can do them all within the limits.
    """
    now = conditions(provider, now_s=now_s, started_s=drafts[0].started_s, spent=spent)
    found = rank([part_of(one.plan.work, one.facts) for one in drafts], drafts[0].offers, now=now)
    settled = (replace(one, plan=replace(one.plan, work=work)) for one, work in zip(drafts, found.works, strict=True))
    return Settled(drafts=tuple(settled), ranking=found)
