"""How fast an offer would do a job: from a small table of rates, measured where there was a chance to, else estimated.

All parts of a job run at the same time, so the slowest decides: the processor (decoding, filters and encoding share
its cores), the GPU's memory, its decoders and encoders, the network in either direction.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import Field

from kernels.io.capabilities import HARDWARE_DECODED
from runner.spec import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.gpus import Gpu
    from runner.provider import Offer
    from runner.workload import StageLoad, Workload

_Row = TypeVar("_Row", "CpuRate", "GpuRate")

ASSUMED_CORES: Final = 4.0
"""Where an offer does not say."""
USEFUL_CORES: Final = 24.0
"""More hardly speed up an encoder that works on one picture at a time."""
ASSUMED_GB_PER_S: Final = 300.0
ASSUMED_MBPS: Final = 100.0
REACHED: Final = 0.6
"""Part of a GPU's memory bandwidth that a chain of kernels reaches."""
NETWORK_REACHED: Final = 0.7
"""Part of the advertised network speed that a bucket gives."""
SHORTEST_S: Final = 1e-3
"""Per frame, whatever the machine: Python is entered for each one."""
MOVING: Final = frozenset({"crop", "pad", "hflip", "vflip", "transpose"})
SOFTWARE: Final = "software"


class CpuRate(Record):
    part: str = Field(pattern="^(decode|filter|encode)$")
    name: str
    """Operation or codec; `mixing`, `pointwise`, `moving` and `other` stand for the rest."""
    preset: str | None = None
    core_s_per_megapixel: float = Field(gt=0)
    """Seconds of one core."""
    device: str | None = None
    """What it was measured on; None for an estimate."""
    origin: str | None = Field(None, alias="from")
    """Name of the measurement below benchmarks/results."""


class PresetTimes(Record):
    codec: str
    times: dict[str, float]
    """Time of each preset as a multiple of the default's."""


class GpuRate(Record):
    part: str = Field(pattern="^(filter|nvdec|nvenc)$")
    name: str
    bytes_per_pixel: float | None = None
    """Memory traffic that takes as long as the operation; None takes the bytes that its stage moves."""
    megapixels_per_s: float | None = None
    """Of one engine."""
    device: str | None = None
    origin: str | None = Field(None, alias="from")


class JobRate(Record):
    """A whole job, measured."""

    gpu_name: str
    encoder: str
    operations: tuple[str, ...]
    target_codec: str
    preset: str | None = None
    megapixels_per_s: float = Field(gt=0)
    """Of the output."""
    origin: str | None = Field(None, alias="from")


