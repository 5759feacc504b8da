"""A picture and its description: what flows between decoder, operations and encoder."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import Enum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from kernels.color import Color, Matrix
from kernels.errors import FormatError
from kernels.pixel_format import Family, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Plane = NDArray[Any]
    """One component of a frame: a 2-D (rows, columns) view of uint8 or uint16 whose strides are the pitch
    and the step.

    NumPy on the CPU; on a GPU a CuPy array of the same shape (the array itself says where it lives).
    """

MAX_SIDE: Final = 32768
"""Largest width or height in pixels; above it int32 byte offsets of a 16-bit plane would overflow."""


class FieldOrder(Enum):
    """How a frame was scanned."""

    PROGRESSIVE = "progressive"
    TOP_FIRST = "top field first"
    BOTTOM_FIRST = "bottom field first"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFormat:
    """What every frame of a stream has in common; the planner's currency."""

    width: int
    """Luma columns, 1 to 32768."""
    height: int
    """Luma rows, 1 to 32768."""
    pixel_format: PixelFormat
    color: Color = field(default_factory=Color)
    sample_aspect_ratio: Fraction = Fraction(1)
    """Width of a pixel over its height; 1 when the stream says nothing."""
    frame_rate: Fraction | None = None
    """Frames per second, nominal; None when unknown. Variable rate streams have one too: use pts."""

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            raise FormatError(f"frame size {self.width}x{self.height}: each side must be 1 to {MAX_SIDE} pixels")
        if self.sample_aspect_ratio <= 0:
            raise FormatError(f"sample aspect ratio {self.sample_aspect_ratio} must be positive")

    @property
    def resolved_color(self) -> Color:
        """`color` without an unspecified tag (see `Color.resolved`).

        A gray picture tagged with the GBR matrix, as PNG decoders do, has luma like any other: that tag counts as
        unspecified.
        """
        family = self.pixel_format.family
        color = self.color
        if family is Family.GRAY and color.matrix is Matrix.GBR:
            color = replace(color, matrix=Matrix.UNSPECIFIED)
        return color.resolved(width=self.width, height=self.height, is_yuv=family is not Family.GBR)

    def plane_size(self, plane: int) -> tuple[int, int]:
        """(height, width) of plane `plane`."""
        return self.pixel_format.plane_size(plane, self.width, self.height)

    @property
    def bytes_per_frame(self) -> int:
        samples = sum(h * w for h, w in map(self.plane_size, range(self.pixel_format.plane_count)))
        return samples * self.pixel_format.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.pixel_format}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture. Planes are read-only by convention: whoever receives a frame may keep it."""

    planes: tuple[Plane, ...]
    """`format.pixel_format.plane_count` planes in the family's order."""
    format: VideoFormat
    pts: int = 0
    """Presentation time in ticks of `time_base`."""
    time_base: Fraction = Fraction(1, 1000)
    """Seconds per tick."""
    duration: int = 0
    """Ticks; 0 when unknown."""
    index: int = 0
    """Number of this frame in its source, from 0, the same in every segment that holds it."""
    field_order: FieldOrder = FieldOrder.PROGRESSIVE
    side_data: Mapping[str, bytes] = field(default_factory=dict)
    """Side data that outlives the operations, by FFmpeg's name of it ('MASTERING_DISPLAY', …)."""

    def __post_init__(self) -> None:
        expected = tuple(map(self.format.plane_size, range(self.format.pixel_format.plane_count)))
        given = tuple(plane.shape for plane in self.planes)
        if given != expected:
            raise FormatError(f"a {self.format} frame has planes of {expected} rows x columns, not {given}")
        dtype = self.format.pixel_format.dtype
        for plane in self.planes:
            if plane.dtype != dtype:
                raise FormatError(f"a {self.format.pixel_format} frame holds {dtype} samples, not {plane.dtype}")

    @property
    def width(self) -> int:
        return self.format.width

    @property
    def height(self) -> int:
        return self.format.height

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def replace(self, **changes: Any) -> Frame:
        """A copy with `changes`; planes are shared."""
        return replace(self, **changes)

    def filtered(self, planes: tuple[Plane, ...], format_: VideoFormat) -> Frame:
        """A copy with other planes, which are known to be those of `format_`: ten times as fast as `replace`."""
        made = object.__new__(Frame)
        assign = object.__setattr__  # the class is frozen
        assign(made, "planes", planes)
        assign(made, "format", format_)
        for name in _KEPT:
            assign(made, name, getattr(self, name))
        return made


_KEPT: Final = tuple(spec.name for spec in fields(Frame) if spec.name not in ("planes", "format"))
