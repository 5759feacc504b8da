"""Rotation and mirroring that a file asks its player for, as steps of a chain."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Matrix = tuple[int, ...]
    """Nine numbers, row by row, as ISO/IEC 14496-12 (8.2.2) stores them: a, b, u, c, d, v, x, y, w."""


def display_matrix(side_data: Mapping[str, bytes]) -> Matrix | None:
    """The display matrix in a frame's side data; None when there is none."""
    data = side_data.get("DISPLAYMATRIX")
    if data is None or len(data) < struct.calcsize("=9i"):
        return None
    return struct.unpack_from("=9i", data)


def rotation_chain(matrix: Matrix | None) -> str:
    """The chain that brings pixels upright. Empty for the identity and for angles that are no multiple of 90.

    The matrix maps a pixel (x, y) to (a x + c y, b x + d y), y downwards.
    """
    if matrix is None:
        return ""
    a, b, c, d = (_sign(matrix[i]) for i in (0, 1, 3, 4))
    if b == 0 and c == 0:
        parts = (["hflip"] if a < 0 else []) + (["vflip"] if d < 0 else [])
        return ",".join(parts) if a and d else ""
    if a == 0 and d == 0 and b and c:
        # (b, c) = (1, -1) turns clockwise, (-1, 1) counter-clockwise; equal signs mirror as well.
        names = {(1, -1): "clock", (-1, 1): "cclock", (1, 1): "cclock_flip", (-1, -1): "clock_flip"}
        return f"transpose=dir={names[b, c]}"
    return ""


def degrees(matrix: Matrix | None) -> int | None:
    """Clockwise rotation to show the picture upright: 0, 90, 180 or 270; None without a plain rotation."""
    plain = {"": 0, "transpose=dir=clock": 90, "hflip,vflip": 180, "transpose=dir=cclock": 270}
    return None if matrix is None else plain.get(rotation_chain(matrix))


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
