"""What the user asks for, validated once: the job, and what it may cost."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MIN_SEGMENT_S: Final = 10
MAX_SEGMENT_S: Final = 60
DEFAULT_SEGMENT_S: Final = 30
LEAST_CUDA: Final = 12.1
"""Of the driver, for the worker's image: PyNvVideoCodec needs driver 530, which came with CUDA 12.1. Kernels are
machine code made by NVRTC 12.9, which the drivers of every CUDA 12 take."""


class Record(BaseModel):
    """Root of everything that is written as JSON and read back: unknown fields are refused, nothing changes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class EncodeSpec(Record):
    """How the output is encoded; `kernels.io.encode.EncodeSettings` with the names of `runner run`'s options."""

    codec: str
    encoder: Literal["auto", "software", "nvenc"] = "auto"
    """`auto` takes the GPU's encoder where that is cheaper and has what is asked for."""
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None


class StreamSpec(Record):
    """What becomes of everything beside the video; `kernels.io.containers.StreamChoices` as `runner run` has it."""

    audio_codec: str = "copy"
    subtitles: str = "copy"
    drop_unsupported: bool = False


class Market(StrEnum):
    """How a machine is rented."""

    ON_DEMAND = "on-demand"
    BID = "bid"
    """Cheaper; lost without notice when somebody bids more."""


class Requirements(Record):
    """What an offer must have. None asks for nothing; lists are names as the provider writes them."""

    market: Market = Market.ON_DEMAND
    gpu_names: tuple[str, ...] = ()
    """Only these ('RTX 4090'); empty means any."""
    gpu_excluded: tuple[str, ...] = ()
    machines_allowed: tuple[int, ...] = ()
    machines_excluded: tuple[int, ...] = ()
    num_gpus: int = Field(1, ge=1)
    min_vram_gb: float | None = Field(None, gt=0)
    min_reliability: float | None = Field(None, ge=0, le=1)
    min_cuda: float | None = LEAST_CUDA
    """CUDA version that the driver supports."""
    min_compute_capability: float | None = None
    """8.9 is Ada, 12.0 Blackwell."""
    min_down_mbps: float | None = None
    """Megabit per second."""
    min_up_mbps: float | None = None
    min_disk_gb: float = Field(16, gt=0)
    """Room for the image; media never touch the disk."""
    min_disk_mbps: float | None = None
    """Megabyte per second."""
    min_cpu_cores: float | None = None
    min_ram_gb: float | None = None
    countries: tuple[str, ...] = ()
    """Two-letter codes."""
    countries_excluded: tuple[str, ...] = ()
    verified: bool = True
    datacenter: bool = False
    """Only data centres, for confidential material."""
    static_ip: bool = False


class JobSpec(Record):
    """One video (or one item of a batch), and the limits that hold for it."""

    input: str
    """Location, as `storage.uri` writes it."""
    output: str
    chain: str = ""
    """In FFmpeg's -vf grammar, canonical: parsed and written again by `kernels.chain`."""
    container: str
    encode: EncodeSpec
    streams: StreamSpec = StreamSpec()
    start_s: Fraction | None = None
    duration_s: Fraction | None = None
    autorotate: bool = True
    strict: bool = False
    overwrite: bool = False
    backend: str = "auto"
    """`auto` leaves it to the machine that is rented; `cpu` and `cuda` insist."""
    segment_s: float = Field(DEFAULT_SEGMENT_S, gt=0)
    """Length of a segment; less than `MIN_SEGMENT_S` only where a test asks for it."""
    provider: str = "vast"
    requirements: Requirements = Requirements()
    image: str | None = None
    """Container image of the worker; None takes the one released with this version."""
    max_price_usd_per_h: Decimal | None = Field(None, gt=0)
    """Never rent dearer than this, storage included. None only for providers that cost nothing."""
    budget_usd: Decimal | None = Field(None, gt=0)
    """Never spend more than this on the whole job; becomes a deadline inside the machine too."""
    deadline_s: float | None = Field(None, gt=0)
    """Seconds from the start of the run after which nothing may run any more."""
    keyless: bool = False
    """The machine gets presigned URLs only, no key."""
