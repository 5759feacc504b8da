"""Vast.ai as the market of machines that `runner.provider` describes."""

from __future__ import annotations

from collections import Counter
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from runner.errors import OfferGoneError, RefusedError
from runner.gpus import provider_name
from runner.local import BOOT_VARIABLE
from runner.provider import Instance, InstanceRequest, Offer, State
from runner.spec import Market
from runner.vast.api import VastClient
from runner.vast.config import MIN_DISK_GB, InstanceConfig, RegistryLogin
from runner.vast.search import BID, ON_DEMAND, Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.spec import Requirements
    from runner.vast import models

DRIVER_PARTS: Final = "compute,utility,video"
"""What the container gets of the driver; without `video` the codec engines are not there, and nothing says so."""
PATIENCE_S: Final = 30.0
"""How long one call tries: whoever rents has patience of its own, and signals to listen to."""
SEARCHED: Final = 256
"""Offers that are looked at, cheapest first."""
_BID_STEP: Final = Decimal("0.0001")


class VastProvider:
    """Rents from Vast.ai. Instances and offers have their numbers there as ids."""

    name = "vast"
    costs = True

    def __init__(self, client: VastClient | None = None) -> None:
        """`client` is one with the key and the patience of this machine's settings unless another is given.

        Raises `ProviderKeyError` where there is no key.
        """
        self.client = client or VastClient(patience_s=PATIENCE_S)
        self._disk_usd_per_h: dict[str, Decimal] = {}

    def offers(
        self, requirements: Requirements, *, max_price_usd_per_h: Decimal | None, limit: int = 64
    ) -> Sequence[Offer]:
        """At most `limit`: where there are more, the cheapest of every kind of GPU, since the best value is seldom
        the lowest price.
        """
        search = search_for(requirements, max_price_usd_per_h)
        found = []
        for row in self.client.search(search):
            offer = _offer(row, requirements)
            if offer is None or (max_price_usd_per_h is not None and offer.price_usd_per_h > max_price_usd_per_h):
                continue
            self._disk_usd_per_h[offer.id] = row.disk_usd_per_h(_disk_gb(requirements))
            found.append(offer)
        return _of_every_kind(sorted(found, key=lambda offer: offer.price_usd_per_h), limit)

    def create(self, offer: Offer, request: InstanceRequest) -> Instance:
        config = self._config(offer, request)
        made = self.client.create(_number(offer.id, "offer"), config)
        return Instance(
            id=str(made.instance_id),
            label=request.label,
            image=request.image,
            machine=offer.machine,
            state=State.LOADING,
            gpu_name=offer.gpu_name,
            price_usd_per_h=offer.price_usd_per_h,
        )

    def instances(self) -> Sequence[Instance]:
        return [_instance(one) for one in self.client.instances()]

    def show(self, instance_id: str) -> Instance | None:
        shown = self.client.show(_number(instance_id, "instance"))
        return None if shown is None else _instance(shown)

    def destroy(self, instance_id: str) -> None:
        self.client.destroy(_number(instance_id, "instance"))

    def logs(self, instance_id: str, *, lines: int = 100) -> Sequence[str]:
        """What the container printed; where it never did, what its host says about it."""
        number = _number(instance_id, "instance")
        text = self.client.logs(number, lines=lines) or self.client.logs(number, lines=lines, daemon=True)
        return text.splitlines()[-lines:]

    def credit_usd(self) -> Decimal | None:
        return self.client.user().credit_usd

    def _config(self, offer: Offer, request: InstanceRequest) -> InstanceConfig:
        """What is sent. Raises `RefusedError` for what the API cannot take."""
        bid = None
        if request.bid_usd_per_h is not None:
            disk_usd_per_h = self._disk_usd_per_h.get(offer.id)
            if disk_usd_per_h is None:
                raise OfferGoneError(f"offer {offer.id} is not of the last search; search again")
            # Bids are for the GPUs alone, and the disk comes on top.
            bid = (request.bid_usd_per_h - disk_usd_per_h).quantize(_BID_STEP)
        env = {
            BOOT_VARIABLE: request.boot_url,
            "FRAMEHAUL_LABEL": request.label,
            "NVIDIA_DRIVER_CAPABILITIES": DRIVER_PARTS,
        }
        try:
            return InstanceConfig(
                image=request.image,
                label=request.label,
                disk_gb=max(request.disk_gb, MIN_DISK_GB),
                env=env,
                args=request.command,
                login=None if request.image_login is None else RegistryLogin.parse(request.image_login),
                bid_usd_per_h=bid,
            )
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise RefusedError(
                f"this cannot be rented: {field + ': ' if field else ''}{first['msg'].lower()}"
            ) from None
        except ValueError as error:  # the login's own words, which do not quote it
            raise RefusedError(str(error)) from None