class SpeedTable(Record):
    version: int = Field(ge=1)
    about: str = ""
    cpu: tuple[CpuRate, ...]
    presets: tuple[PresetTimes, ...]
    gpu: tuple[GpuRate, ...]
    jobs: tuple[JobRate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What the worker of this version can do on a GPU."""

    cuda: bool = False
    nvdec: bool = False
    nvenc: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast one offer does one job."""

    frame_s: float
    """Seconds per frame of the output while all parts run."""
    lead_frame_s: float
    """Seconds per frame that is decoded and thrown away."""
    limit: str
    """What is slowest: processor, GPU, decoder, encoder, download or upload."""
    measured: bool
    """Whether this job was measured on this kind of machine; else it is an estimate."""

    @property
    def fps(self) -> float:
        return 1 / self.frame_s


@cache
def shipped_table() -> SpeedTable:
    """The table that comes with this version."""
    text = resources.files("runner").joinpath("speeds.json").read_text(encoding="utf-8")
    return SpeedTable.model_validate(json.loads(text))


def worker_abilities() -> Abilities:
    """What `runner.worker` does of its work on a GPU; machines run the same version as this one."""
    return Abilities(cuda=True, nvdec=True, nvenc=True)


def speed_of(
    offer: Offer,
    work: Workload,
    table: SpeedTable,
    *,
    encoder: str = SOFTWARE,
    backend: str = "auto",
    abilities: Abilities,
    gpu: Gpu | None = None,
    source_frame_bytes: float = 0,
    target_frame_bytes: float = 0,
) -> Speed:
    """The speed of `offer` at `work`; frame bytes are what one frame takes in the files on either side."""
    cores = min(offer.cpu_cores or ASSUMED_CORES, USEFUL_CORES)
    on_gpu = bool(offer.gpu_name) and backend != "cpu" and abilities.cuda
    decode_s = _decode_core_s(work, table) / cores
    lead_s = decode_s
    parts = {"processor": 0.0, "GPU": 0.0, "decoder": 0.0, "encoder": 0.0}
    engines = _decoders(work, gpu) if on_gpu and abilities.nvdec else 0
    if engines:
        lead_s = work.source_megapixels / (engines * _engine(table, "nvdec", work.source_codec))
        parts["decoder"] = lead_s
    else:
        parts["processor"] += decode_s
    if on_gpu and not work.cuda_problem:
        bandwidth = (offer.memory_gb_per_s or ASSUMED_GB_PER_S) * REACHED * 1e9
        parts["GPU"] = sum(_moved_bytes(stage, table) for stage in work.stages) / bandwidth
    else:
        parts["processor"] += sum(_filter_core_s(stage, table) for stage in work.stages) / cores
    if encoder == SOFTWARE:
        parts["processor"] += _encode_core_s(work, table) / cores
    else:
        count = max(1, gpu.nvenc if gpu is not None else 1)
        parts["encoder"] = work.target_megapixels / (count * _engine(table, "nvenc", work.target_codec))
    parts["download"] = source_frame_bytes * 8 / bits_per_s(offer, offer.down_mbps)
    parts["upload"] = target_frame_bytes * 8 / bits_per_s(offer, offer.up_mbps)
    measured = _measured(offer, work, table, encoder)
    if measured is not None:
        parts = {name: parts[name] for name in ("download", "upload")} | {"machine": work.target_megapixels / measured}
    limit = max(parts, key=lambda name: parts[name])
    return Speed(frame_s=max(parts[limit], SHORTEST_S), lead_frame_s=lead_s, limit=limit, measured=measured is not None)


def _measured(offer: Offer, work: Workload, table: SpeedTable, encoder: str) -> float | None:
    """Megapixels per second of the whole job on such a GPU, where somebody measured it."""
    operations = tuple(name for stage in work.stages for name in stage.operations)
    for row in table.jobs:
        same = (row.gpu_name, row.encoder, row.operations) == (offer.gpu_name, encoder, operations)
        if same and (row.target_codec, row.preset) == (work.target_codec, work.preset):
            return row.megapixels_per_s
    return None


def _decode_core_s(work: Workload, table: SpeedTable) -> float:
    depth = 1.0 if work.source_depth <= 8 else 1.6
    return _cpu(table, "decode", work.source_codec) * work.source_megapixels * depth


def _encode_core_s(work: Workload, table: SpeedTable) -> float:
    rows = [row for row in table.cpu if (row.part, row.name) == ("encode", work.target_codec)]
    exact = next((row for row in rows if row.preset == work.preset), None)
    depth = 1.0 if work.target_depth <= 8 else 1.5
    if exact is not None:
        return exact.core_s_per_megapixel * work.target_megapixels * depth
    base = next(row for row in rows if row.preset in (None, _default_preset(work.target_codec)))
    times = next((one.times for one in table.presets if one.codec == work.target_codec), {})
    return base.core_s_per_megapixel * times.get(work.preset or "", 1.0) * work.target_megapixels * depth


def _default_preset(codec: str) -> str | None:
    from kernels.io.encode import ENCODERS

    return ENCODERS[codec].preset


def _filter_core_s(stage: StageLoad, table: SpeedTable) -> float:
    if len(stage.operations) == 1 and (rate := _named(table.cpu, "filter", stage.operations[0])) is not None:
        return rate.core_s_per_megapixel * stage.megapixels
    return _cpu(table, "filter", _kind(stage)) * stage.megapixels


def _kind(stage: StageLoad) -> str:
    if stage.mixes:
        return "mixing"
    if all(name in MOVING for name in stage.operations):
        return "moving"
    return "pointwise" if set(stage.operations) <= {"format", "eq", "colorspace"} else "other"


def _moved_bytes(stage: StageLoad, table: SpeedTable) -> float:
    rates = (_named(table.gpu, "filter", name) for name in stage.operations)
    told = sum(rate.bytes_per_pixel or 0 for rate in rates if rate is not None) * stage.megapixels * 1e6
    return max(stage.moved_bytes, told)


def _decoders(work: Workload, gpu: Gpu | None) -> int:
    """Engines of `gpu` that decode the source; 0 where none does."""
    if work.source_codec not in HARDWARE_DECODED or gpu is None:
        return 0
    if not gpu.decodes(work.source_codec, depth=work.source_depth, chroma=work.source_chroma):
        return 0
    return gpu.nvdec


def _engine(table: SpeedTable, part: str, name: str) -> float:
    found = _named(table.gpu, part, name) or _named(table.gpu, part, "other")
    assert found is not None
    assert found.megapixels_per_s is not None
    return found.megapixels_per_s


def _cpu(table: SpeedTable, part: str, name: str) -> float:
    found = _named(table.cpu, part, name) or _named(table.cpu, part, "other")
    assert found is not None
    return found.core_s_per_megapixel


def _named(rows: Sequence[_Row], part: str, name: str) -> _Row | None:
    return next((row for row in rows if row.part == part and row.name == name), None)


def bits_per_s(offer: Offer, mbps: float | None) -> float:
    """What a bucket gives to `offer`, whose advertised speed is `mbps` (megabit per second)."""
    if mbps is None and not offer.price_usd_per_h:
        return float("inf")  # this machine reads from itself
    return (mbps or ASSUMED_MBPS) * 1e6 * NETWORK_REACHED
