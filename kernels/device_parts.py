"""What the stages of a plan are on a device: which planes they compute, and the numbers of generated kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels.backends.parts import passes, plane_format, pointwise_tiles
from kernels.backends.pointwise import upsampling
from kernels.pointwise_source import Pointwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.frame import VideoFormat
    from kernels.plan import Stage
    from kernels.pointwise_source import Section


def written_by(stages: Sequence[Stage]) -> list[set[int]]:
    """Components that each stage computes; the others stay where they are."""
    found: list[set[int]] = []
    fractional: set[int] = set()
    for stage in stages:
        written = _written_components(stage)
        if stage.lift:
            written |= fractional & set(range(stage.target.pixel_format.plane_count))
        found.append(written)
        if not stage.moves:
            fractional |= written
    return found


def _written_components(stage: Stage) -> set[int]:
    """Components that are others, or stored otherwise, after the stage."""
    components = range(stage.target.pixel_format.plane_count)
    if stage.is_pointwise:
        if stage.mixes:
            return set(components)
        return {c for c in components if not passes(stage, c, pointwise_tiles(stage.nodes, c))}
    step = stage.nodes[0].step
    written = set()
    for c in components:
        ends = plane_format(stage.source, c), plane_format(stage.target, c)
        cuda = step.operation.cuda
        launch = None if cuda is None else cuda(step.params, stage.source, stage.target, *ends)
        if cuda is None or launch is not None or ends[0] != ends[1]:
            written.add(c)
    return written


def pointwise_of(stage: Stage, sections: tuple[Section, ...]) -> Pointwise:
    """A pointwise stage as the kernel of `sections`."""
    pixel = stage.target.pixel_format
    siting = upsampling(stage.source) if stage.mixes else np.empty(0, np.float32)
    return Pointwise(
        sections=sections,
        load=1 / stage.source.pixel_format.peak,
        store=stage.rounded.pixel_format.peak,
        dither=stage.dither,
        lift=stage.lift,
        neutral=1 << (pixel.depth - 1 + pixel.shift),
        siting=siting,
        chroma_size=stage.source.plane_size(1) if len(siting) else (0, 0),
    )


def recoding(source: VideoFormat, target: VideoFormat, sections: tuple[Section, ...], lift: int = 0) -> Pointwise:
    """Planes whose samples only change how they are stored: as `target` has them, then shifted up by `lift` bits."""
    return Pointwise(
        sections=sections,
        load=1 / source.pixel_format.peak,
        store=target.pixel_format.peak,
        dither=False,
        neutral=0,
        siting=np.empty(0, np.float32),
        lift=lift,
    )
