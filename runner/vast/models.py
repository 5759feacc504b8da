"""What the API's replies mean: offers, instances, the account and its bills."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final, Self

from pydantic import AliasChoices, Field, model_validator

from runner.vast.wire import Count, Described, Fact, Flag, Number, Price, Usd, Wire, Words

DATACENTER: Final = 1
"""`hosting_type` of a data centre."""
MONTH_H: Final = 720
"""As disks are billed."""
_ENDED: Final = frozenset({"exited", "stopped", "error", "frozen"})
_LOST: Final = frozenset({"offline", "unknown"})

Id = Annotated[int, Field(gt=0, strict=True)]


class Offer(Described):
    """A machine, or some GPUs of one, that could be rented now. What the API does not tell is None."""

    offer_id: Id = Field(validation_alias=AliasChoices("ask_contract_id", "id"), serialization_alias="ask_contract_id")
    machine_id: Id
    host_id: Count = None
    gpu_name: str = Field(min_length=1)
    """With spaces: `RTX 4090`."""
    gpu_count: int = Field(alias="num_gpus", ge=1)
    gpu_memory_mb: Number = Field(alias="gpu_ram", gt=0)
    """Of one GPU."""
    usd_per_h: Usd = Field(alias="dph_total", ge=0)
    """GPU and the disk that was searched for, without traffic."""
    gpu_usd_per_h: Price = Field(None, alias="dph_base")
    min_bid_usd_per_h: Price = Field(None, alias="min_bid")
    """What has to be bid for the GPUs alone; the disk comes on top."""
    storage_usd_per_h: Price = Field(None, alias="storage_total_cost")
    storage_usd_per_gb_month: Usd = Field(alias="storage_cost", ge=0)
    """A month has `MONTH_H` hours."""
    down_usd_per_gb: Usd = Field(alias="inet_down_cost", ge=0)
    up_usd_per_gb: Usd = Field(alias="inet_up_cost", ge=0)
    reliability: Fact = Field(
        None, validation_alias=AliasChoices("reliability2", "reliability"), serialization_alias="reliability2"
    )
    """0..1."""
    compute_cap: Count = None
    """Times 100: 890 is 8.9."""
    cuda_max: Fact = Field(None, alias="cuda_max_good")
    driver_version: Words = None
    gpu_memory_gb_per_s: Fact = Field(None, alias="gpu_mem_bw")
    cpu_cores: Fact = Field(None, alias="cpu_cores_effective")
    """The offer's share."""
    machine_cpu_cores: Fact = Field(None, alias="cpu_cores")
    machine_memory_mb: Fact = Field(None, alias="cpu_ram")
    disk_gb: Fact = Field(None, alias="disk_space")
    disk_mb_per_s: Fact = Field(None, alias="disk_bw")
    down_mbit_per_s: Fact = Field(None, alias="inet_down")
    up_mbit_per_s: Fact = Field(None, alias="inet_up")
    verification: Words = None
    hosting_type: Count = None
    geolocation: Words = None
    """`Sweden, SE`."""
    static_ip: Flag = None
    duration_s: Fact = Field(None, alias="duration")
    is_bid: Flag = None

    @property
    def country(self) -> str:
        """Two letters, or nothing."""
        code = (self.geolocation or "").rpartition(",")[2].strip()
        return code if len(code) == 2 else ""

    @property
    def is_verified(self) -> bool:
        return self.verification == "verified"

    @property
    def is_datacenter(self) -> bool:
        return self.hosting_type == DATACENTER

    @property
    def memory_gb(self) -> float | None:
        """The offer's share of the machine's memory, by its share of the cores."""
        if not (self.machine_memory_mb and self.machine_cpu_cores and self.cpu_cores):
            return None
        return self.machine_memory_mb * min(1.0, self.cpu_cores / self.machine_cpu_cores) / 1000

    def disk_usd_per_h(self, disk_gb: float) -> Decimal:
        """What `disk_gb` of disk cost beside the GPUs."""
        return self.storage_usd_per_gb_month * Decimal(str(disk_gb)) / MONTH_H

    def __str__(self) -> str:
        where = f", {self.country}" if self.country else ""
        return f"offer {self.offer_id}: {self.gpu_count}x {self.gpu_name}, ${self.usd_per_h:.3f}/h{where}"


