"""What a market of machines is to the runner: the protocol that every provider obeys, and its values.

Nothing is rented but through `runner.lease`, which is the only caller of `create`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.spec import Requirements


class State(Enum):
    """Where an instance is in its life."""

    LOADING = "loading"
    """Created; the image is being pulled or the container starts."""
    RUNNING = "running"
    STOPPED = "stopped"
    """Exited, outbid, or stopped by the host: it does no work, and its disk may still be billed."""
    UNREACHABLE = "unreachable"
    """The host does not answer; whether it is billed is unknown."""
    GONE = "gone"
    """Destroyed: the provider has confirmed that there is no such instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A machine that could be rented now. Numbers the provider does not tell are None."""

    id: str
    machine: str
    """The physical machine: what a black list names."""
    gpu_name: str
    """Empty for a machine without one."""
    num_gpus: int
    vram_gb: float | None
    price_usd_per_h: Decimal
    """GPU and the disk that was asked for; for bids what has to be bid, disk included."""
    disk_usd_per_h: Decimal = Decimal(0)
    """The disk's part of it, which is billed while a machine is stopped too."""
    down_usd_per_gb: Decimal = Decimal(0)
    up_usd_per_gb: Decimal = Decimal(0)
    reliability: float | None = None
    """0..1."""
    compute_capability: float | None = None
    cuda: float | None = None
    cpu_cores: float | None = None
    """The offer's share."""
    ram_gb: float | None = None
    memory_gb_per_s: float | None = None
    """Memory bandwidth of one GPU."""
    down_mbps: float | None = None
    """Megabit per second."""
    up_mbps: float | None = None
    disk_gb: float | None = None
    country: str = ""
    verified: bool = False
    datacenter: bool = False
    is_bid: bool = False
    ends_in_s: float | None = None
    """How long the host promises to stay."""

    def __str__(self) -> str:
        gpu = f"{self.num_gpus}x {self.gpu_name}" if self.gpu_name else "no GPU"
        return f"offer {self.id}: {gpu}, ${self.price_usd_per_h:.3f}/h{f', {self.country}' if self.country else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceRequest:
    """What to start on a rented machine. Nothing in it is secret but `boot_url`, which dies within the hour."""

    label: str
    """Unique: what the instance is found by when the reply was lost."""
    image: str
    command: tuple[str, ...]
    """Arguments of the image's entrypoint, the worker."""
    boot_url: str = field(repr=False)
    deadline_s: float | None = None
    """When it ends itself, as its bootstrap says; seconds since 1970."""
    disk_gb: float = 16
    bid_usd_per_h: Decimal | None = None
    """For offers that are bids."""
    image_login: str | None = field(default=None, repr=False)
    """Registry login as the provider takes it, for private images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A rented machine, as the provider describes it now."""

    id: str
    label: str
    image: str
    machine: str
    state: State
    gpu_name: str
    price_usd_per_h: Decimal
    """What it costs while it runs, disk included."""
    message: str = ""
    """The provider's own words on its state."""
    started_s: float | None = None
    """Seconds since 1970."""

    @property
    def is_running(self) -> bool:
        return self.state is State.RUNNING

    @property
    def is_terminated(self) -> bool:
        """Whether it has been proven gone. A stopped one is not: its disk is billed."""
        return self.state is State.GONE

    def __str__(self) -> str:
        return f"instance {self.id} ({self.gpu_name or 'no GPU'}, {self.state.value}, ${self.price_usd_per_h:.3f}/h)"


class Provider(Protocol):
    """A market of machines. Every method raises `ProviderError` (exit 5) when the provider fails or refuses.

    "Cannot say" is always an error and never an empty answer.
    """

    name: str
    """`vast` or `local`."""
    costs: bool
    """Whether instances cost money."""

    def offers(
        self, requirements: Requirements, *, max_price_usd_per_h: Decimal | None, limit: int = 64
    ) -> Sequence[Offer]:
        """Offers that satisfy everything asked, checked again on this side. May be empty."""
        ...

    def create(self, offer: Offer, request: InstanceRequest) -> Instance:
        """Rent. Sent once: `OfferGoneError` when somebody else was faster (nothing was rented),
        `UnknownOutcomeError` when the reply was lost or contradicts itself (look for the label).
        """
        ...

    def instances(self) -> Sequence[Instance]:
        """Every instance of the account, all pages."""
        ...

    def show(self, instance_id: str) -> Instance | None:
        """None when the provider says that there is no such instance, and can be believed."""
        ...

    def destroy(self, instance_id: str) -> None:
        """Ask for its end; nothing when it is gone already. Whoever needs proof asks `show` afterwards."""
        ...

    def logs(self, instance_id: str, *, lines: int = 100) -> Iterable[str]:
        """The last lines its container printed."""
        ...

    def credit_usd(self) -> Decimal | None:
        """What the account can still spend; None where nothing costs anything."""
        ...
