"""Offers of the fake Vast.ai, and searching in them as the real one does."""

from __future__ import annotations

from typing import Any, Final

from tests.runner.vast.fake_checks import Refusal

CAP: Final = 64
"""Offers in one reply at most."""
Row = dict[str, Any]

# gpu_name, gpu_ram MB, compute_cap, $/h of the GPU, min_bid, more
_MACHINES: Final[tuple[tuple[str, int, int, float, float, Row], ...]] = (
    ("RTX 4090", 24564, 890, 0.3333, 0.1422, {"geolocation": "Sweden, SE", "gpu_mem_bw": 1008.0}),
    ("RTX 3090", 24576, 860, 0.1600, 0.0800, {"geolocation": "Germany, DE", "gpu_mem_bw": 936.0}),
    ("RTX 3060", 12288, 860, 0.0550, 0.0300, {"reliability2": 0.91, "inet_down": 210.0, "cpu_cores_effective": 6.0}),
    ("RTX 5090", 32607, 1200, 0.6500, 0.3000, {"geolocation": "Poland, PL", "gpu_mem_bw": 1792.0}),
    ("L4", 23034, 890, 0.2700, 0.1500, {"hosting_type": 1, "gpu_mem_bw": 300.0, "geolocation": "Finland, FI"}),
    ("A100 SXM4", 81920, 800, 0.8900, 0.5000, {"hosting_type": 1, "gpu_mem_bw": 2039.0, "geolocation": "Iceland, IS"}),
    ("H100 SXM", 81559, 900, 1.9300, 1.2000, {"hosting_type": 1, "gpu_mem_bw": 3350.0, "geolocation": "France, FR"}),
    ("RTX 4090", 24564, 890, 0.2900, 0.1300, {"verification": "unverified", "geolocation": "China, CN"}),
    ("GH200 SXM", 97871, 900, 1.4900, 0.9000, {"cpu_arch": "arm64", "gpu_mem_bw": 4000.0}),
    ("RTX 4060 Ti", 16380, 890, 0.0900, 0.0500, {"inet_down_cost": 0.02, "inet_up_cost": 0.02, "gpu_mem_bw": 288.0}),
)
_COMMON: Final[Row] = {
    "num_gpus": 1,
    "gpu_frac": 0.25,
    "gpu_arch": "nvidia",
    "cuda_max_good": 12.8,
    "driver_version": "570.86.15",
    "driver_vers": 570086015,
    "cpu_name": "AMD EPYC 7543",
    "cpu_cores": 64,
    "cpu_cores_effective": 16.0,
    "cpu_ram": 128741,
    "cpu_arch": "amd64",
    "has_avx": 1,
    "disk_space": 412.7,
    "disk_bw": 2731.4,
    "disk_name": "nvme",
    "inet_down": 1874.2,
    "inet_up": 921.5,
    "inet_down_cost": 0.002,
    "inet_up_cost": 0.004,
    "storage_cost": 0.15,
    "reliability2": 0.9963,
    "verification": "verified",
    "hosting_type": 0,
    "rentable": True,
    "rented": False,
    "is_bid": False,
    "direct_port_count": 50,
    "static_ip": True,
    "geolocation": "Norway, NO",
    "duration": 2419200.5,
    "gpu_mem_bw": 600.0,
    "pci_gen": 4.0,
    "dlperf": 98.4,
    "score": 301.2,
}
_FIELDS: Final = """
    id ask_contract_id machine_id host_id gpu_name num_gpus gpu_ram gpu_total_ram gpu_frac gpu_arch
    compute_cap cuda_max_good driver_version gpu_mem_bw pcie_bw bw_nvlink pci_gen gpu_lanes gpu_max_power
    gpu_max_temp gpu_display_active cpu_ram cpu_cores cpu_cores_effective cpu_ghz cpu_name cpu_arch has_avx
    disk_space disk_bw inet_down inet_up inet_down_cost inet_up_cost storage_cost dph_base dph_total min_bid
    reliability expected_reliability verified datacenter rentable rented external vms_enabled static_ip
    direct_port_count geolocation duration end_date dlperf dlperf_per_dphtotal total_flops flops_per_dphtotal
    score os_version ubuntu_version cluster_id
"""
_CONTROL: Final = frozenset({"type", "order", "limit", "allocated_storage"})
_TYPES: Final = frozenset({"on-demand", "ondemand", "bid", "reserved"})


