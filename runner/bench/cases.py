"""What is measured: operations and chains at the sizes that people have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HEIGHTS: Final = (720, 1080, 2160)
FORMAT: Final = "yuv420p"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One chain, and what else does the same (see `runner.bench.peers`)."""

    name: str
    chain: str
    peers: tuple[str, ...] = ()


CASES: Final = (
    Case(name="copy", chain=""),
    Case(name="eq", chain="eq=contrast=1.2:brightness=0.05:saturation=1.3"),
    Case(name="colorspace range", chain="colorspace=range=pc"),
    Case(name="colorspace", chain="colorspace=all=bt2020"),
    Case(name="format gbrp", chain="format=gbrp", peers=("NPP NV12 to RGB", "NPP 4:2:0 to RGB planes")),
    Case(name="hflip", chain="hflip"),
    Case(name="transpose", chain="transpose"),
    Case(name="crop", chain="crop=iw/2:ih/2"),
    Case(name="pad", chain="pad=iw+64:ih+64:32:32"),
    Case(
        name="scale 2x lanczos",
        chain="scale=iw*2:ih*2:flags=lanczos",
        peers=("torch bicubic 2x", "NPP lanczos 2x"),
    ),
    Case(
        name="scale 1/2 bicubic",
        chain="scale=iw/2:ih/2",
        peers=("torch bicubic 1/2", "NPP cubic 1/2", "NPP super sampling 1/2"),
    ),
    Case(name="unsharp", chain="unsharp", peers=("kornia unsharp", "torchvision blur")),
    Case(name="cas", chain="cas=0.5"),
    Case(name="nlmeans", chain="nlmeans=s=3:p=7:r=9", peers=("vapoursynth nlm_cuda, host to host",)),
    Case(name="A: scale 2x, cas, format", chain="scale=iw*2:ih*2:flags=lanczos,cas=0.6,format=yuv420p"),
    Case(
        name="B: five pointwise steps",
        chain="eq=contrast=1.1,eq=brightness=0.02,colorspace=range=pc,eq=saturation=1.2,eq=gamma=1.1",
        peers=("torch five steps",),
    ),
)
PIPELINES: Final = (
    Case(name="transcode", chain=""),
    Case(name="B: five pointwise steps", chain=CASES[-1].chain),
    Case(name="A: scale 2x, cas", chain="scale=iw*2:ih*2:flags=lanczos,cas=0.6"),
)


def size_of(height: int) -> tuple[int, int]:
    """(width, height) of a 16:9 picture with whole chroma samples."""
    return height * 16 // 9 // 2 * 2, height


def by_name(names: tuple[str, ...], cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """The cases whose name or chain begins with one of `names`, which are all of them for none.

    Raises `ValueError` naming what there is.
    """
    if not names:
        return cases
    found = tuple(case for case in cases if case.name.startswith(names) or case.chain.startswith(names))
    if not found:
        known = ", ".join(case.name for case in cases)
        raise ValueError(f"no case is called {' or '.join(names)}; there are: {known}")
    return found
