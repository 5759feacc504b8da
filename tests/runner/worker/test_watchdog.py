"""The watchdog: when it ends a machine, with real children, and on a Vast.ai that destroys what asks for it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from runner.provider import InstanceRequest
from runner.spec import Requirements
from runner.vast.provider import VastProvider
from runner.worker.notes import why_unhealthy
from runner.worker.watchdog import NO_LIMIT, Limits, Seen, Watchdog, why_end
from tests.runner.vast.clocks import RealClock, ScaledClock, VirtualClock
from tests.runner.vast.fake import IMAGE, FakeVast
from tests.runner.worker.runs import LONG_S, plan_run, until, work, worker
from tests.runner.worker.test_worker import LABEL, boot, local_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from storage.b2 import B2Store
    from tests.storage.server import Server

SPEED: Final = 200.0
"""How much faster the watchdog's clock runs."""
FULL: Final = Limits(boot_until_s=100, deadline_s=1000, idle_s=50, stall_s=200)


@pytest.mark.parametrize(
    ("now_s", "limits", "seen", "reason"),
    [
        (99, Limits(boot_until_s=100), None, None),
        (100, Limits(boot_until_s=100), None, "not begun in time"),
        (100, Limits(boot_until_s=100), Seen(mark=1, alive_s=99, moved_s=99), "not begun in time"),
        (999, FULL, Seen(mark=1, alive_s=998, moved_s=900), None),
        (1000, FULL, Seen(mark=1, alive_s=1000, moved_s=1000), "time is over"),
        (1000, FULL, None, "time is over"),
        (150, FULL, Seen(mark=1, alive_s=100, moved_s=100), "silent for 50 s"),
        (149, FULL, Seen(mark=1, alive_s=100, moved_s=100), None),
        (300, FULL, Seen(mark=1, alive_s=299, moved_s=100), "done nothing for 200 s"),
    ],
)
def test_when_a_machine_has_to_end(now_s: float, limits: Limits, seen: Seen | None, reason: str | None) -> None:
    found = why_end(now_s, limits, seen)
    assert found is None if reason is None else reason in str(found)


def dog(notes: Path, program: str, *, boot_s: float = 600) -> Watchdog:
    """A watchdog over a Python program, with a clock that runs fast."""
    notes.mkdir(parents=True, exist_ok=True)
    return Watchdog(
        [sys.executable, "-c", program], notes, ScaledClock(SPEED), environment=dict(os.environ), boot_s=boot_s
    )


def limits(notes: Path, **lengths: float) -> None:
    notes.mkdir(parents=True, exist_ok=True)
    (notes / "limits.json").write_text(json.dumps({"deadline_s": NO_LIMIT, "idle_s": 1e9, "stall_s": 1e9} | lengths))


BEATS: Final = """
import json, os, pathlib, time
path, n = pathlib.Path(r"{notes}") / "vital.json", 0
while True:
    n += 1
    new = path.with_suffix(".new")
    new.write_text(json.dumps({{"state": "processing", "mark": {mark}}}))
    new.replace(path)
    time.sleep(0.02)
"""


def test_a_worker_that_never_begins(tmp_path: Path) -> None:
    assert dog(tmp_path, "import time; time.sleep(100)").run() == "the work has not begun in time"


def test_a_worker_that_falls_silent(tmp_path: Path) -> None:
    limits(tmp_path, deadline_s=1e12, idle_s=300)
    (tmp_path / "vital.json").write_text('{"state": "processing", "mark": 1}')
    assert "silent for 300 s" in dog(tmp_path, "import time; time.sleep(100)").run()


def test_a_worker_that_does_not_get_on(tmp_path: Path) -> None:
    limits(tmp_path, deadline_s=1e12, idle_s=5000, stall_s=300)
    assert "done nothing for 300 s" in dog(tmp_path, BEATS.format(notes=tmp_path, mark="1")).run()


def test_a_machine_whose_time_is_over_though_it_gets_on(tmp_path: Path) -> None:
    guard = dog(tmp_path, BEATS.format(notes=tmp_path, mark="n"))
    limits(tmp_path, deadline_s=ScaledClock(1).now() + 600, stall_s=300)
    assert guard.run() == "the machine's time is over"


def test_what_crashes_is_started_again_and_given_up_in_the_end(tmp_path: Path) -> None:
    program = f"open(r'{tmp_path / 'starts'}', 'a').write('x'); import os; os.abort()"
    assert dog(tmp_path, program).run() == "the work crashed 3 times"
    assert (tmp_path / "starts").read_text() == "xxx"


@pytest.mark.parametrize(("code", "reason"), [(0, "done"), (os.EX_TEMPFAIL, "the machine was given up")])
def test_a_worker_that_ends_by_itself(code: int, reason: str, tmp_path: Path) -> None:
    assert dog(tmp_path, f"raise SystemExit({code})").run() == reason


def test_whoever_looks_sees_whether_a_worker_is_well(tmp_path: Path) -> None:
    now_s = time.time()
    assert "not started" in why_unhealthy(tmp_path, now_s=now_s)
    (tmp_path / "started.json").write_text("{}")
    assert why_unhealthy(tmp_path, now_s=now_s) == ""
    (tmp_path / "vital.json").write_text("{}")
    assert why_unhealthy(tmp_path, now_s=now_s + 30) == ""
    assert "silent for" in why_unhealthy(tmp_path, now_s=now_s + 100)
    (tmp_path / "ended.json").write_text("{}")
    assert why_unhealthy(tmp_path, now_s=now_s + 100) == ""


