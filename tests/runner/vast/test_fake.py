"""The fake Vast.ai does what the real one is known to do: other tests rely on it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.runner.vast.fake import ACCOUNT_KEY, IMAGE, FakeVast, Image
from tests.runner.vast.test_client import SLEEPER, config
from tests.runner.vast.wait import until

if TYPE_CHECKING:
    from runner.vast.api import VastClient
    from tests.runner.vast.clocks import VirtualClock
    from tests.runner.vast.fake_instance import FakeInstance

OFFER = 27400000
ROOT = Path(__file__).parents[3]


@pytest.fixture
def number(vast: FakeVast, client: VastClient) -> int:
    """An instance that runs."""
    vast.images[IMAGE] = SLEEPER
    made = client.create(OFFER, config()).instance_id
    until_running(client, made)
    return made


def until_running(client: VastClient, number: int) -> None:
    until(lambda: (shown := client.show(number)) and shown.is_running)


def ask(vast: FakeVast, method: str, path: str, body: Any = None, key: str = ACCOUNT_KEY) -> tuple[int, Any]:
    """One request as any program would send it."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(vast.url + path, method=method, data=data, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or b"null")


CREATE: dict[str, Any] = {"client_id": "me", "image": IMAGE, "disk": 16, "runtype": "args"}


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": None},
        {"image": None},
        {"image": 5},
        {"disk": 5},
        {"disk": "16"},
        {"disk": 100_000},
        {"env": "-e A=1"},
        {"env": {"A": 1}},
        {"label": "x" * 257},
        {"price": 0},
        {"price": "0.2"},
        {"runtype": "docker"},
        {"args": "run"},
        {"args": ["run"], "runtype": "ssh"},
        {"cancel_unavail": "yes"},
        {"retries": 3},
    ],
)
def test_create_is_strict(vast: FakeVast, change: dict[str, Any]) -> None:
    status, body = ask(vast, "PUT", f"/api/v0/asks/{OFFER}/", CREATE | change)
    assert status == 400
    assert body["success"] is False
    assert not vast.instances


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v0/instances/", None, 410),
        ("GET", "/api/v1/instances/?limit=26", None, 400),
        ("GET", "/api/v1/instances/?select_filters=%7B%22dph_total%22:%7B%7D%7D", None, 400),
        ("GET", "/api/v1/instances/?after_token=x", None, 400),
        ("GET", "/api/v1/instances", None, 404),
        ("GET", "/api/v1/instances/?api_key=x", None, 400),
        ("POST", "/api/v0/bundles/", {"gpu_rams": {"gte": 1}}, 400),
        ("POST", "/api/v0/bundles/", {"gpu_ram": 1}, 400),
        ("POST", "/api/v0/bundles/", {"gpu_ram": {"over": 1}}, 400),
        ("POST", "/api/v0/bundles/", {"type": "spot"}, 400),
        ("PUT", "/api/v0/instances/1/", {"label": "x"}, 404),
        ("DELETE", "/api/v0/instances/1/", {}, 404),
        ("PUT", "/api/v0/instances/request_logs/1/", {}, 404),
        ("GET", "/api/v0/charges/", None, 400),
        ("GET", "/api/v0/nothing/", None, 404),
    ],
)
def test_the_rest_is_strict(vast: FakeVast, method: str, path: str, body: Any, status: int) -> None:
    assert ask(vast, method, path, body)[0] == status


def test_names_with_underscores_match_nothing(vast: FakeVast) -> None:
    assert ask(vast, "POST", "/api/v0/bundles/", {"gpu_name": {"eq": "RTX_4090"}}) == (200, {"offers": []})


def test_calls_that_come_too_soon(vast: FakeVast, clock: VirtualClock) -> None:
    path = "/api/v0/instances/5/"
    assert [ask(vast, "GET", path)[0] for _ in range(3)] == [200, 429, 429]
    clock.advance(2.0)
    assert ask(vast, "GET", path)[0] == 200
    vast.intervals_apply = False
    assert ask(vast, "GET", path)[0] == 200


def test_a_container_that_ends_is_started_again(vast: FakeVast, client: VastClient) -> None:
    vast.images[IMAGE] = Image(entrypoint=("/bin/sh", "-c", "echo once >> kept; wc -l < kept"))
    number = client.create(OFFER, config()).instance_id
    until(lambda: client.show(number) and "3" in vast.instances[number].log.split())
    assert vast.instances[number].starts >= 3


def test_a_container_that_ends_may_stay_ended(vast: FakeVast, client: VastClient) -> None:
    vast.restarts_exited = False
    vast.images[IMAGE] = Image(entrypoint=("/bin/true",))
    number = client.create(OFFER, config()).instance_id
    until(lambda: (shown := client.show(number)) and shown.actual_status == "exited")
    client.instances()
    assert vast.instances[number].starts == 1


def test_kill_reaches_everything_in_the_container(vast: FakeVast, client: VastClient) -> None:
    vast.images[IMAGE] = Image(entrypoint=("/bin/sh", "-c", "setsid sleep 1001 & sleep 1002 & exec sleep 1003"))
    number = client.create(OFFER, config()).instance_id
    until_running(client, number)
    instance = vast.instances[number]
    first = until(lambda: len(pids := instance.pids()) >= 4 and pids)
    vast.kill(number)
    assert not set(first or ()) & set(instance.pids())
    until(lambda: client.show(number) and instance.starts == 2)
    client.destroy(number)
    assert instance.pids() == []


