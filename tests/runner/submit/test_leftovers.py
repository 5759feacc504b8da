"""`cancel`, `reap` and `ps` over machines that a list leaves out, that are not ours, or whose run nobody can see."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from runner.bucket import Bucket
from runner.journal import Entry, Journal, new_label
from runner.reap import GRACE_S
from runner.spending import Rent
from runner.vast.provider import VastProvider
from storage.uri import ObjectUri, parse
from tests.runner.fleet.stage import Stage
from tests.runner.submit.commands import Desk
from tests.runner.vast.fake import IMAGE, FakeVast, Image
from tests.storage.server import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.runner.vast.fake_instance import FakeInstance
    from tests.storage.server import Server

HOUR_S: Final = 3600.0
NOWHERE: Final = "endpoint=http://127.0.0.1:9&region=here"
LIES: Final = {"empty": True, "lie": True, "times": 50}


@dataclass(kw_only=True)
class Site:
    """A run in a folder, a market, and a machine on which commands are run."""

    stage: Stage
    vast: FakeVast
    desk: Desk

    @property
    def run(self) -> str:
        return self.stage.plan.run

    @property
    def journal(self) -> Journal:
        return Journal(self.desk.home / "state/framehaul/instances.jsonl")

    def remember(self, run: str, bucket: object) -> None:
        path = self.desk.home / f"state/framehaul/runs/{run}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"bucket": str(bucket)}))

    def rent(self, *, image: str = IMAGE, deadline_s: float | None = None, run: str | None = None) -> FakeInstance:
        """A machine of the run, of which nothing is written down."""
        label = new_label(run or self.run, 0, deadline_s=deadline_s)
        body = {"image": image, "label": label, "disk": 20, "runtype": "args", "env": {}}
        return self.vast.rent(self.vast.offers[len(self.vast.instances)], body)

    def note(self, instance: FakeInstance | None, *, here: bool, label: str = "", asked_s: float | None = None) -> str:
        """Write it down: `here` in this machine's journal, otherwise in the run's folder, as another laptop does."""
        number = None if instance is None else str(instance.id)
        label = label or (instance.label if instance is not None else new_label(self.run, 0)) or ""
        asked_s = time.time() if asked_s is None else asked_s
        if here:
            self.journal.write(
                Entry(event="intent", time_s=asked_s, label=label, provider="vast", image=IMAGE, run=self.run)
            )
            if number is not None:
                self.journal.write(
                    Entry(event="created", time_s=asked_s, label=label, provider="vast", instance=number)
                )
            return label
        rent = Rent.model_validate(
            {"label": label, "provider": "vast", "machine": "m", "price_usd_per_h": 1, "asked_s": asked_s,
             "deadline_s": asked_s + HOUR_S, "instance": number}
        )  # fmt: skip
        self.stage.run.write(self.stage.run.folder.rent(label), rent)
        return label

    def rent_of(self, label: str) -> Rent:
        found = self.stage.run.read(self.stage.run.folder.rent(label), Rent)
        assert found is not None
        return found


@pytest.fixture
def site(tmp_path: Path, server: Server, bucket: str) -> Iterator[Site]:
    (tmp_path / "vast").mkdir()
    with FakeVast(tmp_path / "vast") as vast:
        vast.images[IMAGE] = Image(entrypoint=(sys.executable, "-S", "-E", "-c", "import time; time.sleep(1000)"))
        vast.intervals_apply = False
        given = server.credentials
        keys = {"AWS_ACCESS_KEY_ID": given.key_id, "AWS_SECRET_ACCESS_KEY": given.key}
        desk = Desk(home=tmp_path / "desk", variables=vast.environment() | keys)
        desk.home.mkdir()
        stage = Stage(tmp_path, VastProvider(vast.client()), deadline_s=24 * HOUR_S)
        root = parse(f"s3://{bucket}/?endpoint={server.url}&region={REGION}")
        assert isinstance(root, ObjectUri)
        stage.run = Bucket(root, credentials=given).run(stage.plan.run)
        spec = stage.plan.spec.model_copy(
            update={"image": IMAGE, "input": str(root.child("in")), "output": str(root.child("out"))}
        )
        source = stage.plan.source.model_copy(update={"location": spec.input})
        stage.run.write(stage.run.folder.ticket, stage.ticket)
        stage.run.write(stage.run.folder.plan, stage.plan.model_copy(update={"spec": spec, "source": source}))
        made = Site(stage=stage, vast=vast, desk=desk)
        made.remember(made.run, root)
        yield made


@pytest.fixture
def dead() -> Iterator[str]:
    """A bucket on a server that takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        held: list[socket.socket] = []

        def hold() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=hold, daemon=True).start()
        yield f"s3://gone/?endpoint=http://127.0.0.1:{server.getsockname()[1]}&region=here"
        server.shutdown(socket.SHUT_RDWR)
        for one in held:
            one.close()


@pytest.mark.parametrize("here", [True, False])
def test_cancel_ends_what_a_list_leaves_out(site: Site, *, here: bool) -> None:
    rented = site.rent()
    label = site.note(rented, here=here)
    site.vast.break_next("list", **LIES)
    done = site.desk.run("cancel", site.run)
    assert done.returncode == 0, done.stderr
    assert site.vast.billing() == []
    assert not any(one.open for one in site.journal.rentals())
    if not here:
        assert site.rent_of(label).ended_s is not None


