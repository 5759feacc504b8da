"""The before/after picture: one frame, the left part as it came in, the right part as it went out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from runner.demo.glyphs import draw_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rgb = NDArray[np.uint8]

# The part of the frame that has lettering, sky, wheel and windows, as fractions of its height and width.
_ROWS: Final = (0.18, 0.76)
_COLUMNS: Final = (0.13, 0.875)
_SPLIT: Final = 0.36
"""Where the left part ends, in the width of what is shown."""


def before_and_after(before: Rgb, after: Rgb) -> Rgb:
    """(height, width, 3) of both pictures' middle, `before` left of a white line and `after` right of it."""
    height, width = before.shape[:2]
    rows, columns = (slice(*(int(edge * size) for edge in part)) for part, size in ((_ROWS, height), (_COLUMNS, width)))
    picture, left = after[rows, columns].copy(), before[rows, columns]
    split = int(picture.shape[1] * _SPLIT)
    picture[:, :split] = left[:, :split]
    picture[:, split - 1 : split + 1] = 255
    dot = max(1, round(height / 270))
    _label(picture, "BEFORE", dot, right_edge=split - 4 * dot)
    _label(picture, "AFTER", dot, right_edge=picture.shape[1] - 4 * dot)
    return picture


def _label(picture: Rgb, text: str, dot: int, *, right_edge: int) -> None:
    """White letters on a dark box in the upper corner left of `right_edge`, where they fit."""
    letters = np.pad(draw_text(text, dot), 2 * dot)[:, :, None]
    top, left = 4 * dot, right_edge - letters.shape[1]
    place = picture[top : top + letters.shape[0], max(0, left) : right_edge]
    if left >= 0 and place.shape[:2] == letters.shape[:2]:
        place[:] = np.rint(place * 0.25 * (1 - letters) + 255 * letters).astype(np.uint8)