class Instance(Described):
    """A rented machine. Early in its life everything but the number may be unknown."""

    instance_id: Id = Field(alias="id")
    label: str | None = None
    image: str | None = Field(None, alias="image_uuid")
    """It and the label say whose the instance is: what makes no sense there is an error."""
    machine_id: Count = None
    host_id: Count = None
    actual_status: Words = None
    """What its host last reported of the container."""
    intended_status: Words = None
    """What was asked for."""
    cur_state: Words = None
    next_state: Words = None
    status_msg: Words = None
    gpu_name: Words = None
    gpu_count: Count = Field(None, alias="num_gpus")
    usd_per_h: Price = Field(None, alias="dph_total")
    """While it runs, disk included."""
    min_bid_usd_per_h: Price = Field(None, alias="min_bid")
    is_bid: Flag = None
    down_usd_per_gb: Price = Field(None, alias="inet_down_cost")
    up_usd_per_gb: Price = Field(None, alias="inet_up_cost")
    geolocation: Words = None
    public_ip: Words = Field(None, alias="public_ipaddr")
    start_s: Fact = Field(None, alias="start_date")
    """Seconds since 1970."""
    end_s: Fact = Field(None, alias="end_date")

    @property
    def is_running(self) -> bool:
        """Whether its container runs, as far as its host told."""
        return self.actual_status == "running"

    @property
    def is_lost(self) -> bool:
        """Whether its host does not answer. It may come back, and go on."""
        return self.actual_status in _LOST

    @property
    def is_terminated(self) -> bool:
        """Whether it does no work any more: ended, stopped or outbid. Its disk is billed until it is destroyed."""
        if self.actual_status in _ENDED:
            return True
        # Outbid before it started: nothing is reported, and nothing ever will be.
        return not self.is_running and not self.is_lost and self.intended_status == "stopped"

    @property
    def started(self) -> datetime | None:
        return None if self.start_s is None else datetime.fromtimestamp(self.start_s, UTC)

    def __str__(self) -> str:
        parts = [self.actual_status or "new"]
        if self.gpu_name:
            parts.append(f"{self.gpu_count or 1}x {self.gpu_name}")
        if self.usd_per_h is not None:
            parts.append(f"${self.usd_per_h:.3f}/h")
        if self.label:
            parts.append(self.label)
        return f"instance {self.instance_id}: {', '.join(parts)}"


class Created(Wire):
    """What renting answers."""

    instance_id: Id = Field(alias="new_contract")
    instance_key: str | None = Field(None, alias="instance_api_key", repr=False)
    """A key for this instance alone."""


class User(Described):
    """The account. Its mail address and keys are in the reply too, and are not kept."""

    user_id: int = Field(alias="id")
    credit_usd: Usd = Field(alias="credit")
    """What is left to spend."""

    def __str__(self) -> str:
        return f"account {self.user_id}: ${self.credit_usd:.2f} left"


class ChargeItem(Described):
    """One part of a charge."""

    kind: str = Field(alias="type")
    """`gpu`, `disk`, `bwd` (download), `bwu` (upload)."""
    description: str = ""
    amount_usd: Usd = Field(alias="amount")


class Charge(Described):
    """What something cost in some span of time."""

    kind: str = Field(alias="type")
    source: str
    """`instance-123`."""
    start_s: Number | None = Field(None, alias="start")
    end_s: Number | None = Field(None, alias="end")
    amount_usd: Usd = Field(alias="amount")
    items: tuple[ChargeItem, ...] = ()

    @property
    def instance_id(self) -> int | None:
        """None for what no instance caused."""
        word, _, number = self.source.partition("-")
        return int(number) if word == "instance" and number.isdecimal() else None

    def __str__(self) -> str:
        parts = ", ".join(f"{item.kind} ${item.amount_usd:.4f}" for item in self.items)
        return f"{self.source}: ${self.amount_usd:.4f}" + (f" ({parts})" if parts else "")


class Page(Wire):
    """One page of instances."""

    instances: tuple[Instance, ...]
    next_token: str | None = None
    total_instances: int | None = None

    @model_validator(mode="after")
    def _check_token(self) -> Self:
        if self.next_token == "":
            raise ValueError("empty token")
        return self


class ChargePage(Wire):
    """One page of charges."""

    results: tuple[Charge, ...]
    next_token: str | None = None