@pytest.mark.parametrize("here", [True, False])
def test_reap_ends_what_a_list_leaves_out(site: Site, *, here: bool) -> None:
    rented = site.rent()
    label = site.note(rented, here=here)
    site.vast.break_next("list", **LIES)
    looked = site.desk.run("reap")
    assert looked.returncode == 0, looked.stderr
    assert "kept, its run goes on" in looked.stdout
    assert site.vast.billing() == [rented.id]
    site.stage.run.write_bytes(site.stage.run.folder.end, b'{"state": "cancelled", "time_s": 1}')
    done = site.desk.run("reap")
    assert done.returncode == 0, done.stderr
    assert site.vast.billing() == []
    if not here:
        assert site.rent_of(label).ended_s is not None


@pytest.mark.parametrize("command", ["cancel", "reap"])
def test_what_can_not_be_shown_may_cost_money(site: Site, command: str) -> None:
    rented = site.rent()
    site.note(rented, here=True)
    site.vast.break_next("list", **LIES)
    site.vast.break_next("show", status=404, times=50, body={"success": False, "error": "x", "msg": "Invalid user key"})
    done = site.desk.run(*([command, site.run] if command == "cancel" else [command]))
    assert done.returncode == 6, (done.stdout, done.stderr)
    assert f"instance {rented.id}" in done.stderr
    assert "run `runner reap` again in 5 minutes" in done.stderr
    assert site.vast.billing() == [rented.id]


@pytest.mark.parametrize("command", ["cancel", "reap"])
def test_what_was_asked_for_and_never_answered_is_said(site: Site, command: str) -> None:
    words = [command, site.run] if command == "cancel" else [command]
    label = site.note(None, here=True, asked_s=time.time() - 130)
    done = site.desk.run(*words)
    assert done.returncode == 6, (done.stdout, done.stderr)
    (line,) = [one for one in done.stderr.splitlines() if label in one]
    assert re.search(r"run `runner reap` again in 1[23] minutes", line), line
    assert any(one.open for one in site.journal.rentals())


@pytest.mark.parametrize("command", ["cancel", "reap"])
def test_what_was_asked_for_long_ago_has_never_been(site: Site, command: str) -> None:
    site.note(None, here=True, asked_s=time.time() - HOUR_S)
    done = site.desk.run(*([command, site.run] if command == "cancel" else [command]))
    assert done.returncode == 0, done.stderr
    assert not any(one.open for one in site.journal.rentals())


def test_cancel_touches_nobody_elses(site: Site) -> None:
    """Another image under a label of the run, as a copied command line has it."""
    ours = site.rent()
    foreign = site.vast.add_foreign(label=new_label(site.run, 0), image="somebody/else:1")
    (row,) = site.desk.json("ps")
    assert [one["id"] for one in row["instances"]] == [str(ours.id)]
    done = site.desk.run("cancel", site.run)
    assert done.returncode == 0, done.stderr
    assert foreign.exists
    assert not ours.exists


@pytest.mark.long
def test_one_machine_that_will_not_go_keeps_no_other(site: Site) -> None:
    first, second = site.rent(), site.rent()
    refused = {"success": False, "error": "auth_error", "msg": "no"}
    site.vast.break_next("destroy", status=403, times=4, body=refused)
    done = site.desk.run("cancel", site.run)
    assert done.returncode == 6, done.stderr
    assert f"instance {first.id} could not be proven gone" in done.stderr
    assert site.vast.billing() == [first.id]
    assert not second.exists


@pytest.mark.long
def test_a_bucket_that_is_away_hides_no_other_run(site: Site, dead: str) -> None:
    site.remember("20260101-000000-abcdef", dead)
    told = site.desk.run("ps", "--json")
    assert told.returncode == 0, told.stderr
    assert [one["run"] for one in json.loads(told.stdout)] == [site.run]
    assert f"the runs in {dead} are left out" in told.stderr
    asked = site.desk.run("ps", "--bucket", f"s3://refused/?{NOWHERE}")
    assert asked.returncode == 4, asked.stderr
    assert site.run in asked.stdout


@pytest.mark.long
def test_a_machine_whose_run_nobody_sees_ends_at_its_deadline(site: Site, dead: str) -> None:
    run, unknown = "20260101-000000-abcdef", "20260101-000000-fedcba"
    site.remember(run, dead)
    noted = site.rent(run=run, deadline_s=time.time() + HOUR_S)
    elsewhere = site.rent(run=unknown, deadline_s=time.time() + HOUR_S)
    over = site.rent(run=unknown, deadline_s=time.time() - GRACE_S - 5)
    done = site.desk.run("reap")
    assert done.returncode == 6, (done.stdout, done.stderr)
    assert done.stdout.count("kept, its run could not be looked at") == 2
    assert done.stderr.count("it ends itself by ") == 2
    assert site.vast.billing() == [noted.id, elsewhere.id]
    assert not over.exists


@pytest.mark.parametrize("rented", [True, False])
def test_reap_says_what_it_has_done_though_a_provider_is_away(site: Site, *, rented: bool) -> None:
    label = site.note(site.rent(), here=True) if rented else ""
    site.vast.break_next("list", status=403, times=50, body={"success": False, "error": "auth_error", "msg": "no"})
    done = site.desk.run("reap", "--json")
    assert done.returncode == (6 if rented else 5), done.stderr
    told = json.loads(done.stdout)
    assert [one["provider"] for one in told["providers"]] == ["local"]
    assert list(told["unreached"]) == ["vast"]
    assert label in done.stderr
