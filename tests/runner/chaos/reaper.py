"""Somebody who reaps once the laptops are gone: with all that `runner reap` is made of, or with the command itself."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from runner.census import Note
from runner.errors import ProviderError
from runner.images import OUR_IMAGES
from runner.journal import Journal
from runner.reap import reap
from runner.runs import Buckets, KnownRuns

if TYPE_CHECKING:
    from tests.runner.chaos.laptop import RentedStage
    from tests.runner.submit.commands import Desk


@dataclass
class Seen:
    """What reaping has come to."""

    destroyed: Counter[str] = field(default_factory=Counter)
    """Verdict -> instances."""
    kept: int = 0
    """Instances of ours that were left alone, since their run went on."""


class Reaper(Protocol):
    """Who reaps."""

    seen: Seen

    def once(self) -> bool:
        """Whether that is the end of it: the command would have exited with 0."""
        ...


class CalledReaper:
    """What the command is made of, on the market's clock. `has_journal`: on the machine that has rented."""

    def __init__(self, stage: RentedStage, *, has_journal: bool) -> None:
        self._stage = stage
        self._journal = stage.journal if has_journal else Journal(stage.root / "other/instances.jsonl")
        self.seen = Seen()

    def once(self) -> bool:
        stage = self._stage
        runs, clock = KnownRuns(Buckets([stage.location])), stage.fast
        rents = runs.open_rents(clock.now())
        notes = [Note.of_rent(one.rent) for one in rents]
        try:
            done = reap(stage.provider, self._journal, runs, images=OUR_IMAGES, clock=clock, noted=notes)
        except ProviderError:
            return False
        for one in rents:
            if one.rent.label in done.gone | {found.instance.label for found in done.destroyed}:
                one.close(clock.now())
        self.seen.destroyed.update(one.verdict.name.lower() for one in done.destroyed)
        self.seen.kept += sum(one.verdict.name == "NEEDED" for one in done.found)
        return not done.failures


class CommandReaper:
    """`runner reap`, as a process."""

    def __init__(self, desk: Desk, location: str) -> None:
        self._desk = desk
        self._location = location
        self.seen = Seen()

    def once(self) -> bool:
        done = self._desk.run("reap", "--bucket", self._location, "--json")
        assert done.returncode in {0, 5, 6}, done.stderr
        if done.stdout:
            found = [one for told in json.loads(done.stdout)["providers"] for one in told["found"]]
            self.seen.destroyed.update(one["verdict"] for one in found if one["destroyed"])
            self.seen.kept += sum(one["verdict"] == "needed" for one in found)
        return done.returncode == 0
