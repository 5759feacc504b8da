"""Colour tags as ITU-T H.273 numbers them, and what the numbers mean.

The value of every member is its code point in H.273 (and in FFmpeg, which uses the same numbers).
`UNSPECIFIED` is a member, not a guess; `Color.resolved` is the one documented rule that fills it in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Self


class Matrix(IntEnum):
    """Matrix coefficients, H.273 table 4."""

    GBR = 0
    BT709 = 1
    UNSPECIFIED = 2
    FCC = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    YCGCO = 8
    BT2020_NCL = 9
    BT2020_CL = 10
    SMPTE2085 = 11
    CHROMA_DERIVED_NCL = 12
    CHROMA_DERIVED_CL = 13
    ICTCP = 14
    IPT_C2 = 15
    YCGCO_RE = 16
    YCGCO_RO = 17


class Transfer(IntEnum):
    """Transfer characteristics, H.273 table 3."""

    BT709 = 1
    UNSPECIFIED = 2
    GAMMA22 = 4
    GAMMA28 = 5
    SMPTE170M = 6
    SMPTE240M = 7
    LINEAR = 8
    LOG100 = 9
    LOG316 = 10
    IEC61966_2_4 = 11
    BT1361 = 12
    SRGB = 13
    BT2020_10 = 14
    BT2020_12 = 15
    PQ = 16
    SMPTE428 = 17
    HLG = 18


class Primaries(IntEnum):
    """Colour primaries, H.273 table 2."""

    BT709 = 1
    UNSPECIFIED = 2
    BT470M = 4
    BT470BG = 5
    SMPTE170M = 6
    SMPTE240M = 7
    FILM = 8
    BT2020 = 9
    SMPTE428 = 10
    SMPTE431 = 11
    SMPTE432 = 12
    EBU3213 = 22


class Range(IntEnum):
    """Quantisation range. H.273 has one flag; `UNSPECIFIED` is a stream that does not carry it."""

    UNSPECIFIED = 0
    LIMITED = 1
    FULL = 2


class ChromaLocation(IntEnum):
    """Where subsampled chroma sits; the H.273 chroma sample location type is the value less one."""

    UNSPECIFIED = 0
    LEFT = 1
    CENTER = 2
    TOPLEFT = 3
    TOP = 4
    BOTTOMLEFT = 5
    BOTTOM = 6


def chroma_offset(location: ChromaLocation) -> tuple[float, float]:
    """(x, y) of a halved chroma sample from the centre of its luma block, in chroma samples, rightwards and down
    negative: 0.25 where it sits on the left (or top) luma sample. `UNSPECIFIED` is left, as H.264 has it.
    """
    x = {ChromaLocation.CENTER: 0.0, ChromaLocation.TOP: 0.0, ChromaLocation.BOTTOM: 0.0}.get(location, 0.25)
    tops, bottoms = (ChromaLocation.TOPLEFT, ChromaLocation.TOP), (ChromaLocation.BOTTOMLEFT, ChromaLocation.BOTTOM)
    return x, 0.25 if location in tops else -0.25 if location in bottoms else 0.0


# Kr, Kb of H.273 table 4 (equations 38 to 43); exact decimals of the standards named there.
LUMA_WEIGHTS: Final[dict[Matrix, tuple[Fraction, Fraction]]] = {
    Matrix.BT709: (Fraction(2126, 10000), Fraction(722, 10000)),
    Matrix.FCC: (Fraction(30, 100), Fraction(11, 100)),
    Matrix.BT470BG: (Fraction(299, 1000), Fraction(114, 1000)),
    Matrix.SMPTE170M: (Fraction(299, 1000), Fraction(114, 1000)),
    Matrix.SMPTE240M: (Fraction(212, 1000), Fraction(87, 1000)),
    Matrix.BT2020_NCL: (Fraction(2627, 10000), Fraction(593, 10000)),
}

# Lines of picture up to which untagged video counts as standard definition; 576 is the 625-line system.
SD_MAX_HEIGHT: Final = 576
SD_525_MAX_HEIGHT: Final = 488


@dataclass(frozen=True, slots=True, kw_only=True)
class Color:
    """The colour tags of a picture. Two pictures with equal tags show equal samples alike."""

    matrix: Matrix = Matrix.UNSPECIFIED
    transfer: Transfer = Transfer.UNSPECIFIED
    primaries: Primaries = Primaries.UNSPECIFIED
    range: Range = Range.UNSPECIFIED
    chroma_location: ChromaLocation = ChromaLocation.UNSPECIFIED

    def resolved(self, *, width: int, height: int, is_yuv: bool) -> Self:
        """These tags with every `UNSPECIFIED` filled in, by one rule.

        YUV: up to 576 lines and 1024 columns is standard definition (BT.601: 525-line up to 488 lines, else
        625-line), above is BT.709; range limited, chroma left. RGB: matrix GBR, sRGB transfer, BT.709
        primaries, full range. A tag that is present is never changed.
        """
        matrix, transfer, primaries, range_ = _defaults(width, height, is_yuv=is_yuv)
        return replace(
            self,
            matrix=matrix if self.matrix is Matrix.UNSPECIFIED else self.matrix,
            transfer=transfer if self.transfer is Transfer.UNSPECIFIED else self.transfer,
            primaries=primaries if self.primaries is Primaries.UNSPECIFIED else self.primaries,
            range=range_ if self.range is Range.UNSPECIFIED else self.range,
            chroma_location=ChromaLocation.LEFT
            if self.chroma_location is ChromaLocation.UNSPECIFIED
            else self.chroma_location,
        )


def _defaults(width: int, height: int, *, is_yuv: bool) -> tuple[Matrix, Transfer, Primaries, Range]:
    if not is_yuv:
        return Matrix.GBR, Transfer.SRGB, Primaries.BT709, Range.FULL
    if height > SD_MAX_HEIGHT or width > 1024:
        return Matrix.BT709, Transfer.BT709, Primaries.BT709, Range.LIMITED
    if height <= SD_525_MAX_HEIGHT:
        return Matrix.SMPTE170M, Transfer.SMPTE170M, Primaries.SMPTE170M, Range.LIMITED
    return Matrix.BT470BG, Transfer.SMPTE170M, Primaries.BT470BG, Range.LIMITED