def test_a_host_that_goes_and_comes_back(vast: FakeVast, client: VastClient, number: int) -> None:
    vast.go_offline(number)
    shown = client.show(number)
    assert shown is not None
    assert shown.is_lost
    spent = vast.spent_usd()
    vast.clock.sleep(3600)
    assert vast.spent_usd() == spent
    vast.come_back(number)
    until_running(client, number)
    assert vast.instances[number].starts == 1


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (None, "manifest unknown"),
        (Image(login="-u bob -p token ghcr.io"), "pull access denied"),
        (Image(pull_error="toomanyrequests: pull rate limit"), "toomanyrequests"),
    ],
)
def test_images_that_cannot_be_pulled(vast: FakeVast, client: VastClient, image: Image | None, words: str) -> None:
    del vast.images[IMAGE]
    if image is not None:
        vast.images[IMAGE] = image
    number = client.create(OFFER, config()).instance_id
    until(lambda: (shown := client.show(number)) and words in (shown.status_msg or ""))
    assert not vast.instances[number].starts
    assert words in client.logs(number, daemon=True)


@pytest.mark.parametrize(
    "image",
    [Image(entrypoint=("/no/such/program",)), Image(start_error="failed to inject CDI devices: unresolvable")],
)
def test_containers_that_cannot_be_started(vast: FakeVast, client: VastClient, image: Image) -> None:
    vast.images[IMAGE] = image
    number = client.create(OFFER, config()).instance_id
    until(lambda: (shown := client.show(number)) and "Error response from daemon" in (shown.status_msg or ""))
    shown = client.show(number)
    assert shown is not None
    assert (shown.actual_status, shown.cur_state, vast.instances[number].starts) == ("created", "stopped", 0)


def test_the_meter(vast: FakeVast, clock: VirtualClock, client: VastClient, number: int) -> None:
    meter = vast.instances[number].meter
    vast.spent_usd()
    gpu, disk = meter.gpu_usd, meter.disk_usd
    clock.advance(3600)
    vast.spent_usd()
    assert meter.gpu_usd - gpu == pytest.approx(0.3333)
    assert meter.disk_usd - disk == pytest.approx(0.15 * 16 / 720)
    vast.outbid(number)
    gpu, disk = meter.gpu_usd, meter.disk_usd
    clock.advance(3600)
    vast.spent_usd()
    assert meter.gpu_usd == pytest.approx(gpu)
    assert meter.disk_usd - disk == pytest.approx(0.15 * 16 / 720)
    client.destroy(number)
    total = vast.spent_usd()
    clock.advance(3600)
    assert vast.spent_usd() == pytest.approx(total)


def test_no_money_stops_everything(vast: FakeVast, clock: VirtualClock, client: VastClient, number: int) -> None:
    clock.advance(100 * 3600)
    until(lambda: (shown := client.show(number)) and shown.is_terminated)
    assert not vast.instances[number].is_alive
    assert vast.billing() == [number]


def test_resurrection(vast: FakeVast, client: VastClient, number: int) -> None:
    vast.resurrect_next(after_s=30)
    client.destroy(number)
    assert client.show(number) is None
    vast.clock.sleep(30)
    until_running(client, number)
    assert vast.billing() == [number]
    client.destroy(number)
    vast.clock.sleep(100)
    assert client.show(number) is None


def test_other_peoples_instances(vast: FakeVast, client: VastClient) -> None:
    theirs = vast.add_foreign("their-job")
    assert [one.label for one in client.instances()] == ["their-job"]
    assert vast.billing() == []
    assert theirs.exists


def test_what_becomes_another_program_just_then_is_killed_too(tmp_path: Path) -> None:
    again = 'exec sh -c "$0" "$0"'
    with FakeVast(tmp_path) as running:
        running.images[IMAGE] = Image(entrypoint=("sh", "-c", again, again))
        for _ in range(20):
            instance = started(running)
            running.end(instance)  # which waits in vain for a process that it has missed
            assert instance.pids() == []


def started(vast: FakeVast) -> FakeInstance:
    instance = vast.rent(vast.offers[0], {"image": IMAGE, "runtype": "args"})
    until(lambda: instance.is_alive)
    return instance


PROGRAM = """
import sys, time
from pathlib import Path
from tests.runner.vast.fake import IMAGE, FakeVast, Image

with FakeVast(Path(sys.argv[1])) as vast:
    vast.images[IMAGE] = Image(entrypoint=("/bin/sleep", "1004"))
    instance = vast.rent(vast.offers[0], {"image": IMAGE, "runtype": "args"})
    while not instance.is_alive:
        time.sleep(0.01)
    print(*instance.pids(), flush=True)
    time.sleep(1000)
"""


def test_nothing_outlives_the_fake_even_when_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) >= 1
        process.kill()
    until(lambda: not any(environment_of(pid) for pid in pids))


def environment_of(pid: int) -> bytes:
    """Empty for a process that is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
