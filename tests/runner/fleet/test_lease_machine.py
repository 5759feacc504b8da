"""Renting under every order of faults and deaths that Hypothesis thinks of: nothing stays, nobody else is touched."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from runner.bucket import Bucket
from runner.clock import StopRequest
from runner.errors import Interrupted, ProviderError
from runner.journal import PREFIX, Journal, run_of
from runner.lease import Lease, Market, held, lease
from runner.provider import InstanceRequest, Offer
from runner.reap import reap
from runner.runs import Buckets, KnownRuns
from runner.spec import Requirements
from runner.ticket import End, Ticket, new_run
from storage.uri import LocalUri
from tests.runner.fleet.market import OURS, Create, Destroy, Killed, Life, Look, MemoryMarket, MortalJournal
from tests.runner.fleet.stage import make_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = {
    "creates": st.lists(st.sampled_from(Create), max_size=4),
    "destroys": st.lists(st.sampled_from(Destroy), max_size=4),
    "looks": st.lists(st.sampled_from(Look), max_size=6),
}
MAX_LIFE_S = 3600.0


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that this machine remembers are those of the test: none."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


class Folders:
    """The runs' folders in a bucket, as `runner submit` writes them, and what reaping reads there."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.bucket = Bucket(LocalUri(folder))

    @property
    def known(self) -> KnownRuns:
        """As each command opens it."""
        return KnownRuns(Buckets([str(self.bucket)]))

    def begin(self, run: str, now_s: float, deadline_s: float) -> None:
        found = self.bucket.run(run)
        ticket = Ticket(
            run=run, created_s=now_s, deadline_s=deadline_s, provider="memory", given_input="in", given_output="out",
            made="out", host="here",
        )  # fmt: skip
        found.write(found.folder.ticket, ticket)
        found.write(found.folder.plan, make_plan(run, 1, "out"))

    def end(self, run: str, how: str, now_s: float) -> None:
        found = self.bucket.run(run)
        if how == "forgotten":
            rmtree(self.folder / "ctl" / run)
        elif how != "going":
            found.write(found.folder.end, End.model_validate({"state": how, "time_s": now_s}))

    @contextmanager
    def hidden(self, *, hides: bool) -> Iterator[None]:
        """Nothing in the bucket can be read."""
        control, away = self.folder / "ctl", self.folder / "away"
        if not hides or not control.exists():
            yield
            return
        control.rename(away)
        control.symlink_to(control)
        try:
            yield
        finally:
            control.unlink()
            away.rename(control)


class Renting(RuleBasedStateMachine):
    """Processes come, rent and die; now and then somebody reaps."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.life = Life()
        self.market = MemoryMarket(self.life)
        self.journal = Journal(Path(self.folder.name) / "journal.jsonl")
        self.folders = Folders(Path(self.folder.name) / "bucket")
        foreign = [("framehaul-somebody", OURS), ("other", OURS), ("framehaul-20260101-000000-abcdef-0-aa", "else/x:1")]
        self.foreign = [self.market.add(label, image).id for label, image in foreign]

    @rule(
        faults=st.fixed_dictionaries(FAULTS),
        dies_after=st.none() | st.integers(0, 25),
        ends=st.sampled_from(["well", "badly", "kept", "interrupted"]),
        becomes=st.sampled_from(["going", "finished", "cancelled", "failed", "forgotten"]),
    )
    def a_process_rents(self, faults: dict[str, list[object]], dies_after: int | None, ends: str, becomes: str) -> None:
        run = new_run(self.life.now())
        self.deadline_s = self.life.now() + MAX_LIFE_S
        self.folders.begin(run, self.life.now(), self.deadline_s)
        for name, values in faults.items():
            getattr(self.market, name)[:] = values
        self.life.steps_left = dies_after
        stop = StopRequest()
        market = Market(
            provider=self.market, journal=MortalJournal(self.journal, self.life), clock=self.life, stop=stop
        )
        offers = self.market.offers(Requirements(), max_price_usd_per_h=None)
        unsure = ends == "kept" or Destroy.BACK_LATER in faults["destroys"] or Look.LIE in faults["looks"]
        if Look.EMPTY in faults["looks"]:  # what has no number can be found in lists alone
            unsure = unsure or bool({Create.LOST_AFTER, Create.STOPPED} & set(faults["creates"]))
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
        self.folders.end(run, becomes, self.life.now())

    def request(self, offer: Offer, label: str) -> InstanceRequest:
        del offer
        return InstanceRequest(label=label, image=OURS, command=(), boot_url="x", deadline_s=self.deadline_s)

    @rule(
        faults=st.fixed_dictionaries(FAULTS),
        dies_after=st.none() | st.integers(0, 25),
        elsewhere=st.booleans(),
        hides=st.booleans(),
    )
    def somebody_reaps_in_bad_weather(
        self, faults: dict[str, list[object]], dies_after: int | None, *, elsewhere: bool, hides: bool
    ) -> None:
        """Here or on another laptop; perhaps while the bucket does not answer."""
        for name, values in faults.items():
            getattr(self.market, name)[:] = values
        self.life.steps_left = dies_after
        journal = MortalJournal(self.journal_of(elsewhere=elsewhere), self.life)
        with suppress(Killed, ProviderError), self.folders.hidden(hides=hides):
            reap(self.market, journal, self.folders.known, images={OURS}, clock=self.life)
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

    def journal_of(self, *, elsewhere: bool) -> Journal:
        return Journal(Path(self.folder.name) / "elsewhere.jsonl") if elsewhere else self.journal

    @rule(elsewhere=st.booleans())
    def all_is_reaped(self, *, elsewhere: bool) -> None:
        """In good weather, everything whose time has come goes, and the journal knows it."""
        self.life.now_s += MAX_LIFE_S + 100
        for _ in range(2):  # the second time, what came back or came late
            journal = self.journal_of(elsewhere=elsewhere)
            reaped = reap(self.market, journal, self.folders.known, images={OURS}, clock=self.life)
            assert reaped.failures == ()
            assert set(self.market.existing) <= set(self.foreign)
            self.life.now_s += 1000
        reap(self.market, self.journal, self.folders.known, images={OURS}, clock=self.life)
        assert set(self.market.existing) == set(self.foreign)
        assert not any(one.open for one in self.journal.rentals())

    @rule()
    def what_goes_on_is_left_alone(self) -> None:
        """A run that is neither over nor late keeps its instance, whoever reaps, and whether the bucket answers."""
        now_s = self.life.now()
        run = new_run(now_s)
        self.folders.begin(run, now_s, now_s + MAX_LIFE_S)
        made = self.market.add(f"{PREFIX}{run}-0-cafe", OURS)
        for hides in (True, False):
            with self.folders.hidden(hides=hides):
                journal = self.journal_of(elsewhere=True)
                reap(self.market, journal, self.folders.known, images={OURS}, clock=self.life)
            assert made.id in self.market.existing
        del self.market.existing[made.id]

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
            self.all_is_reaped(elsewhere=False)
            self.folder.cleanup()


TestRenting = Renting.TestCase
TestRenting.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
