"""The life of a run: rent, follow, replace what is lost, until it is done, cancelled, or allowed no more.

Everything that decides is pure and elsewhere (`watch`, `spending`); everything that rents is in `lease`. What is
here asks, writes down, and does what they say. The run's folder has the whole state, so that any machine with the
credentials can carry on after this one has gone.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from runner.accounts import Accounts
from runner.errors import OfferGoneError, PlanError, ProviderError, WorkerError
from runner.journal import BlackList
from runner.lease import Lease, held, lease
from runner.machines import Machines
from runner.spending import Rent
from runner.standing import Choice, Outcome, Standing
from runner.watch import Kind, Sight, Verdict, Watch, step
from storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from decimal import Decimal

    from runner.follow import Follows, News
    from runner.job import Candidate, Job
    from runner.journal import Entry
    from runner.lease import Market
    from runner.provider import Instance, InstanceRequest, Offer
    from runner.records import Done

log = logging.getLogger(__name__)

SHUN_S: Final = 3600.0
"""How long a machine that failed is left alone: faults of hosts pass."""
MAX_LOSSES: Final = 8
"""Instances in a row that end without one more segment: then the work is at fault, not the machines."""
MAX_MISSES: Final = 8
"""Searches in a row of which every offer was somebody else's by the time it was asked for."""
SEARCHES: Final = 3
OWED: Final = "a rented machine is ended first, which can take a minute"
AT_WORK: Final = frozenset({"processing", "joining"})
"""What a worker says once it has found its machine good enough."""


