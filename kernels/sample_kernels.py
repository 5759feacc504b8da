"""Every kernel that the samples of the catalogue launch, in the forms that jobs meet: for compile checks and cubins."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.device_plan import codec_layout, plan_device
from kernels.errors import ChainError, FormatError, UnavailableError
from kernels.frame import VideoFormat
from kernels.pixel_format import pixel_format
from kernels.plan import plan_chain
from kernels.surface import Layout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernels.launch import Kernel
    from kernels.plan import Plan

FORMATS: Final = ("yuv420p", "yuv420p10", "yuv422p10", "yuv444p16", "gbrp", "gray")
"""8 and 10 bits as codecs have them, and the others' families and depths."""
CHAINS: Final = (
    "",
    "eq=contrast=1.1,eq=brightness=0.02,colorspace=range=pc,eq=saturation=1.2,eq=gamma=1.1",
    "eq=contrast=1.1,colorspace=all=bt2020,eq=saturation=1.1",
    "colorspace=all=bt2020,scale=iw*2:ih*2:flags=lanczos,cas=0.6",
    "format=gbrp,eq=gamma=1.2,format=yuv420p10",
    "unsharp,format=yuv420p10",
)
"""Beside the samples: chains with what only a chain has, such as 16 bits between stages."""
_SIZE: Final = (1920, 1080)


def sample_kernels() -> dict[str, Kernel]:
    """Each different kernel by a name that says where it comes from: format, layout and chain."""
    found: dict[Kernel, str] = {}
    chains = [sample for operation in CATALOGUE.values() for sample in operation.samples]
    for name in FORMATS:
        for chain in (*CHAINS, *chains):
            for plan, layout in _plans(name, chain):
                target = codec_layout(plan.target) if layout is Layout.SEMIPLANAR else Layout.STACKED
                for number, launch in enumerate(plan_device(plan, source=layout, target=target).launches):
                    found.setdefault(launch.kernel, f"{plan.source.pixel_format}, {layout.value}: {chain} #{number}")
    return {name: kernel for kernel, name in found.items()}


def generated_kernels() -> dict[str, Kernel]:
    """Those of them that are written for their chain."""
    return {name: kernel for name, kernel in sample_kernels().items() if "\n" in kernel.source}


def _plans(name: str, chain: str) -> Iterator[tuple[Plan, Layout]]:
    """The plans of `chain` on frames from the host, and between a decoder and an encoder on the device."""
    pixel = pixel_format(name)
    width, height = _SIZE
    source = VideoFormat(width=width, height=height, pixel_format=pixel)
    for layout in {Layout.STACKED, codec_layout(source)}:
        try:
            plan = plan_chain(source, steps := parse_chain(chain, CATALOGUE))
            if layout is Layout.SEMIPLANAR:
                decoded = replace(source, pixel_format=pixel.as_surface())
                plan = plan_chain(decoded, steps, pixel_format=plan.target.pixel_format.as_surface())
            plan_device(plan, source=layout)
        except (FormatError, ChainError):
            continue  # refused before a frame was touched
        except UnavailableError:
            continue  # an operation that only the CPU has
        yield plan, layout
