"""Generated kernels and the CPU on the same frames, each plane in guarded memory of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kernels.backends.cpu import CpuExecutor
from kernels.backends.parts import plane_format
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.device_plan import SOURCE, TARGET, codec_layout, plan_device
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import pixel_format
from kernels.plan import plan_chain
from kernels.surface import Layout, component_groups
from tests.kernels.cuda.memory import freeze
from tests.kernels.cuda.planes import Laid, lay
from tests.kernels.cuda.probe import FRAMES, picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.device_plan import DevicePlan
    from kernels.launch import Engine
    from kernels.surface import Surface


CHAINS: Final = {
    "pairs": ("eq=contrast=1.2:brightness=0.1", "yuv420p", Layout.SEMIPLANAR, (83, 45)),
    "one of a pair": ("cas=0.5:planes=2", "yuv420p", Layout.SEMIPLANAR, (83, 45)),
    "gray": ("eq=contrast=1.2:gamma=1.3", "gray12", Layout.STACKED, (1, 1)),
    "planes": ("eq=contrast=1.2:gamma=1.3:gamma_r=1.2:saturation=1.3", "yuv444p16", Layout.STACKED, (37, 9)),
    "triplets": ("format=gbrp", "yuv420p", Layout.SEMIPLANAR, (83, 45)),
    "triplets of planes": ("format=gbrp", "yuv420p10", Layout.STACKED, (83, 45)),
    "dithered": ("format=yuv444p", "yuv444p16", Layout.STACKED, (37, 9)),
    "halved": ("colorspace=all=bt2020,eq=gamma=1.1", "yuv420p", Layout.SEMIPLANAR, (139, 37)),
    "halved, one pixel": ("colorspace=all=bt2020,eq=gamma=1.1", "yuv420p", Layout.SEMIPLANAR, (1, 1)),
    "halved across": ("colorspace=all=bt2020", "yuv422p10", Layout.STACKED, (139, 37)),
}
"""Kernels that are generated: chain, pixel format, layout, size."""


@dataclass(frozen=True, kw_only=True)
class ChainProbe:
    """A chain whose launches all go from the source to the target, on a batch of frames."""

    plan: DevicePlan
    frames: tuple[Frame, ...]
    expected: tuple[Frame, ...]
    limit: int
    """Codes that it may differ by."""

    def compare(self, engine: Engine, *, at_end: bool) -> None:
        """Fails where the kernel makes other frames than the CPU, or writes beside them."""
        sources = _laid(self.plan.surfaces[SOURCE], self.frames, at_end=at_end)
        targets = _laid(self.plan.surfaces[TARGET], [_blank(frame) for frame in self.expected], at_end=at_end)
        for laid, position in sources.values():
            if position == 0:
                freeze(laid.memory)
        for launch in self.plan.launches:
            arguments: list[Any] = []
            for operand in launch.operands:
                assert operand.surface == (TARGET if operand.writes else SOURCE)
                laid, position = (targets if operand.writes else sources)[operand.component]
                arguments += laid.arguments(position)
            arguments += [engine.upload(a) if isinstance(a, np.ndarray) else a for a in launch.arguments]
            grid = (*launch.grid, FRAMES)
            engine.launch(engine.load(launch.kernel), grid, (*launch.block, 1), arguments, launch.shared_bytes)
        taken = {id(laid): laid.take() for laid, position in targets.values() if position == 0}
        for component, (laid, position) in targets.items():
            for frame, made in zip(self.expected, taken[id(laid)][position], strict=True):
                difference = np.abs(made.astype(int) - frame.planes[component]).max()
                assert difference <= self.limit, f"component {component} differs by {difference} codes"


def chain_probe(chain: str, name: str, layout: Layout, size: tuple[int, int], rng: np.random.Generator) -> ChainProbe:
    """`chain` on frames of pixel format `name` that lie as `layout` says, or as codecs have it."""
    source = VideoFormat(width=size[0], height=size[1], pixel_format=pixel_format(name))
    steps = parse_chain(chain, CATALOGUE)
    plan = plan_chain(source, steps)
    frames = []
    for _ in range(FRAMES):
        components = range(source.pixel_format.plane_count)
        planes = tuple(picture(plane_format(source, c), source, rng) for c in components)
        frames.append(Frame(planes=planes, format=source))
    target = codec_layout(plan.target) if layout is Layout.SEMIPLANAR else layout
    with CpuExecutor(plan, threads=1) as cpu:
        expected = tuple(cpu.run(frame) for frame in frames)
    return ChainProbe(
        plan=plan_device(plan, source=layout, target=target, frames=FRAMES),
        frames=tuple(frames),
        expected=expected,
        limit=max(step.operation.tolerance.max_codes for step in steps),
    )


def _laid(surface: Surface, frames: Sequence[Frame], *, at_end: bool) -> dict[int, tuple[Laid, int]]:
    """Component -> the memory that it lies in, and its number there."""
    found: dict[int, tuple[Laid, int]] = {}
    together = surface.layout is Layout.SEMIPLANAR
    for group in component_groups(surface.format, surface.layout):
        for part in [group] if together else [(c,) for c in group]:
            laid = lay([[frame.planes[c] for frame in frames] for c in part], len(part), at_end=at_end)
            found |= {c: (laid, position) for position, c in enumerate(part)}
    return found


def _blank(frame: Frame) -> Frame:
    planes: tuple[NDArray[Any], ...] = tuple(np.zeros_like(plane) for plane in frame.planes)
    return frame.replace(planes=planes)
