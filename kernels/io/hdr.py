"""HDR10 static metadata: out of decoded frames, into each encoder's own words."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CHROMATICITY_STEPS: Final = 50_000
"""Units of x and y in SMPTE ST 2086: 0.00002."""
LUMINANCE_STEPS: Final = 10_000
"""Units of luminance in ST 2086: 0.0001 cd/m2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MasteringDisplay:
    """SMPTE ST 2086: the display that the picture was graded on."""

    red: tuple[Fraction, Fraction]
    """CIE 1931 x, y."""
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white: tuple[Fraction, Fraction]
    min_luminance: Fraction
    """cd/m2."""
    max_luminance: Fraction

    def to_json(self) -> dict[str, object]:
        points = {"red": self.red, "green": self.green, "blue": self.blue, "white": self.white}
        return {
            **{name: [float(x), float(y)] for name, (x, y) in points.items()},
            "min_luminance": float(self.min_luminance),
            "max_luminance": float(self.max_luminance),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLight:
    """CTA-861.3: the brightest pixel and the brightest frame average, cd/m2."""

    max_cll: int
    max_fall: int

    def to_json(self) -> dict[str, object]:
        return {"max_cll": self.max_cll, "max_fall": self.max_fall}


def mastering_display(side_data: Mapping[str, bytes]) -> MasteringDisplay | None:
    """The mastering display in a frame's side data; None when absent or incomplete.

    The layout is libav's `AVMasteringDisplayMetadata`: ten rationals (red, green and blue x, y, the white point,
    the smallest and the largest luminance) and two flags that say which of them are set.
    """
    data = side_data.get("MASTERING_DISPLAY_METADATA")
    if data is None or len(data) < struct.calcsize("=22i"):
        return None
    numbers = struct.unpack_from("=22i", data)
    has_primaries, has_luminance = numbers[20:22]
    if not (has_primaries and has_luminance) or not all(numbers[1:20:2]):
        return None
    values = [Fraction(numbers[i], numbers[i + 1]) for i in range(0, 20, 2)]
    points = [(values[i], values[i + 1]) for i in range(0, 8, 2)]
    return MasteringDisplay(
        red=points[0],
        green=points[1],
        blue=points[2],
        white=points[3],
        min_luminance=values[8],
        max_luminance=values[9],
    )


def content_light(side_data: Mapping[str, bytes]) -> ContentLight | None:
    """The content light level in a frame's side data: two 32-bit numbers in `AVContentLightMetadata`."""
    data = side_data.get("CONTENT_LIGHT_LEVEL")
    if data is None or len(data) < struct.calcsize("=2I"):
        return None
    max_cll, max_fall = struct.unpack_from("=2I", data)
    return ContentLight(max_cll=max_cll, max_fall=max_fall)


def integer_text(display: MasteringDisplay) -> str:
    """`G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)` in ST 2086 units, as x264 and x265 read it."""

    def point(xy: tuple[Fraction, Fraction]) -> str:
        return f"({round(xy[0] * CHROMATICITY_STEPS)},{round(xy[1] * CHROMATICITY_STEPS)})"

    luminance = f"({round(display.max_luminance * LUMINANCE_STEPS)},{round(display.min_luminance * LUMINANCE_STEPS)})"
    named = (("G", display.green), ("B", display.blue), ("R", display.red), ("WP", display.white))
    return "".join(f"{name}{point(xy)}" for name, xy in named) + f"L{luminance}"


def decimal_text(display: MasteringDisplay) -> str:
    """The same in plain decimals, as SVT-AV1 reads it."""
    named = (("G", display.green), ("B", display.blue), ("R", display.red), ("WP", display.white))
    points = "".join(f"{name}({float(xy[0]):.6f},{float(xy[1]):.6f})" for name, xy in named)
    return f"{points}L({float(display.max_luminance):.4f},{float(display.min_luminance):.6f})"
