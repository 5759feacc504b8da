"""What the codec engines of GPUs can do: how many there are, what they decode and encode.

What a generation can do: the tables "NVDEC Hardware Capabilities" and "NVENC Hardware Capabilities" of NVIDIA's
application notes for Video Codec SDK 13.0 (docs.nvidia.com/video-technologies/video-codec-sdk/13.0/). How many engines
a GPU has: NVIDIA's Video Encode and Decode GPU Support Matrix. For planning only: a worker asks its own GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CODECS: Final = ("h264", "hevc", "vp9", "av1")
"""Those that offers are described by, by libav's names."""
_OLDER: Final = frozenset({"mpeg1video", "mpeg2video", "mpeg4", "vc1", "vp8"})
"""Decoded by every generation below, with 8 bits."""
_SUBSAMPLED: Final = "4:2:0"


class Generation(IntEnum):
    """Architectures, in the order of their abilities. GA100 and Hopper have the decoders of Turing."""

    PASCAL = 6
    VOLTA = 7
    TURING = 8
    AMPERE = 9
    """GA10x."""
    ADA = 10
    BLACKWELL = 11

    @property
    def family(self) -> str:
        """What its NVENC is called as an encoder family: segments of another one cannot be joined with its own."""
        return f"nvenc-{self.name.lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """The codec engines of one GPU."""

    generation: Generation
    """Whose engines it has."""
    nvenc: int
    """Encoding engines."""
    nvdec: int
    """Decoding engines."""

    def decodes(self, codec: str, *, depth: int, chroma: str) -> bool:
        """Whether it takes `codec` (libav's name) with samples of `depth` bits and chroma such as `4:2:0`."""
        if not self.nvdec:
            return False
        generation, narrow = self.generation, chroma == _SUBSAMPLED
        match codec:
            case "h264":
                new = generation >= Generation.BLACKWELL and depth <= 10 and chroma in {_SUBSAMPLED, "4:2:2"}
                return new or (depth == 8 and narrow)
            case "hevc":
                if narrow:
                    return depth <= 10 or (depth <= 12 and generation >= Generation.TURING)
                least = {"4:4:4": Generation.TURING, "4:2:2": Generation.BLACKWELL}.get(chroma)
                return least is not None and generation >= least and depth <= 12
            case "vp9":
                return narrow and (depth == 8 or (depth <= 12 and generation >= Generation.TURING))
            case "av1":
                return narrow and depth <= 10 and generation >= Generation.AMPERE
        return codec in _OLDER and depth == 8 and narrow

    def encodes(self, codec: str, *, depth: int, chroma: str) -> bool:
        """Whether it makes `codec` (libav's name) of samples with `depth` bits and chroma such as `4:2:0`."""
        if not self.nvenc or depth > 10 or chroma not in {_SUBSAMPLED, "4:2:2", "4:4:4"}:
            return False
        blackwell = self.generation >= Generation.BLACKWELL
        match codec:
            case "h264":
                return (depth == 8 or blackwell) and (chroma != "4:2:2" or blackwell)
            case "hevc":
                return chroma != "4:2:2" or blackwell
            case "av1":
                return chroma == _SUBSAMPLED and self.generation >= Generation.ADA
        return False

    @property
    def decoded(self) -> tuple[str, ...]:
        """Of `CODECS`, those it decodes in their commonest form."""
        return tuple(codec for codec in CODECS if self.decodes(codec, depth=8, chroma=_SUBSAMPLED))

    @property
    def encoded(self) -> tuple[str, ...]:
        """Of `CODECS`, those it encodes in their commonest form."""
        return tuple(codec for codec in CODECS if self.encodes(codec, depth=8, chroma=_SUBSAMPLED))


# (generation of the engines, NVENC, NVDEC): names as the provider writes them
_ENGINES: Final = {
    (Generation.PASCAL, 1, 1): "GTX 1060",
    (Generation.PASCAL, 2, 1): "GTX 1070, GTX 1070 Ti, GTX 1080, GTX 1080 Ti, Titan Xp, Tesla P40",
    (Generation.VOLTA, 3, 1): "Tesla V100, Titan V",
    (Generation.TURING, 1, 1): "GTX 1660, GTX 1660 S, GTX 1660 Ti, RTX 2060, RTX 2060S, RTX 2070, RTX 2070S, RTX 2080, "
    "RTX 2080S, RTX 2080 Ti, Titan RTX, Q RTX 6000, Q RTX 8000",
    (Generation.TURING, 1, 2): "Tesla T4",
    (Generation.TURING, 0, 5): "A100 PCIE, A100 SXM4, A100X, A800 PCIE",
    (Generation.TURING, 0, 4): "A30",
    (Generation.TURING, 0, 7): "H100 PCIE, H100 SXM, H100 NVL, H200, H200 NVL, GH200 SXM",
    (Generation.AMPERE, 1, 1): "RTX 3050, RTX 3060, RTX 3060 Ti, RTX 3060 laptop, RTX 3070, RTX 3070 Ti, RTX 3080, "
    "RTX 3080 Ti, RTX 3090, RTX 3090 Ti, RTX A2000, RTX A4000",
    (Generation.AMPERE, 1, 2): "RTX A4500, RTX A5000, RTX A6000, A10, A40",
    (Generation.ADA, 1, 1): "RTX 4060, RTX 4060 Ti, RTX 4070, RTX 4070S",
    (Generation.ADA, 2, 1): "RTX 4070 Ti, RTX 4070S Ti, RTX 4080, RTX 4080S, RTX 4090, RTX 4090D",
    (Generation.ADA, 2, 4): "L4",
    (Generation.ADA, 3, 3): "L40, L40S, RTX 6000Ada",
    (Generation.BLACKWELL, 1, 1): "RTX 5060, RTX 5060 Ti, RTX 5070",
    (Generation.BLACKWELL, 2, 1): "RTX 5070 Ti",
    (Generation.BLACKWELL, 2, 2): "RTX 5080",
    (Generation.BLACKWELL, 3, 2): "RTX 5090",
    (Generation.BLACKWELL, 4, 4): "RTX PRO 6000 WS, RTX PRO 6000 S",
    (Generation.BLACKWELL, 0, 7): "B200",
}
# Compute capability from which on a GPU is of a generation: CUDA C++ Programming Guide 13.0, "Compute Capabilities".
_CAPABILITIES: Final[tuple[tuple[tuple[int, int], Generation | None], ...]] = (
    ((12, 0), Generation.BLACKWELL),
    ((9, 0), None),  # Hopper, B200
    ((8, 9), Generation.ADA),
    ((8, 6), Generation.AMPERE),
    ((8, 0), None),  # GA100
    ((7, 5), Generation.TURING),
    ((7, 0), Generation.VOLTA),
    ((6, 0), Generation.PASCAL),
)
GPUS: Final[Mapping[str, Gpu]] = MappingProxyType(
    {
        name.strip(): Gpu(generation=generation, nvenc=nvenc, nvdec=nvdec)
        for (generation, nvenc, nvdec), names in _ENGINES.items()
        for name in names.split(",")
    }
)
"""By the name in offers. One that is missing here is unknown, which is not the same as having no engines."""


def provider_name(text: str) -> str:
    """A GPU's name as the provider writes it, from how people write it: `rtx_4090` is `RTX 4090`.

    What is not known here is taken as it is written, with spaces for underscores.
    """
    plain = " ".join(text.replace("_", " ").split())
    return _BY_FOLDED.get(_fold(plain), plain)


def family_of(compute_capability: str) -> str | None:
    """The encoder family of a GPU with that capability, `8.9` say: empty without NVENC, None where it is no number."""
    major, _, minor = compute_capability.strip().partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        return None
    number = int(major), int(minor)
    generation = next((one for least, one in _CAPABILITIES if number >= least), None)
    return "" if generation is None else generation.family


def _fold(name: str) -> str:
    return name.replace(" ", "").casefold()


_BY_FOLDED: Final = {_fold(name): name for name in GPUS}
