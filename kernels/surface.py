"""How a frame lies in one block of device memory: pure arithmetic, the same for a GPU and for pinned host memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

    from kernels.frame import VideoFormat

ROW_ALIGNMENT_BYTES: Final = 64
"""Rows begin at multiples of it, and so do planes, which follow each other without a gap as NVENC wants them: two
memory sectors, and more than any vector load needs."""


class Layout(Enum):
    """Where the components of a frame lie to each other."""

    PLANAR = "separate planes"
    """Each at an address of its own, as callers hold them."""
    STACKED = "planes in one block"
    """Components of equal size follow each other, so that one launch takes them as it takes frames."""
    SEMIPLANAR = "interleaved chroma"
    """NV12 and P010: Cb and Cr side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One component in a block of memory. Strides are in elements."""

    offset_bytes: int
    """Of its first sample, in frame 0."""
    rows: int
    columns: int
    pitch: int
    """From one row to the next."""
    step: int
    """From one sample to the next: 2 in interleaved chroma."""
    frame_stride: int
    """From one frame of a batch to the next."""
    plane_stride: int
    """To the next component of the same size; 0 where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """`frames` frames of one format in one block of memory."""

    format: VideoFormat
    layout: Layout
    frames: int
    places: tuple[Place, ...]
    """One for each component."""
    size_bytes: int

    @property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        return self.format.pixel_format.dtype


def surface_of(format_: VideoFormat, layout: Layout, frames: int = 1) -> Surface:
    """The block that holds `frames` frames.

    STACKED ones lie group by group of equally large components, each group with all its frames, so that z runs over
    planes and frames alike; SEMIPLANAR ones lie frame by frame, each whole for a codec. A PLANAR frame that has to lie
    somewhere lies as a STACKED one.
    """
    itemsize = format_.pixel_format.dtype.itemsize
    paired = layout is Layout.SEMIPLANAR and format_.pixel_format.plane_count == 3
    places: list[Place] = []
    offset_bytes = 0
    for group in component_groups(format_, layout):
        rows, columns = format_.plane_size(group[0])
        step = len(group) if paired else 1
        pitch = row_bytes(columns * step * itemsize) // itemsize
        plane = rows * pitch
        stacked = 1 if step > 1 else len(group)
        places += [
            Place(
                offset_bytes=offset_bytes + k * (1 if step > 1 else plane) * itemsize,
                rows=rows,
                columns=columns,
                pitch=pitch,
                step=step,
                frame_stride=stacked * plane,
                plane_stride=(1 if step > 1 else plane) if len(group) > 1 else 0,
            )
            for k in range(len(group))
        ]
        offset_bytes += frames * stacked * plane * itemsize
    if paired:
        frame_bytes = offset_bytes // frames
        whole = frame_bytes // itemsize
        skipped = (frames - 1) * places[0].frame_stride * itemsize
        places = [
            replace(place, frame_stride=whole, offset_bytes=place.offset_bytes - (skipped if c else 0))
            for c, place in enumerate(places)
        ]
    return Surface(format=format_, layout=layout, frames=frames, places=tuple(places), size_bytes=offset_bytes)


def component_groups(format_: VideoFormat, layout: Layout) -> list[tuple[int, ...]]:
    """Components of equal size that lie together: (0, 1, 2), or (0,) and (1, 2)."""
    components = range(format_.pixel_format.plane_count)
    if layout is Layout.SEMIPLANAR:
        return [(0,), (1, 2)] if len(components) == 3 else [(0,)]
    return [tuple(group) for _, group in groupby(components, format_.plane_size)]


def row_bytes(used: int) -> int:
    """From one row to the next, where `used` bytes of each hold samples."""
    return -(-used // ROW_ALIGNMENT_BYTES) * ROW_ALIGNMENT_BYTES
