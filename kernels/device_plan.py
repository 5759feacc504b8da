"""From a plan to launches on a GPU: pure, so that it is tested, and its figures printed, without one.

A pointwise stage is one generated kernel over all planes; a plane stage one launch a plane, or one for all planes that
lie alike. Planes that a stage leaves alone stay where they are. What passes between stages lies in a few blocks of
memory that are used again as soon as nobody reads them any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.errors import UnavailableError
from kernels.pixel_format import Family
from kernels.surface import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernels.frame import VideoFormat
    from kernels.launch import Argument, Kernel
    from kernels.plan import Plan
    from kernels.surface import Surface

SOURCE: Final = 0
"""Number of the surface that holds the incoming frame."""
TARGET: Final = 1
"""Number of the surface that the outgoing frame is written to."""
BATCH_PIXELS: Final = 2 << 20
"""Smaller frames share launches until they have about as many pixels: 1080p fills a GPU alone."""
MAX_BATCH: Final = 8
RING: Final = 8
"""Outgoing batches on the device at most: what waits for an encoder, and what is on its way there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """One plane of a launch."""

    surface: int
    component: int
    writes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One kernel launch for `frames` frames: the operands' planes come first among its arguments."""

    name: str
    """The operations it runs."""
    kernel: Kernel
    grid: tuple[int, int]
    block: tuple[int, int]
    shared_bytes: int
    operands: tuple[Operand, ...]
    planes: int
    """Components side by side along z, from that of the operand on."""
    arguments: tuple[Argument, ...]
    read_bytes: int
    """Of one frame, each sample once."""
    written_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePlan:
    """What runs on the device for every batch of frames."""

    source: VideoFormat
    target: VideoFormat
    frames: int
    """Frames of a batch, along z of every launch."""
    surfaces: tuple[Surface, ...]
    """By number: the source's, the target's, then those between stages."""
    blocks: tuple[int, ...]
    """Bytes of each block of memory that surfaces between stages lie in."""
    block_of: Mapping[int, int]
    """Surface between stages -> its block."""
    launches: tuple[Launch, ...]

    @property
    def source_layout(self) -> Layout:
        return self.surfaces[SOURCE].layout

    @property
    def work_bytes(self) -> int:
        """Device memory between stages and for tables, whatever the number of frames in flight."""
        tables = {a.tobytes() for launch in self.launches for a in launch.arguments if isinstance(a, np.ndarray)}
        return sum(self.blocks) + sum(map(len, tables))

    def memory_bytes(self, slots: int) -> int:
        """Device memory with `slots` batches in flight, those that a decoder holds among them."""
        return self.work_bytes + slots * (self.surfaces[SOURCE].size_bytes + self.surfaces[TARGET].size_bytes)

    def describe(self) -> dict[str, object]:
        """JSON-able figures for `runner plan`: launches of a batch, bytes of a frame, and of a pixel of the larger."""
        moved = sum(launch.read_bytes + launch.written_bytes for launch in self.launches)
        pixels = max(f.width * f.height for f in (self.source, self.target))
        return {
            "source_layout": self.source_layout.value,
            "target_layout": self.surfaces[TARGET].layout.value,
            "launches": len(self.launches),
            "graph_nodes": len(self.launches),
            "frames_per_launch": self.frames,
            "bytes_per_frame": moved,
            "bytes_per_pixel": round(moved / pixels, 3),
            "work_memory_bytes": self.work_bytes,
            "memory_bytes": self.memory_bytes(RING),
            "kernels": [
                {
                    "steps": launch.name,
                    "kernel": launch.kernel.source if "\n" not in launch.kernel.source else "generated",
                    "planes": launch.planes,
                    "blocks": launch.grid[0] * launch.grid[1] * launch.planes * self.frames,
                    "threads": launch.block[0] * launch.block[1],
                    "read_bytes": launch.read_bytes,
                    "written_bytes": launch.written_bytes,
                }
                for launch in self.launches
            ],
        }


def codec_layout(format_: VideoFormat) -> Layout:
    """How NVDEC and NVENC hold such frames: chroma interleaved where it is halved."""
    pixel = format_.pixel_format
    paired = pixel.family is Family.YUV and pixel.log2_chroma_w == 1
    return Layout.SEMIPLANAR if paired else Layout.STACKED


def shared_frames(*formats: VideoFormat) -> int:
    """Frames that share launches, where the largest is one of `formats`: as many as fill a GPU, a power of two."""
    pixels = max(format_.width * format_.height for format_ in formats)
    frames = 1
    while frames < MAX_BATCH and 2 * frames * pixels <= BATCH_PIXELS:
        frames *= 2
    return frames


def plan_device(
    plan: Plan, *, source: Layout = Layout.STACKED, target: Layout = Layout.STACKED, frames: int = 1
) -> DevicePlan:
    """The launches that run `plan` on batches of `frames` frames that lie as `source` and `target` say.

    Raises `UnavailableError` naming the operation that has no CUDA code.
    """
    from kernels.device_stages import Builder  # which needs what is defined here

    return Builder(plan, source, target, frames).build()


def describe_device(plan: Plan) -> dict[str, object]:
    """`DevicePlan.describe` of `plan` between the device's decoder and encoder, or why it cannot run there."""
    try:
        ends = {"source": codec_layout(plan.source), "target": codec_layout(plan.target)}
        return plan_device(plan, **ends, frames=shared_frames(plan.source, plan.target)).describe()
    except UnavailableError as error:
        return {"unavailable": str(error)}
