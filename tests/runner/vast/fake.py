"""A Vast.ai of our own, over real HTTP: offers, instances that are child processes, bills, and faults on demand.

    with FakeVast(tmp_path) as vast:
        vast.images["ghcr.io/me/worker:1"] = Image(entrypoint=(sys.executable, "-m", "runner", "worker"))
        client = vast.client()                       # ours, with the account's key
        subprocess.run(..., env={**os.environ, **vast.environment()})   # any program's: VAST_URL and VAST_API_KEY
        vast.break_next("create", lose=True)         # rent, but lose the reply
        vast.kill(instance_id); vast.outbid(instance_id); vast.silence(60)
        assert not vast.billing()                    # numbers of instances that still cost money
        assert secret not in vast.journal_text()     # everything that was ever sent to the API

Time is that of `clock`: shared with the client, it makes long waits short (`VirtualClock`, `ScaledClock`).
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from tests.runner.vast.clocks import Clock, RealClock
from tests.runner.vast.fake_http import VastHttp
from tests.runner.vast.fake_instance import FakeInstance, Image
from tests.runner.vast.fake_market import make_offer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from runner.vast.api import VastClient

__all__ = ["ACCOUNT_KEY", "IMAGE", "Boot", "Call", "FakeVast", "Fault", "Image"]

ACCOUNT_KEY: Final = "VASTKEYaccount0123456789abcdefThatNobodyMaySee"
IMAGE: Final = "framehaul/worker:test"
ALL_RIGHTS: Final = frozenset({"misc", "instance_read", "instance_write", "user_read", "billing_read"})
_TICK_S: Final = 0.02


@dataclass(kw_only=True)
class Fault:
    """What goes wrong with the next calls of one kind."""

    call: str
    """`create`, `list`, `show`, `destroy`, `search`, `logs`, `change`, `bid`, `user`, `charges` or `*`."""
    times: int = 1
    skip: int = 0
    """Calls that still go well before."""
    status: int | None = None
    """Answered in place of what would have been."""
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    """Do what was asked, then answer `status`; a `new_contract` stays in the body when `contract`."""
    contract: bool = False
    lose: bool = False
    """Do what was asked, then hang up."""
    drop: bool = False
    """Hang up at once."""
    empty: bool = False
    """A page without rows, that says how many there are."""
    lie: bool = False
    """With `empty`: and says there are none."""
    cut: bool = False
    """Half of the answer, then hang up."""
    delay_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request, as the journal keeps it. The key is not in it; `identity` says whose it was."""

    time_s: float
    identity: str
    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]
    name: str
    status: int
    """0 when nothing was answered."""


@dataclass(kw_only=True)
class Boot:
    """How long the steps of an instance's start take, in seconds of the clock."""

    new_s: float = 0.05
    """Until anything is reported."""
    loading_s: float = 0.15
    restart_s: float = 0.1
    """From a container's end to its next start."""