def test_a_restarted_container_gets_no_fresh_time(tmp_path: Path) -> None:
    clock = VirtualClock()
    command = [sys.executable, "-c", "import time; time.sleep(100)"]
    (tmp_path / "started.json").write_text(json.dumps({"started_s": clock.now() - 500}))
    begun_s = clock.now()
    assert Watchdog(command, tmp_path, clock, environment={}).run() == "the work has not begun in time"
    assert clock.now() - begun_s < 101  # 100 of its 600 s were left


def test_the_child_ends_with_its_watchdog(sources: Path, tmp_path: Path) -> None:
    run = local_run(sources, tmp_path, "large.mp4", chain="nlmeans=s=3:r=9")
    with worker(run, boot(run), log=tmp_path / "log") as process:
        until(lambda: run.objects("events/"))
        children = [int(pid) for pid in _children(process.pid)]
        assert children
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        until(lambda: not any(_runs(pid) for pid in children))


def test_the_deadline_ends_a_worker_on_this_machine(sources: Path, tmp_path: Path) -> None:
    slow = ",".join(["nlmeans=s=3:p=15:r=31"] * 4)
    run = local_run(sources, tmp_path, "large.mp4", chain=slow)
    assert work(run, boot(run, deadline_s=time.time() + 4), log=tmp_path / "log") == os.EX_TEMPFAIL
    assert "the machine's time is over" in (tmp_path / "log").read_text()
    assert run.done() is None


def test_a_laptop_whose_clock_is_ahead_gives_no_longer_life(sources: Path, tmp_path: Path) -> None:
    def ahead() -> float:
        return time.time() + 3600

    run = local_run(sources, tmp_path, "large.mp4", chain="nlmeans=s=3:p=15:r=31")
    given = boot(run, deadline_s=ahead() + 1.5, clock=ahead)
    assert work(run, given, log=tmp_path / "log") == os.EX_TEMPFAIL
    assert "the machine's time is over" in (tmp_path / "log").read_text()
    assert run.done() is None


def _children(pid: int) -> list[str]:
    return (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text().split()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def market(tmp_path: Path) -> Iterator[FakeVast]:
    with FakeVast(tmp_path / "vast", clock=RealClock()) as running:
        yield running


def rent(market: FakeVast, boot_url: str) -> int:
    """An instance that is booted from `boot_url`; its number."""
    with market.client() as client:
        provider = VastProvider(client)
        offer = provider.offers(Requirements(), max_price_usd_per_h=None)[0]
        request = InstanceRequest(label=LABEL, image=IMAGE, command=(), boot_url=boot_url)
        return int(provider.create(offer, request).id)


def test_a_rented_machine_destroys_itself_when_it_is_done(
    market: FakeVast, sources: Path, tmp_path: Path, account: Callable[[str], str], remote: B2Store
) -> None:
    remote.put("in.mp4", (sources / "cfr.mp4").read_bytes())
    run = plan_run(account(""), account("in.mp4"), account("out.mkv"), cuts=(13, 29), state=tmp_path / "state")
    access = run.access(provider="vast")
    number = rent(market, access.boot(LABEL, deadline_s=time.time() + 2 * LONG_S))
    until(lambda: not market.billing())
    done = run.done()
    assert done is not None
    assert done.ok
    assert market.calls("destroy")
    assert market.key_leaks() == []
    assert market.instances[number].starts == 1


@pytest.mark.long
def test_a_restarted_container_goes_on_with_what_it_was_told_before(
    market: FakeVast, sources: Path, tmp_path: Path, account: Callable[[str], str], remote: B2Store
) -> None:
    remote.put("in.mp4", (sources / "large.mp4").read_bytes())
    run = plan_run(
        account(""), account("in.mp4"), account("out.mkv"), cuts=(20, 40), state=tmp_path / "state", chain="nlmeans=s=3"
    )
    number = rent(market, run.access(provider="vast").boot(LABEL, deadline_s=time.time() + 2 * LONG_S))
    until(lambda: run.objects("events/"))
    run.bucket.delete(run.bucket.folder.boot(LABEL))
    before = {name: run.bucket.head(run.bucket.folder.object(name)) for name in run.objects("events/")}
    market.break_next("destroy", status=500)
    market.kill(number)
    until(lambda: not market.billing())
    done = run.done()
    assert done is not None
    assert done.ok
    assert market.instances[number].starts == 2
    after = {name: run.bucket.head(run.bucket.folder.object(name)) for name in before}
    assert after == before  # no event was ever written over another
    assert len(run.objects("events/")) > len(before)


@pytest.mark.long
def test_a_rented_machine_that_cannot_boot_destroys_itself(market: FakeVast, server: Server) -> None:
    market.break_next("destroy", times=2, status=403)
    number = rent(market, f"{server.url}/nobody/nothing")
    until(lambda: market.calls("destroy"))
    market.kill(number)  # the container starts again, and has nothing to do but to ask for its end again
    until(lambda: not market.billing())


def test_a_machine_that_cannot_end_itself_is_given_up_at_once(
    market: FakeVast, sources: Path, tmp_path: Path, account: Callable[[str], str], remote: B2Store
) -> None:
    remote.put("in.mp4", (sources / "cfr.mp4").read_bytes())
    run = plan_run(account(""), account("in.mp4"), account("out.mkv"), cuts=(13, 29), state=tmp_path / "state")
    given = run.access(provider="vast").boot(LABEL, deadline_s=time.time() + 2 * LONG_S)
    environment = {"VAST_CONTAINERLABEL": "C.7", "CONTAINER_ID": "7", "VAST_URL": market.url}
    assert work(run, given, log=tmp_path / "log", environment=environment) == os.EX_TEMPFAIL
    assert "has no CONTAINER_API_KEY" in (tmp_path / "log").read_text()
    assert not run.commits()
