"""The instances that one run has: which of them can go on with it, which are of no use, and their end.

One of them works at a time. More there are when the answer to a request was lost, when one comes back after its end,
or when two laptops carry the same run: then the one that was rented first goes on.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from runner.census import of_run
from runner.errors import ProviderError, RunnerError
from runner.images import OUR_IMAGES
from runner.lease import Lease, held
from runner.provider import State
from storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.accounts import Accounts
    from runner.job import Job
    from runner.lease import Market
    from runner.provider import Instance

log = logging.getLogger(__name__)

PREFERRED: Final = (State.RUNNING, State.LOADING)
"""Which of several instances that live already goes on."""


class Machines:
    """All instances of the run of `job`. `tell` is given what people should know."""

    def __init__(self, job: Job, market: Market, accounts: Accounts, *, tell: Callable[[str], None]) -> None:
        self._job = job
        self._market = market
        self._accounts = accounts
        self._tell = tell
        self._disarmed: set[str] = set()

    def alive(self, known: Sequence[Instance] = ()) -> list[Instance]:
        """Those that can go on with the run, best first; the others are ended, and counted no further.

        `known` were listed just now. Raises `ProviderError` where none can be listed: nothing may be rented then.
        """
        self._refresh()
        try:
            ours = self._listed(known or self._market.provider.instances())
        except ProviderError:
            if not known:
                raise
            ours = list(known)  # they are there and cost money: whatever else there is, the next look finds
        else:
            self._close_but(ours)
        useless = [one for one in ours if self._is_useless(one.label)]
        for instance in useless:
            self.end(instance)
        left = [one for one in ours if one not in useless]
        return sorted(left, key=lambda one: PREFERRED.index(one.state) if one.state in PREFERRED else len(PREFERRED))

    def sweep(self, keep: str | None) -> bool:
        """End instances that should not be there beside `keep`: left by an unknown outcome, or back after their end.

        What is proven not to be there is counted no further. True when `keep` itself should not be there: another
        laptop that carries this run rented one before it.
        """
        self._refresh()
        try:
            ours = self._listed(self._market.provider.instances())
        except ProviderError as error:
            log.info("%s cannot list now: %s", self._market.provider.name, error)
            return False
        kept = next((one for one in ours if one.id == keep), None)
        yields = False
        for instance in ours:
            if instance.id == keep:
                continue
            if self._is_older(instance, kept) and not self._is_useless(instance.label):
                yields = True
            else:
                self._tell(f"{instance} should not be there, and is ended")
                self.end(instance)
                with suppress(StorageError):
                    self._accounts.close(instance.label)
        self._close_but(ours)
        return yields

    def end(self, instance: Instance) -> None:
        """Destroy it and prove it."""
        with held(self._market, Lease(instance=instance, offer=None, created_s=0)):
            pass

    def disarm(self, label: str) -> None:
        """Take back what an instance had, so that it can do nothing should it come late or come back."""
        self._disarmed.add(label)
        try:
            self._job.access.revoke(label)
        except (StorageError, RunnerError) as error:
            log.warning("what %s was given could not be taken back, and expires by itself: %s", label, error)

    def _refresh(self) -> None:
        with suppress(StorageError):  # what is known here is what this machine has done
            self._accounts.refresh()

    def _listed(self, listed: Sequence[Instance]) -> list[Instance]:
        """Those of `listed` that are the run's, and what its own notes know of: a list can be empty and wrong."""
        images = {self._job.image, *OUR_IMAGES}
        asked = self._accounts.open_labels()
        found = {one.id: one for one in of_run(self._job.plan.run, listed, images=images, asked=asked)}
        for label in asked:
            rent = self._accounts.get(label)
            if rent is None or rent.instance is None or rent.instance in found:
                continue
            shown = self._market.provider.show(rent.instance)
            if shown is not None and shown.label == label:
                found |= {one.id: one for one in of_run(self._job.plan.run, [shown], images=images, asked=asked)}
        return list(found.values())

    def _close_but(self, ours: Sequence[Instance]) -> None:
        for label in set(self._accounts.open_labels()) - {one.label for one in ours}:
            with suppress(StorageError):
                self._accounts.close(label)

    def _is_useless(self, label: str) -> bool:
        """Whether it was ended or disarmed before: it is back, or late."""
        rent = self._accounts.get(label)
        return label in self._disarmed or (rent is not None and rent.ended_s is not None)

    def _is_older(self, instance: Instance, kept: Instance | None) -> bool:
        """Whether another laptop that carries this run rented it before `kept`."""
        other, own = self._accounts.get(instance.label), None if kept is None else self._accounts.get(kept.label)
        return other is not None and own is not None and (other.asked_s, other.label) < (own.asked_s, own.label)