class FakeVast:
    """The market and one account. Its methods may be called from any thread."""

    def __init__(self, folder: Path, *, clock: Clock | None = None, offers: int = 10) -> None:
        self.folder = folder
        self.clock: Clock = clock or RealClock()
        self.lock = threading.RLock()
        self.offers: list[dict[str, Any]] = [make_offer(number) for number in range(offers)]
        self.instances: dict[int, FakeInstance] = {}
        """Everything that was ever rented, destroyed or not."""
        self.images: dict[str, Image] = {IMAGE: Image()}
        self.account_env: dict[str, str] = {}
        """Given to every container."""
        self.rights: dict[str, frozenset[str]] = {ACCOUNT_KEY: ALL_RIGHTS}
        """Key -> what it may do."""
        self.boot = Boot()
        self.restarts_exited = True
        """Whether a container that ends is started again, as most hosts do."""
        self.filters_apply = True
        """Whether searches are obeyed."""
        self.page_rows = 25
        """Instances in one page at most."""
        self.intervals_apply = True
        """Whether calls that come too soon are refused."""
        self.tells_retry_after = True
        self.initial_credit_usd = 25.0
        self.traffic: Callable[[str], tuple[int, int]] | None = None
        """Bytes that the instance with a label has got and sent until now, for whoever can tell: `(down, up)`."""
        self.faults: list[Fault] = []
        self.journal: list[Call] = []
        self.silent_until_s = 0.0
        self.resurrections: list[tuple[float, int]] = []
        self._resurrect_after_s: float | None = None
        self._number = 14_782_300
        self._stop = threading.Event()
        self._http = VastHttp(self)
        self.url = self._http.url

    def __enter__(self) -> Self:
        self._http.start()
        self._ticker = threading.Thread(target=self._run, daemon=True)
        self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._ticker.join()
        self._http.stop()
        with self.lock:
            for instance in self.instances.values():
                instance.kill()

    def environment(self) -> dict[str, str]:
        """What makes a program use this account: ours and the official command-line tool alike."""
        return {"VAST_URL": self.url, "VAST_API_KEY": ACCOUNT_KEY}

    def client(self, key: str = ACCOUNT_KEY, **options: Any) -> VastClient:
        """Our client with this clock; waits without chance."""
        from runner.vast.api import VastClient
        from runner.vast.key import ApiKey

        given = {"clock": self.clock.time, "sleep": self.clock.sleep, "chance": lambda: 1.0, "read_timeout_s": 5.0}
        return VastClient(ApiKey(secret=key, origin="the test"), url=self.url, **(given | options))

    def add_key(self, *rights: str) -> str:
        """A key that may do only this."""
        key = f"VASTKEY{secrets.token_hex(16)}"
        self.rights[key] = frozenset(rights)
        return key

    def add_offer(self, **fields: Any) -> dict[str, Any]:
        """One more offer; `fields` as the API calls them."""
        with self.lock:
            offer = make_offer(len(self.offers), **fields)
            self.offers.append(offer)
            return offer

    def break_next(self, call: str, **facts: Any) -> Fault:
        """From now on, the next calls of that kind go wrong: see `Fault`."""
        fault = Fault(call=call, **facts)
        with self.lock:
            self.faults.append(fault)
        return fault

    def silence(self, seconds: float) -> None:
        """Hang up on everybody for so long."""
        self.silent_until_s = self.clock.time() + seconds

    def rent(self, offer: dict[str, Any], body: dict[str, Any]) -> FakeInstance:
        """What the create call does once it is allowed."""
        with self.lock:
            self._number += 1
            folder = self.folder / f"C.{self._number}"
            instance = FakeInstance(self._number, offer, body, self.clock, folder)
            instance.next_s = self.clock.time() + self.boot.new_s
            self.instances[instance.id] = instance
            offer["rentable"] = False
            return instance

    def add_foreign(self, label: str = "somebody-else", image: str = "pytorch/pytorch:latest") -> FakeInstance:
        """An instance that another program of this account has rented: nobody here may touch it."""
        with self.lock:
            instance = self.rent(make_offer(900 + self._number), {"image": image, "label": label, "disk": 20})
            instance.foreign = True
            instance.change("running", message="success, running")
            return instance

    def end(self, instance: FakeInstance) -> None:
        """What the destroy call does."""
        with self.lock:
            instance.count()
            instance.destroyed_s = self.clock.time()
            instance.offer["rentable"] = True
            instance.kill()
            self._count_traffic(instance)
            if self._resurrect_after_s is not None:
                self.resurrections.append((self.clock.time() + self._resurrect_after_s, instance.id))
                self._resurrect_after_s = None

    def resurrect_next(self, after_s: float = 0.0) -> None:
        """The next instance that is destroyed comes back, and costs money again."""
        self._resurrect_after_s = after_s

    def resurrect(self, number: int) -> None:
        """A destroyed instance comes back."""
        with self.lock:
            instance = self.instances[number]
            instance.meter.since_s = self.clock.time()
            instance.destroyed_s = None
            instance.change("loading", intended="running")
            instance.next_s = self.clock.time()

    def outbid(self, number: int) -> None:
        """Somebody bids more: the container is killed without notice, its disk stays and is billed."""
        with self.lock:
            instance = self.instances[number]
            instance.change("stopped", message="", intended="stopped")
            instance.kill()

    def win(self, number: int) -> None:
        """The price falls again: a stopped bid starts by itself."""
        with self.lock:
            instance = self.instances[number]
            instance.change("loading", intended="running")
            instance.next_s = self.clock.time() + self.boot.loading_s

    def kill(self, number: int) -> None:
        """SIGKILL to everything in the container; the platform will start it again."""
        with self.lock:
            self.instances[number].kill()
            self._container_ended(self.instances[number])

    restart = kill

    def go_offline(self, number: int) -> None:
        """The host is gone, with everything on it as it is."""
        with self.lock:
            self.instances[number].freeze(frozen=True)
            self.instances[number].change("offline")

    def come_back(self, number: int) -> None:
        """The host is there again, and its container goes on."""
        with self.lock:
            self.instances[number].freeze(frozen=False)
            self.instances[number].change("running")

    def billing(self) -> list[int]:
        """Numbers of our instances that exist: each still costs something."""
        with self.lock:
            return [one.id for one in self.instances.values() if one.exists and not one.foreign]

    def spent_usd(self, *, foreign: bool = False) -> float:
        """What all of our instances have cost until now."""
        with self.lock:
            for instance in self.instances.values():
                if instance.exists:
                    self._count_traffic(instance)
            return self._counted_usd(foreign=foreign)

    def _counted_usd(self, *, foreign: bool) -> float:
        for instance in self.instances.values():
            instance.count()
        return sum(one.meter.total_usd for one in self.instances.values() if foreign or not one.foreign)

    def _count_traffic(self, instance: FakeInstance) -> None:
        if self.traffic is not None and instance.label and not instance.foreign:
            instance.count_traffic(*self.traffic(instance.label))

    @property
    def credit_usd(self) -> float:
        """What is left, all traffic that was counted before taken off."""
        with self.lock:
            return self.initial_credit_usd - self._counted_usd(foreign=True)

    def calls(self, name: str) -> list[Call]:
        """The journal's entries of one kind."""
        with self.lock:
            return [call for call in self.journal if call.name == name]

    def journal_text(self) -> str:
        """Everything that was sent to the API, the key's header left out."""
        with self.lock:
            return "\n".join(
                json.dumps([call.method, call.path, call.query, call.body, call.headers]) for call in self.journal
            )

    def key_leaks(self) -> list[Call]:
        """Requests that carry a key of this account anywhere but in its header."""
        keys = [*self.rights, *(one.key for one in self.instances.values())]
        pattern = re.compile("|".join(map(re.escape, keys)))
        with self.lock:
            return [
                call
                for call in self.journal
                if pattern.search(json.dumps([call.path, call.query, call.body, call.headers]))
            ]

    def tick(self) -> None:
        """Move everything on to now."""
        now = self.clock.time()
        with self.lock:
            for due_s, number in [entry for entry in self.resurrections if entry[0] <= now]:
                self.resurrections.remove((due_s, number))
                self.resurrect(number)
            for instance in list(self.instances.values()):
                if instance.exists and not instance.foreign:
                    self._step(instance, now)
            if self.instances and self.credit_usd <= 0:
                for instance in self.instances.values():
                    if instance.exists and instance.actual_status == "running":
                        instance.change("stopped", intended="stopped")
                        instance.kill()

    def _step(self, instance: FakeInstance, now: float) -> None:
        status = instance.actual_status
        if status == "running":
            if not instance.is_alive:
                self._container_ended(instance)
            return
        if now < instance.next_s or instance.intended_status != "running":
            return
        if status is None:
            instance.change("loading", message=f"Pulling from {instance.body.get('image')}")
            instance.next_s = now + self.boot.loading_s
        elif status in {"loading", "exited"} and not (status == "exited" and not self.restarts_exited):
            self._start(instance)

    def _start(self, instance: FakeInstance) -> None:
        name = str(instance.body.get("image"))
        image = self.images.get(name)
        trouble = _pull_trouble(name, image, instance.body.get("image_login"))
        if trouble is not None or image is None:
            instance.change("loading", message=trouble)
            return
        instance.pulled_bytes = image.size_bytes
        try:
            instance.start(image, self.url, self.account_env)
        except OSError as error:
            instance.change("created", message=f"Error response from daemon: {error}")
            instance.cur_state = "stopped"

    def _container_ended(self, instance: FakeInstance) -> None:
        instance.kill()
        instance.change("exited", message="")
        instance.next_s = self.clock.time() + self.boot.restart_s

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            self.tick()


def _pull_trouble(name: str, image: Image | None, login: str | None) -> str | None:
    """What the host says when it cannot pull an image; None when it can."""
    if image is None:
        return f"Error: manifest unknown: failed to resolve reference {name}"
    if image.login is not None and image.login != login:
        return f"Error: pull access denied for {name}, repository does not exist or may require docker login"
    return image.pull_error