def make_offer(number: int, **fields: Any) -> Row:
    """An offer as the real API describes one; `fields` replace what it says."""
    name, memory_mb, capability, usd_per_h, min_bid, more = _MACHINES[number % len(_MACHINES)]
    row: Row = {
        **_COMMON,
        "id": 27_400_000 + number,
        "ask_contract_id": 27_400_000 + number,
        "machine_id": 31_000 + number,
        "host_id": 88_000 + number,
        "gpu_name": name,
        "gpu_ram": memory_mb,
        "compute_cap": capability,
        "dph_base": usd_per_h,
        "min_bid": min_bid,
        "public_ipaddr": f"203.0.113.{number % 250 + 1} ",
        **more,
        **fields,
    }
    row["gpu_total_ram"] = row["gpu_ram"] * row["num_gpus"]
    row.setdefault("reliability", row["reliability2"])
    return row


def priced(row: Row, *, disk_gb: float, bid: bool = False) -> Row:
    """`row` with the prices that it has with that disk."""
    base = row["min_bid"] if bid else row["dph_base"]
    disk = row["storage_cost"] * disk_gb / 720
    return row | {
        "is_bid": bid,
        "dph_base": base,
        "storage_total_cost": round(disk, 6),
        "dph_total": round(base + disk, 6),
        "search": {"gpuCostPerHour": base, "diskHour": round(disk, 6), "totalHour": round(base + disk, 6)},
    }


def search(offers: list[Row], body: Row, *, filters_apply: bool = True) -> list[Row]:
    """The offers that `body` asks for. Raises `Refusal` for what the API does not know."""
    kind = body.get("type", "on-demand")
    if kind not in _TYPES:
        raise Refusal(400, "invalid_args", f"type {kind!r} is unknown")
    disk_gb = _number(body.get("allocated_storage", 5.0), "allocated_storage")
    rows = [priced(row, disk_gb=disk_gb, bid=kind == "bid") for row in offers if row["disk_space"] >= disk_gb]
    for name, wanted in body.items():
        if name in _CONTROL:
            continue
        if name not in _FIELDS.split() or not isinstance(wanted, dict) or not wanted:
            raise Refusal(400, "invalid_args", f"filter {name!r} is no field with comparisons")
        for comparison, other in wanted.items():
            checked = [(row, _holds(_told(row, name), comparison, other)) for row in rows]
            if filters_apply:
                rows = [row for row, holds in checked if holds]
    rows = [row for row in rows if row["rentable"]]
    for column, direction in reversed(body.get("order", [["score", "desc"]])):
        rows.sort(key=lambda row: row.get(column) or 0, reverse=direction == "desc")
    limit = body.get("limit", CAP)
    if not isinstance(limit, int) or limit < 1:
        raise Refusal(400, "invalid_args", "limit is a number from 1 on")
    return rows[: min(limit, CAP)]


def _told(row: Row, name: str) -> Any:
    """What the field that is called `name` in conditions is for `row`."""
    words = str(row.get("verification"))
    special = {
        "verified": words == "verified",
        "datacenter": row.get("hosting_type") == 1,
        "geolocation": str(row.get("geolocation", ""))[-2:],
        "external": False,
        "driver_version": row.get("driver_vers"),
        "id": None,  # reported to match nothing
    }
    return special[name] if name in special else row.get(name)


def _holds(value: Any, comparison: str, other: Any) -> bool:
    if comparison in {"in", "notin"}:
        if not isinstance(other, list):
            raise Refusal(400, "invalid_args", f"{comparison} takes a list")
        return (value in other) == (comparison == "in")
    if isinstance(value, int | float) and not isinstance(value, bool):
        other = _number(other, comparison)
    match comparison:
        case "eq":
            return bool(value == other)
        case "neq":
            return bool(value != other)
        case "gt" | "gte" | "lt" | "lte":
            if not isinstance(value, int | float) or isinstance(value, bool):
                return False
            held = {"gt": value > other, "gte": value >= other, "lt": value < other, "lte": value <= other}
            return bool(held[comparison])
    raise Refusal(400, "invalid_args", f"comparison {comparison!r} is unknown")


def _number(value: Any, name: str) -> float:
    """The command-line tool sends numbers as text; both are taken."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Refusal(400, "invalid_args", f"{name} takes a number") from None