class Conductor:
    """Carries one run through.

    `choose` gives what can serve the rest of the plan, best first, without the machines that are shunned, from what
    was spent and which segments are done; it may raise `PlanError`. `show` is told how it stands; `ask` is asked when
    somebody interrupts.
    """

    def __init__(
        self,
        job: Job,
        market: Market,
        follower: Follows,
        *,
        choose: Callable[[frozenset[str], Decimal, frozenset[int]], Sequence[Candidate]],
        show: Callable[[Standing], None],
        ask: Callable[[], Choice],
        shunned: BlackList | None = None,
    ) -> None:
        self.job = job
        self.market = replace(market, listen=self._hear)
        self._follower = follower
        self._choose = choose
        self._show = show
        self._ask = ask
        self._shunned = shunned or BlackList()
        self.accounts = Accounts(job.bucket, job.ticket.budget_usd, market.clock, reserve_s=job.end_reserve_s)
        self._losses = 0
        self._misses, self._missed = 0, ""
        self._rents, self._detaches = True, False
        self._segments_done = 0
        self._machines = Machines(job, self.market, self.accounts, tell=self._tell)
        self._news: News | None = None
        self.done: Done | None = None

    def _hear(self, entry: Entry) -> None:
        try:
            self.accounts.hear(entry)
        except StorageError as error:  # it is known here; in the bucket, more is counted than is spent
            log.warning("what became of %s is not in the bucket: %s", entry.label, error)

    def conduct(self, adopted: Sequence[Instance] = (), *, rents: bool = True, detaches: bool = False) -> Outcome:
        """Until the run is done, cancelled or left to itself.

        `adopted` are instances of the run that live already: the best is followed, the others end. Without `rents`,
        nothing is rented in their place. With `detaches`, the run is left to itself once a machine is at work.

        Raises `PlanError` when the limits allow no more, `WorkerError` when the work itself fails, `StorageError` when
        the run's folder takes nothing any more, and what the provider raises; `OrphanedInstanceError` above all.
        """
        self._rents, self._detaches = rents, detaches
        alive = self._machines.alive(adopted)
        while True:
            if alive and (outcome := self._follow_best(alive)) is not None:
                return outcome
            if (news := self._look()).done is not None:
                self.done = news.done
                return Outcome.DONE
            if self._is_cancelled():
                return Outcome.CANCELLED
            run = self.job.plan.run
            if self._losses >= MAX_LOSSES:
                raise WorkerError(
                    f"{self._losses} machines in a row did no segment of {run}; "
                    f"`runner logs {run}` shows what they said"
                )
            if self._misses >= MAX_MISSES:
                raise OfferGoneError(
                    f"{self._misses} searches in a row led to no machine for {run} ({self._missed}); `runner resume "
                    f"{run}` later, or with a higher --max-price"
                )
            if alive := self._machines.alive():
                continue
            if not rents:
                raise WorkerError(f"no machine works for {run} any more; `runner resume {run}` rents another")
            if self._losses or self._segments_done:  # one that is lost may have found nothing to write into
                self.job.bucket.check_writable()
            try:
                outcome = self._rent_and_follow()
            except OfferGoneError as error:
                self._tell(str(error))
                self._misses, self._missed = self._misses + 1, str(error)
                outcome = None
            if outcome is not None:
                return outcome

    def _follow_best(self, alive: Sequence[Instance]) -> Outcome | None:
        """Follow the first, and end the others: two at once would do the same segments twice."""
        for instance in alive[1:]:
            self._machines.disarm(instance.label)
            self._machines.end(instance)
        return self._follow_adopted(alive[0])

    def _rent_and_follow(self) -> Outcome | None:
        """One instance from its creation to its end; None when the rest of the work needs another."""
        found = self._affordable()
        asked: list[str] = []

        def ends(offer: Offer) -> float:
            """By what is left of budget and time now: waiting and lost answers have cost some since the search."""
            deadline_s = self._end_of(found[offer.id])
            if deadline_s < self.market.clock.now() + self.job.least_s:
                raise OfferGoneError(f"{offer} costs more than is left by now")
            return deadline_s

        def request(offer: Offer, label: str) -> InstanceRequest:
            for before in asked[-1:]:  # not had, or not known to be had: should it come late, it finds nothing to do
                self._machines.disarm(before)
            asked.append(label)
            deadline_s = ends(offer)
            self.accounts.begin(
                Rent(
                    label=label,
                    provider=self.market.provider.name,
                    machine=offer.machine,
                    gpu_name=offer.gpu_name,
                    price_usd_per_h=offer.price_usd_per_h,
                    traffic_usd=found[offer.id].traffic_usd,
                    asked_s=self.market.clock.now(),
                    deadline_s=deadline_s,
                )
            )
            return self._request(offer, label, deadline_s)

        offers = [one.offer for one in found.values()]
        with self._owing(), lease(self.market, offers, request, run=self.job.plan.run, ends=ends) as leased:
            self._misses = 0
            outcome = self._follow(leased)
            if outcome is None:  # before its end: one that comes back at once must find nothing to do
                self._machines.disarm(leased.instance.label)
        if outcome is not None and not leased.kept:
            self._machines.sweep(None)
        return outcome

    def _follow_adopted(self, instance: Instance) -> Outcome | None:
        now_s = self.market.clock.now()
        if self.accounts.get(instance.label) is None:
            self.accounts.begin(
                Rent(
                    label=instance.label,
                    provider=self.market.provider.name,
                    machine=instance.machine,
                    price_usd_per_h=instance.price_usd_per_h,
                    asked_s=instance.started_s or now_s,
                    deadline_s=self.job.ticket.deadline_s,
                    instance=instance.id,
                )
            )
        with self._owing(), held(self.market, Lease(instance=instance, offer=None, created_s=now_s)) as leased:
            outcome = self._follow(leased)
            if outcome is None:
                self._machines.disarm(instance.label)
        return outcome

    @contextmanager
    def _owing(self) -> Iterator[None]:
        """While there may be a machine that is ours to end: whoever asks to stop is told that this comes first."""
        stop = self.market.stop
        stop.first = OWED if self._rents and self.market.provider.costs else ""
        try:
            yield
        finally:
            stop.first = ""

    def _follow(self, leased: Lease) -> Outcome | None:
        """Watch one instance until it is of no more use; the outcome of the run, None when it needs another."""
        job, clock = self.job, self.market.clock
        rent = self.accounts.get(leased.instance.label)
        assert rent is not None
        is_bid = bool(leased.offer and leased.offer.is_bid)
        self._follower.begin(rent.label)  # what the worker calls itself
        watch = Watch(
            created_s=rent.asked_s,
            deadline_s=min(rent.deadline_s, job.ticket.deadline_s),
            is_bid=is_bid,
            max_usd_per_h=job.ticket.max_price_usd_per_h,
        )
        instance: Instance | None = leased.instance
        asked_s = swept_s = clock.now()
        answered = True
        while True:
            if self.market.stop:
                self.market.stop.forget()
                choice = self._ask()
                if choice is Choice.DETACH:
                    leased.kept = True
                    return Outcome.DETACHED
                if choice is Choice.CANCEL:
                    return self._cancelled(rent)
            # While it boots, what the provider says is all there is.
            if clock.now() >= asked_s + (job.ask_s if watch.heard_s is not None else min(job.ask_s, job.boot_ask_s)):
                asked_s = clock.now()
                answered, instance = self._ask_provider(leased.instance.id, instance)
                if instance is not None:
                    self._reprice(rent.label, instance)
            if clock.now() >= swept_s + job.sweep_s:
                swept_s = clock.now()
                if self._machines.sweep(leased.instance.id):
                    self._tell(f"{rent.label}: another machine works for this run already, and goes on")
                    return None
            if self.accounts.is_used_up():
                watch = replace(watch, deadline_s=min(watch.deadline_s, clock.now()))
            news = self._look()
            sight = Sight(
                now_s=clock.now(),
                answered=answered,
                instance=instance,
                is_news=news.is_news,
                progress=news.progress,
                done=news.done,
            )
            watch, verdict = step(watch, sight, job.patience)
            self._show_standing(news, instance or leased.instance, rent, watch)
            if verdict.kind is not Kind.GO_ON:
                return self._judge(verdict, news, rent)
            if self._is_cancelled():
                return self._cancelled(rent)
            if self._detaches and news.progress is not None and news.progress.state in AT_WORK:
                leased.kept = True
                return Outcome.DETACHED
            self.market.stop.wait(clock, job.poll_s)

    def _reprice(self, label: str, instance: Instance) -> None:
        try:
            self.accounts.reprice(label, instance.price_usd_per_h)
        except StorageError as error:
            log.info("the price of %s is not in the bucket: %s", label, error)

    def _cancelled(self, rent: Rent) -> Outcome:
        self.accounts.explain(rent.label, "cancelled")
        return Outcome.CANCELLED

    def _judge(self, verdict: Verdict, news: News, rent: Rent) -> Outcome | None:
        """What a verdict means for the run."""
        self.accounts.explain(rent.label, verdict.reason or verdict.kind.value)
        if verdict.kind is Kind.FINISHED:
            self.done = news.done
            return Outcome.DONE
        if verdict.blame:
            now_s = self.market.clock.now()
            with suppress(OSError):  # a list that cannot be written is no reason to stop
                self._shunned.add(rent.provider, rent.machine, until_s=now_s + SHUN_S, reason=verdict.reason)
        self._losses = 0 if news.segments_done > self._segments_done else self._losses + 1
        self._segments_done = news.segments_done
        self._tell(f"{rent.label}: {verdict.reason}")
        if verdict.kind is Kind.STOP:
            raise PlanError(
                f"{self.job.plan.run} stopped with {news.segments_done} of {len(self.job.plan.segments)} segments "
                f"done: {verdict.reason}; `runner resume {self.job.plan.run}` goes on with more budget or time"
            )
        return None

    def _affordable(self) -> dict[str, Candidate]:
        """Offers within the limits by id, best first. Raises `PlanError` without any."""
        if self.market.clock.now() >= self.job.ticket.deadline_s:
            raise PlanError(f"the deadline of {self.job.plan.run} is past; give --deadline more time")
        for search in range(SEARCHES):
            try:
                return self._search()
            except PlanError as error:
                # A market may have nothing for a moment; this machine is as it is.
                if search + 1 == SEARCHES or not self.market.provider.costs:
                    raise
                self._tell(str(error))
                self.market.stop.wait(self.market.clock, self.job.search_pause_s)
                self.market.stop.check()
        raise AssertionError

    def _search(self) -> dict[str, Candidate]:
        clock, job = self.market.clock, self.job
        shunned = self._shunned.machines(self.market.provider.name, now_s=clock.now())
        spent = self.accounts.spent_usd()
        found = self._choose(shunned if self.market.provider.costs else frozenset(), spent, self._follower.committed)
        kept = {one.offer.id: one for one in found if self._end_of(one) >= clock.now() + job.least_s}
        if not kept:
            raise PlanError(
                f"what is left of the budget or the time of {job.plan.run} pays for no machine on offer "
                f"(spent at most ${spent:.4f}); `runner resume` takes a new --budget and --deadline"
            )
        return kept

    def _end_of(self, one: Candidate) -> float:
        end_s = self.accounts.end_of(one.offer, one.traffic_usd, self.job.ticket.deadline_s)
        return end_s if one.deadline_s is None else min(end_s, one.deadline_s)

    def _request(self, offer: Offer, label: str, deadline_s: float) -> InstanceRequest:
        from runner.provider import InstanceRequest

        return InstanceRequest(
            label=label,
            image=self.job.image,
            command=self.job.command,
            boot_url=self.job.access.boot(label, deadline_s=deadline_s, offer=offer),
            deadline_s=deadline_s,
            disk_gb=self.job.plan.spec.requirements.min_disk_gb,
            bid_usd_per_h=offer.price_usd_per_h if offer.is_bid else None,
            image_login=self.job.image_login,
        )

    def _ask_provider(self, instance_id: str, known: Instance | None) -> tuple[bool, Instance | None]:
        """Whether the provider could say anything, and what."""
        try:
            return True, self.market.provider.show(instance_id)
        except ProviderError as error:
            log.info("%s does not say how %s is: %s", self.market.provider.name, instance_id, error)
            return False, known

    def _look(self) -> News:
        """What is new in the bucket; what was known before when the bucket does not answer."""
        try:
            self._news = self._follower.look()
        except StorageError as error:
            if self._news is None:
                raise
            log.info("the bucket does not answer: %s", error)
            self._news = replace(self._news, is_news=False)
        return self._news

    def _is_cancelled(self) -> bool:
        try:
            return self.job.bucket.exists(self.job.bucket.folder.end)
        except StorageError:
            return False

    def _show_standing(self, news: News, instance: Instance, rent: Rent, watch: Watch) -> None:
        phase = news.progress.state if news.progress is not None else "booting"
        self._show(
            replace(
                self._standing(phase, "" if watch.heard_s is not None else watch.message),
                instance=instance,
                price_usd_per_h=rent.price_usd_per_h,
                segments_done=news.segments_done,
                frames_done=news.frames_done,
                fps=news.progress.fps if news.progress is not None else 0,
            )
        )

    def _tell(self, message: str) -> None:
        self._show(self._standing("renting", message))

    def _standing(self, phase: str, message: str) -> Standing:
        return Standing(
            run=self.job.plan.run,
            phase=phase,
            segments=len(self.job.plan.segments),
            frames=self.job.plan.frames,
            spent_usd=self.accounts.spent_usd(),
            now_s=self.market.clock.now(),
            message=message,
        )
