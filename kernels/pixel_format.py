"""Planar pixel formats: FFmpeg's names, and what a sample's bits mean."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.errors import FormatError, nearest

if TYPE_CHECKING:
    from typing import Self


class Family(Enum):
    """What the planes of a format are, in plane order."""

    YUV = "Y, Cb, Cr"
    GBR = "G, B, R"
    GRAY = "Y"


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """One planar format.

    A stored sample holds `value << shift`, `value` being the `depth`-bit code. `shift` is 0 in every format
    that a software codec or a caller sees. Hardware codecs hold codes of more than 8 bits at the top of 16;
    operations exchange 16-bit samples with `shift = 16 - depth`, whose low bits carry the fraction of a code that
    the next operation would otherwise lose.
    """

    name: str
    """FFmpeg's name, without the `le` that every 16-bit format here has."""
    family: Family
    depth: int
    """Bits of one code, 8 to 16."""
    log2_chroma_w: int = 0
    log2_chroma_h: int = 0
    shift: int = 0
    """Bits that a stored sample is shifted up by, 0 to 8."""

    @property
    def plane_count(self) -> int:
        return 1 if self.family is Family.GRAY else 3

    @property
    def is_subsampled(self) -> bool:
        return bool(self.log2_chroma_w or self.log2_chroma_h)

    @cached_property
    def dtype(self) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
        """Type of a stored sample: uint8 up to 8 stored bits, else uint16."""
        return np.dtype(np.uint8) if self.depth + self.shift <= 8 else np.dtype(np.uint16)

    @property
    def peak(self) -> int:
        """The largest stored sample: all `depth` bits set, shifted."""
        return ((1 << self.depth) - 1) << self.shift

    def plane_size(self, plane: int, width: int, height: int) -> tuple[int, int]:
        """(height, width) of plane `plane` of a `width` x `height` picture; chroma rounds up."""
        if plane == 0 or self.family is not Family.YUV:
            return height, width
        return -(-height >> self.log2_chroma_h), -(-width >> self.log2_chroma_w)

    def exchange(self) -> Self:
        """The 16-bit form of this format that operations hand each other."""
        return replace(self, shift=16 - self.depth)

    def as_surface(self) -> Self:
        """This format as hardware codecs hold it: codes of more than 8 bits at the top of 16 (P010, P016)."""
        return self.exchange() if self.depth > 8 else self

    def codes(self) -> Self:
        """This format with its codes in the low bits."""
        return replace(self, shift=0)

    def with_depth(self, depth: int) -> PixelFormat:
        """The format of the same layout with `depth` bits a code."""
        return _by_layout(self.family, depth, self.log2_chroma_w, self.log2_chroma_h)

    def with_subsampling(self, log2_chroma_w: int, log2_chroma_h: int) -> Self:
        """This format with other chroma subsampling, named when FFmpeg has a name for it."""
        for known in PIXEL_FORMATS.values():
            layout = (known.family, known.depth, known.log2_chroma_w, known.log2_chroma_h)
            if layout == (self.family, self.depth, log2_chroma_w, log2_chroma_h):
                return replace(self, name=known.name, log2_chroma_w=log2_chroma_w, log2_chroma_h=log2_chroma_h)
        name = f"yuv{self.depth}(1/{1 << log2_chroma_w}x1/{1 << log2_chroma_h})"
        return replace(self, name=name, log2_chroma_w=log2_chroma_w, log2_chroma_h=log2_chroma_h)

    def __str__(self) -> str:
        return f"{self.name}<<{self.shift}" if self.shift else self.name


# FFmpeg's digits: 4:a:b is (log2 of the horizontal, of the vertical) chroma subsampling.
_SUBSAMPLING: Final = {
    "444": (0, 0),
    "440": (0, 1),
    "422": (1, 0),
    "420": (1, 1),
    "411": (2, 0),
    "410": (2, 2),
}
_DEPTHS: Final = (8, 9, 10, 12, 14, 16)


def _all_formats() -> dict[str, PixelFormat]:
    formats = []
    for depth in _DEPTHS:
        suffix = "" if depth == 8 else str(depth)
        formats.append(PixelFormat(name=f"gray{suffix}", family=Family.GRAY, depth=depth))
        formats.append(PixelFormat(name=f"gbrp{suffix}", family=Family.GBR, depth=depth))
        for digits, (w, h) in _SUBSAMPLING.items():
            if (digits in ("411", "410") and depth > 8) or (digits == "440" and depth in (9, 14, 16)):
                continue
            name = f"yuv{digits}p{suffix}"
            formats.append(PixelFormat(name=name, family=Family.YUV, depth=depth, log2_chroma_w=w, log2_chroma_h=h))
    return {f.name: f for f in formats}


PIXEL_FORMATS: Final[dict[str, PixelFormat]] = _all_formats()
"""Every format that frames come in, by name."""


def pixel_format(name: str) -> PixelFormat:
    """The format called `name`; FFmpeg's `le` suffix is understood.

    Raises `FormatError` naming the nearest format.
    """
    found = PIXEL_FORMATS.get(name.removesuffix("le"))
    if found is None:
        raise FormatError(f"unknown pixel format {name!r}{nearest(name, PIXEL_FORMATS)}")
    return found


def _by_layout(family: Family, depth: int, log2_chroma_w: int, log2_chroma_h: int) -> PixelFormat:
    for known in PIXEL_FORMATS.values():
        layout = (known.family, known.depth, known.log2_chroma_w, known.log2_chroma_h)
        if layout == (family, depth, log2_chroma_w, log2_chroma_h):
            return known
    raise FormatError(f"no planar {family.name} format has {depth} bits at this chroma subsampling")
