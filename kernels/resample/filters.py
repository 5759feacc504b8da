"""Resampling filters as functions of distance in source samples, evaluated in float64.

Sources: Mitchell and Netravali, Reconstruction Filters in Computer Graphics, 1988 (BC-cubic);
Duchon, Lanczos Filtering in One and Two Dimensions, 1979; the cubic splines through 4 and 6 samples
(spline16, spline36) are the natural-end splines tabulated by H. Dersch for Panorama Tools.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """An interpolating or smoothing kernel."""

    name: str
    support: float
    """Half width in source samples; 0 takes the nearest sample, see also `covers`."""
    weight: Callable[[Array], Array]
    """Weight at a distance; need not sum to 1, is never asked beyond `support`."""
    covers: bool = False
    """Weights are overlaps of the target sample's footprint with each source sample, not `weight`."""


def bilinear() -> Filter:
    return Filter(name="bilinear", support=1.0, weight=lambda x: np.maximum(1.0 - np.abs(x), 0.0))


def bicubic(b: float = 0.0, c: float = 0.6) -> Filter:
    """Mitchell and Netravali's two-parameter cubic: (0, 0.5) Catmull-Rom, (1/3, 1/3) Mitchell."""

    def weight(x: Array) -> Array:
        x = np.abs(x)
        near = ((12 - 9 * b - 6 * c) * x + (-18 + 12 * b + 6 * c)) * x * x + (6 - 2 * b)
        far = (((-b - 6 * c) * x + (6 * b + 30 * c)) * x + (-12 * b - 48 * c)) * x + (8 * b + 24 * c)
        return np.where(x < 1, near, np.where(x < 2, far, 0.0)) / 6

    return Filter(name="bicubic", support=2.0, weight=weight)


def lanczos(lobes: float = 3.0) -> Filter:
    """sinc(x) windowed by sinc(x / lobes)."""

    def weight(x: Array) -> Array:
        return np.where(np.abs(x) < lobes, np.sinc(x) * np.sinc(x / lobes), 0.0)

    return Filter(name="lanczos", support=lobes, weight=weight)


def spline16() -> Filter:
    pieces = ((1, -9 / 5, -1 / 5, 1), (-1 / 3, 4 / 5, -7 / 15, 0))
    return Filter(name="spline16", support=2.0, weight=lambda x: _piecewise(x, pieces))


def spline36() -> Filter:
    pieces = (
        (13 / 11, -453 / 209, -3 / 209, 1),
        (-6 / 11, 270 / 209, -156 / 209, 0),
        (1 / 11, -45 / 209, 26 / 209, 0),
    )
    return Filter(name="spline36", support=3.0, weight=lambda x: _piecewise(x, pieces))


def area() -> Filter:
    """The mean of the source over the target sample's footprint, by exact coverage."""
    return Filter(name="area", support=0.5, weight=np.ones_like, covers=True)


def neighbor() -> Filter:
    """The nearest sample; the later one of two equally near."""
    return Filter(name="neighbor", support=0.0, weight=np.ones_like)


def _piecewise(x: Array, pieces: tuple[tuple[float, ...], ...]) -> Array:
    """Cubic `pieces[n]` in x - n for n <= |x| < n + 1, highest power first."""
    x = np.abs(x)
    total = np.zeros_like(x)
    for n, (a, b, c, d) in enumerate(pieces):
        t = x - n
        total = np.where((x >= n) & (x < n + 1), ((a * t + b) * t + c) * t + d, total)
    return total


# Weights below this are zeros of the filter met by rounding, such as sinc at whole numbers.
NEGLIGIBLE: Final = 1e-12