def search_for(requirements: Requirements, max_price_usd_per_h: Decimal | None, *, limit: int = SEARCHED) -> Search:
    """The search for what is required, in the API's own fields and units."""
    is_bid = requirements.market is Market.BID
    wanted: dict[str, dict[str, Any]] = {
        "cpu_arch": {"eq": "amd64"},  # what the worker's image is built for
        "num_gpus": {"eq": requirements.num_gpus},
    }
    least = {
        "gpu_ram": _times(requirements.min_vram_gb, 1000),
        "reliability": requirements.min_reliability,
        "cuda_max_good": requirements.min_cuda,
        "compute_cap": _times(requirements.min_compute_capability, 100),
        "inet_down": requirements.min_down_mbps,
        "inet_up": requirements.min_up_mbps,
        "disk_bw": requirements.min_disk_mbps,
        "cpu_cores_effective": requirements.min_cpu_cores,
        "cpu_ram": _times(requirements.min_ram_gb, 1000),  # of the machine: the offer's share is checked afterwards
    }
    wanted |= {name: {"gte": value} for name, value in least.items() if value is not None}
    sets: dict[str, tuple[list[Any], list[Any]]] = {
        "gpu_name": (_names(requirements.gpu_names), _names(requirements.gpu_excluded)),
        "machine_id": (list(requirements.machines_allowed), list(requirements.machines_excluded)),
        "geolocation": (_codes(requirements.countries), _codes(requirements.countries_excluded)),
    }
    for name, (only, never) in sets.items():
        chosen = ({"in": only} if only else {}) | ({"notin": never} if never else {})
        wanted |= {name: chosen} if chosen else {}
    flags = {
        "verified": requirements.verified,
        "datacenter": requirements.datacenter,
        "static_ip": requirements.static_ip,
    }
    wanted |= {name: {"eq": True} for name, value in flags.items() if value}
    if max_price_usd_per_h is not None and not is_bid:  # what a bid has to be is computed here
        wanted["dph_total"] = {"lte": float(max_price_usd_per_h)}
    kind = BID if is_bid else ON_DEMAND
    return Search(where=wanted, kind=kind, disk_gb=_disk_gb(requirements), limit=limit)


def _of_every_kind(offers: Sequence[Offer], limit: int) -> list[Offer]:
    """`limit` of `offers`, which come cheapest first: the first of each GPU, then the second of each, and so on."""
    if len(offers) <= limit:
        return list(offers)
    seen: Counter[str] = Counter()
    ranked = []
    for place, offer in enumerate(offers):
        ranked.append((seen[offer.gpu_name], place, offer))
        seen[offer.gpu_name] += 1
    kept = sorted(ranked, key=lambda one: one[:2])[:limit]
    return [offer for _, _, offer in sorted(kept, key=lambda one: one[1])]


def _offer(row: models.Offer, requirements: Requirements) -> Offer | None:
    """`row` as a provider's offer; None where it has less than required, or no price."""
    if requirements.min_ram_gb is not None and (row.memory_gb or 0.0) < requirements.min_ram_gb:
        return None
    price, disk_usd_per_h = row.usd_per_h, row.disk_usd_per_h(_disk_gb(requirements))
    if requirements.market is Market.BID:
        if row.min_bid_usd_per_h is None:
            return None
        lowest = row.min_bid_usd_per_h.quantize(_BID_STEP, rounding=ROUND_CEILING)
        price = lowest + disk_usd_per_h
    return Offer(
        id=str(row.offer_id),
        machine=str(row.machine_id),
        gpu_name=row.gpu_name,
        num_gpus=row.gpu_count,
        vram_gb=row.gpu_memory_mb / 1000,
        price_usd_per_h=price,
        disk_usd_per_h=disk_usd_per_h,
        down_usd_per_gb=row.down_usd_per_gb,
        up_usd_per_gb=row.up_usd_per_gb,
        reliability=row.reliability,
        compute_capability=None if row.compute_cap is None else row.compute_cap / 100,
        cuda=row.cuda_max,
        cpu_cores=row.cpu_cores,
        ram_gb=row.memory_gb,
        memory_gb_per_s=row.gpu_memory_gb_per_s,
        down_mbps=row.down_mbit_per_s,
        up_mbps=row.up_mbit_per_s,
        disk_gb=row.disk_gb,
        country=row.country,
        verified=row.is_verified,
        datacenter=row.is_datacenter,
        is_bid=requirements.market is Market.BID,
        ends_in_s=row.duration_s,
    )


def _instance(row: models.Instance) -> Instance:
    state = State.LOADING
    if row.is_running:
        state = State.RUNNING
    elif row.is_lost:
        state = State.UNREACHABLE
    elif row.is_terminated:
        state = State.STOPPED
    return Instance(
        id=str(row.instance_id),
        label=row.label or "",
        image=row.image or "",
        machine="" if row.machine_id is None else str(row.machine_id),
        state=state,
        gpu_name=row.gpu_name or "",
        price_usd_per_h=row.usd_per_h or Decimal(0),
        message=row.status_msg or "",
        started_s=row.start_s,
    )


def _number(text: str, what: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise RefusedError(f"{what} {text!r} is not of Vast.ai: there they have numbers")
    return int(text)


def _disk_gb(requirements: Requirements) -> float:
    return max(requirements.min_disk_gb, MIN_DISK_GB)


def _times(value: float | None, factor: int) -> float | None:
    """`value` in the API's unit; a whole number where it is one."""
    return None if value is None else round(value * factor)


def _names(names: Sequence[str]) -> list[str]:
    return [provider_name(name) for name in names]


def _codes(countries: Sequence[str]) -> list[str]:
    return [code.strip().upper() for code in countries]


def open_vast() -> VastProvider:
    """Vast.ai with the key and the server of this machine's settings. Raises `ProviderKeyError` without a key."""
    return VastProvider()
