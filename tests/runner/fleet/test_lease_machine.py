"""Renting under every order of faults and deaths that Hypothesis thinks of: nothing stays, nobody else is touched."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from runner.clock import StopRequest
from runner.errors import Interrupted, ProviderError
from runner.journal import Journal, run_of
from runner.lease import Lease, Market, held, lease
from runner.provider import InstanceRequest, Offer
from runner.reap import RunState, reap
from runner.spec import Requirements
from runner.ticket import new_run
from tests.runner.fleet.market import OURS, Create, Destroy, Killed, Life, Look, MemoryMarket, MortalJournal

FAULTS = {
    "creates": st.lists(st.sampled_from(Create), max_size=4),
    "destroys": st.lists(st.sampled_from(Destroy), max_size=4),
    "looks": st.lists(st.sampled_from(Look), max_size=6),
}
MAX_LIFE_S = 3600.0


class Runs:
    """Which runs go on."""

    def __init__(self) -> None:
        self.states: dict[str, RunState] = {}
        self.deadlines: dict[str, float] = {}

    def state(self, run: str) -> RunState:
        return self.states.get(run, RunState.UNKNOWN)

    def image(self, run: str) -> str | None:
        del run
        return None

    def deadline_s(self, run: str, label: str) -> float | None:
        del label
        return self.deadlines.get(run)


class Renting(RuleBasedStateMachine):
    """Processes come, rent and die; now and then somebody reaps."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.life = Life()
        self.market = MemoryMarket(self.life)
        self.journal = Journal(Path(self.folder.name) / "journal.jsonl")
        self.runs = Runs()
        foreign = [("framehaul-somebody", OURS), ("other", OURS), ("framehaul-20260101-000000-abcdef-0-aa", "else/x:1")]
        self.foreign = [self.market.add(label, image).id for label, image in foreign]

    @rule(
        faults=st.fixed_dictionaries(FAULTS),
        dies_after=st.none() | st.integers(0, 25),
        ends=st.sampled_from(["well", "badly", "kept", "interrupted"]),
        ended=st.booleans(),
    )
    def a_process_rents(
        self, faults: dict[str, list[object]], dies_after: int | None, ends: str, *, ended: bool
    ) -> None:
        run = new_run(self.life.now())
        self.runs.states[run] = RunState.GOING
        self.runs.deadlines[run] = self.life.now() + MAX_LIFE_S
        for name, values in faults.items():
            getattr(self.market, name)[:] = values
        self.life.steps_left = dies_after
        stop = StopRequest()
        market = Market(
            provider=self.market, journal=MortalJournal(self.journal, self.life), clock=self.life, stop=stop
        )
        offers = self.market.offers(Requirements(), max_price_usd_per_h=None)
        unsure = ends == "kept" or Destroy.BACK_LATER in faults["destroys"] or Look.EMPTY in faults["looks"]
        try:
            with (
                suppress(ProviderError, Interrupted, ZeroDivisionError),
                lease(market, offers, self.request, run=run) as leased,
            ):
                assert [run_of(one.label) for one in self.market.existing.values()].count(run) >= 1
                if ends == "badly":
                    raise ZeroDivisionError
                if ends == "interrupted":
                    raise Interrupted
                leased.kept = ends == "kept"
        except Killed:
            unsure = True
        if not unsure:
            assert all(run_of(one.label) != run for one in self.market.existing.values())
        self.life.steps_left = None
        self.market.heal()
        if ended:
            self.runs.states[run] = RunState.FINISHED

    def request(self, offer: Offer, label: str) -> InstanceRequest:
        del offer
        run = run_of(label)
        assert run is not None
        return InstanceRequest(label=label, image=OURS, command=(), boot_url="x", deadline_s=self.runs.deadlines[run])

    @rule(faults=st.fixed_dictionaries(FAULTS), dies_after=st.none() | st.integers(0, 25))
    def somebody_reaps_in_bad_weather(self, faults: dict[str, list[object]], dies_after: int | None) -> None:
        for name, values in faults.items():
            getattr(self.market, name)[:] = values
        self.life.steps_left = dies_after
        with suppress(Killed, ProviderError):
            reap(self.market, MortalJournal(self.journal, self.life), self.runs, images={OURS}, clock=self.life)
        self.life.steps_left = None
        self.market.heal()

    @rule(seconds=st.sampled_from([1.0, 60.0, 1000.0, MAX_LIFE_S]))
    def time_passes(self, seconds: float) -> None:
        self.life.now_s += seconds

    @rule()
    def somebody_goes_on_with_what_was_kept(self) -> None:
        """Another process adopts an instance of a run that goes on, and ends it."""
        for instance in list(self.market.existing.values()):
            run = run_of(instance.label)
            if instance.id in self.foreign or run is None:
                continue
            market = Market(provider=self.market, journal=self.journal, clock=self.life, stop=StopRequest())
            with held(market, Lease(instance=instance, offer=None, created_s=self.life.now())):
                pass
            assert instance.id not in self.market.existing
            return

    @rule()
    def all_is_reaped(self) -> None:
        """In good weather, everything whose time has come goes, and the journal knows it."""
        self.life.now_s += MAX_LIFE_S + 100
        reaped = reap(self.market, self.journal, self.runs, images={OURS}, clock=self.life)
        assert reaped.failures == ()
        assert set(self.market.existing) <= set(self.foreign)
        self.life.now_s += 1000
        reap(self.market, self.journal, self.runs, images={OURS}, clock=self.life)  # what came back, or came late
        assert set(self.market.existing) == set(self.foreign)
        assert not any(one.open for one in self.journal.rentals())

    @invariant()
    def nobody_else_is_touched(self) -> None:
        assert not set(self.market.touched) & set(self.foreign)

    @invariant()
    def a_label_is_asked_for_once(self) -> None:
        assert len(self.market.asked) == len(set(self.market.asked))

    @invariant()
    def what_exists_was_noted_before(self) -> None:
        noted = {one.label for one in self.journal.rentals()}
        assert {one.label for one in self.market.existing.values() if one.id not in self.foreign} <= noted

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.all_is_reaped()
            self.folder.cleanup()


TestRenting = Renting.TestCase
TestRenting.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
