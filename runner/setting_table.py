"""Every setting there is: the one list that files, environment variables, options and docs/settings.md come from.

Nothing heavy is imported here: `runner --help` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """What a value is, and how it is written."""

    TEXT = "text"
    CHOICE = "one of"
    NUMBER = "a number"
    COUNT = "a whole number"
    DOLLARS = "dollars"
    LENGTH = "a length of time: 90s, 15m, 12h, 7d"
    FLAG = "true or false"
    NAMES = "names; in variables and options with commas between them"
    NUMBERS = "whole numbers; in variables and options with commas between them"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting."""

    name: str
    """In files; `FRAMEHAUL_` and this in capitals is the variable, `--` and this with hyphens the option."""
    kind: Kind
    summary: str
    default: str | None = None
    """As it would be written."""
    choices: tuple[str, ...] = ()
    low: float | None = None
    """Smallest number allowed."""
    high: float | None = None
    option: str | None = None
    """Where it is another than the name's; empty for none."""
    requirement: str | None = None
    """Field of `runner.spec.Requirements` that it fills."""

    @property
    def variable(self) -> str:
        return f"FRAMEHAUL_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """The option; empty where there is none."""
        return f"--{self.name.replace('_', '-')}" if self.option is None else self.option


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Something that is only read from the environment, `.env` or a file of its own, and is never shown."""

    variable: str
    summary: str


def _need(name: str, kind: Kind, field: str, summary: str, **more: object) -> Setting:
    return Setting(name=name, kind=kind, requirement=field, summary=summary, **more)  # type: ignore[arg-type]


SETTINGS: Final = (
    Setting(
        name="provider",
        kind=Kind.CHOICE,
        choices=("vast", "local"),
        default="vast",
        option="--on",
        summary="Where machines come from: Vast.ai, or this one.",
    ),
    Setting(
        name="machine_preset",
        kind=Kind.TEXT,
        default="balanced",
        summary="What machines to take and what they may cost: low, balanced, high, or a preset of your own.",
    ),
    Setting(name="bucket", kind=Kind.TEXT, summary="Where runs keep their work: b2://bucket/folder/ or a folder here."),
    Setting(
        name="max_price",
        kind=Kind.DOLLARS,
        low=0,
        summary="Never rent a machine dearer than this, in dollars per hour with its disk.",
    ),
    Setting(
        name="budget",
        kind=Kind.DOLLARS,
        low=0,
        default="2.00",
        summary="Never spend more than this on one job; becomes a deadline inside the machine too.",
    ),
    Setting(
        name="deadline",
        kind=Kind.LENGTH,
        default="24h",
        summary="Nothing of a job may run any more so long after it began.",
    ),
    Setting(
        name="segment_s",
        kind=Kind.NUMBER,
        low=0,
        high=60,
        default="30",
        summary="Seconds of video in one piece of work: what is lost with a machine. Less than 10 wastes time.",
    ),
    Setting(
        name="backend",
        kind=Kind.CHOICE,
        choices=("auto", "cpu", "cuda"),
        default="auto",
        summary="Where filters run on the rented machine.",
    ),
    Setting(
        name="encoder",
        kind=Kind.CHOICE,
        choices=("auto", "software", "nvenc"),
        default="auto",
        summary="Who encodes: a library on the processor, or the GPU's own encoder.",
    ),
    Setting(name="keyless", kind=Kind.FLAG, default="false", summary="Give the machine presigned URLs, and no key."),
    Setting(name="image", kind=Kind.TEXT, summary="Container image of the worker; default: the one of this version."),
    _need(
        "market",
        Kind.CHOICE,
        "market",
        "Rent for good, or bid and be outbid.",
        choices=("on-demand", "bid"),
        default="on-demand",
    ),
    _need("gpu", Kind.NAMES, "gpu_names", "Only these GPUs, as the provider writes them: RTX 4090."),
    _need("exclude_gpu", Kind.NAMES, "gpu_excluded", "Not these GPUs."),
    _need("machine", Kind.NUMBERS, "machines_allowed", "Only these machines, by number."),
    _need("exclude_machine", Kind.NUMBERS, "machines_excluded", "Not these machines."),
    _need("num_gpus", Kind.COUNT, "num_gpus", "GPUs in a machine.", low=1, default="1"),
    _need("min_vram", Kind.NUMBER, "min_vram_gb", "Memory of a GPU, GB.", low=0),
    _need("min_reliability", Kind.NUMBER, "min_reliability", "Part of the time that a host was there.", low=0, high=1),
    _need("min_cuda", Kind.NUMBER, "min_cuda", "CUDA version that the driver supports.", low=0, default="12.1"),
    _need(
        "min_compute_capability",
        Kind.NUMBER,
        "min_compute_capability",
        "Generation of the GPU: 7.5 Turing, 8.9 Ada, 12.0 Blackwell.",
        low=0,
    ),
    _need("min_down", Kind.NUMBER, "min_down_mbps", "Network to the machine, megabit per second.", low=0),
    _need("min_up", Kind.NUMBER, "min_up_mbps", "Network from the machine, megabit per second.", low=0),
    _need("disk", Kind.NUMBER, "min_disk_gb", "Disk to rent, GB: room for the image.", low=8, default="16"),
    _need("min_disk_speed", Kind.NUMBER, "min_disk_mbps", "Speed of the disk, megabyte per second.", low=0),
    _need("min_cpu_cores", Kind.NUMBER, "min_cpu_cores", "Cores of the offer's share.", low=0),
    _need("min_ram", Kind.NUMBER, "min_ram_gb", "Memory of the offer's share, GB.", low=0),
    _need("country", Kind.NAMES, "countries", "Only in these countries: two-letter codes."),
    _need("exclude_country", Kind.NAMES, "countries_excluded", "Not in these countries."),
    _need("verified", Kind.FLAG, "verified", "Only machines that the provider has verified.", default="true"),
    _need(
        "datacenter",
        Kind.FLAG,
        "datacenter",
        "Only data centres, for what no stranger should see.",
        default="false",
    ),
    _need("static_ip", Kind.FLAG, "static_ip", "Only machines whose address does not change.", default="false"),
    Setting(
        name="remote_url",
        kind=Kind.TEXT,
        option="",
        summary="More settings, as TOML or JSON behind an https:// address.",
    ),
)
"""In the order they are shown in."""

SECRETS: Final = (
    Secret(variable="VAST_API_KEY", summary="Key of the Vast.ai account: rents, lists and destroys."),
    Secret(variable="B2_APPLICATION_KEY_ID", summary="Id of the key to the bucket."),
    Secret(
        variable="B2_APPLICATION_KEY",
        summary="The key itself: reads the input, writes the output and the run's folder, makes keys for machines.",
    ),
    Secret(variable="AWS_ACCESS_KEY_ID", summary="The same for s3:// locations."),
    Secret(variable="AWS_SECRET_ACCESS_KEY", summary="The same for s3:// locations."),
    Secret(variable="FRAMEHAUL_IMAGE_LOGIN", summary="Login for a private image: -u USER -p TOKEN SERVER."),
)

PLACES: Final = ("VAST_URL", "B2_REGION", "B2_ENDPOINT", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL",
                 "AWS_ENDPOINT_URL_S3")  # fmt: skip
"""Variables that say where a key is sent to: `.env` may set one only together with the key itself."""
PREFIX: Final = "FRAMEHAUL_"


def setting_of(name: str) -> Setting | None:
    return next((one for one in SETTINGS if one.name == name), None)
