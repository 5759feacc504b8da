"""What one frame of a job costs in pixels and bytes: all that speeds are estimated from, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from kernels.device_plan import describe_device
from kernels.io.capabilities import refuse_settings

if TYPE_CHECKING:
    from kernels.io.encode import EncodeSettings
    from kernels.plan import Stage
    from kernels.preflight import Outline


CODEC_FRAMES: Final = 24
"""Frames that a decoder or encoder of a GPU holds: references, and those on their way."""
CONTEXT_BYTES: Final = 10**9
"""What the driver, its codec sessions and loaded kernels take before the first frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLoad:
    """One pass over a frame."""

    operations: tuple[str, ...]
    """Names, in order; those that the planner put in included."""
    mixes: bool
    """Whether components are mixed: a matrix, a transfer."""
    megapixels: float
    """Of the larger of the frames it reads and writes."""
    moved_bytes: int
    """Read and written together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One frame on its way from a codec to another."""

    source_codec: str
    source_megapixels: float
    source_depth: int
    source_chroma: str
    """4:2:0, 4:2:2, 4:4:4, ...: hardware decoders take only some."""
    stages: tuple[StageLoad, ...]
    target_codec: str
    preset: str | None
    crf: float | None
    target_megapixels: float
    target_depth: int
    target_chroma: str
    target_frame_bytes: int
    source_frame_bytes: int = 0
    """Of one decoded frame, as `target_frame_bytes` is of one before it is encoded."""
    nvenc_problem: str = ""
    """Why no NVENC takes these settings and frames; empty where it depends on the GPU."""
    cuda_problem: str = ""
    """Why the filters cannot run on any GPU; empty where they can."""
    filter_memory_bytes: int = 0
    """Of a GPU, for filters and the frames between them and the codecs."""

    @property
    def gpu_memory_gb(self) -> float:
        """GB (10^9 bytes) that a GPU needs to decode, filter and encode it."""
        held = CODEC_FRAMES * (self.source_frame_bytes + self.target_frame_bytes)
        return (CONTEXT_BYTES + held + self.filter_memory_bytes) / 1e9

    @classmethod
    def of(cls, outline: Outline, encode: EncodeSettings) -> Self:
        source, target = outline.plan.source, outline.plan.target
        encoder, device = encode.encoder, describe_device(outline.plan)
        return cls(
            source_codec=outline.codec,
            source_megapixels=source.width * source.height / 1e6,
            source_depth=source.pixel_format.depth,
            source_chroma=_chroma(source.pixel_format.log2_chroma_w, source.pixel_format.log2_chroma_h),
            stages=tuple(map(_load, outline.plan.stages)),
            target_codec=encode.codec,
            preset=encode.preset or encoder.preset,
            crf=encoder.crf if encode.crf is None else encode.crf,
            target_megapixels=target.width * target.height / 1e6,
            target_depth=target.pixel_format.depth,
            target_chroma=_chroma(target.pixel_format.log2_chroma_w, target.pixel_format.log2_chroma_h),
            target_frame_bytes=target.bytes_per_frame,
            source_frame_bytes=source.bytes_per_frame,
            nvenc_problem=refuse_settings(encode, target),
            cuda_problem=str(device.get("unavailable", "")),
            filter_memory_bytes=int(str(device.get("memory_bytes", 0))),
        )


def _load(stage: Stage) -> StageLoad:
    pixels = max(stage.source.width * stage.source.height, stage.target.width * stage.target.height)
    return StageLoad(
        operations=tuple(node.step.operation.name for node in stage.nodes),
        mixes=stage.mixes,
        megapixels=pixels / 1e6,
        moved_bytes=stage.source.bytes_per_frame + stage.target.bytes_per_frame,
    )


def _chroma(log2_w: int, log2_h: int) -> str:
    """`4:2:0` and so on: the name of a subsampling."""
    return {(0, 0): "4:4:4", (1, 0): "4:2:2", (1, 1): "4:2:0", (0, 1): "4:4:0", (2, 0): "4:1:1"}.get(
        (log2_w, log2_h), "4:1:0"
    )
