"""Transfer characteristics (H.273 table 3) as tables: from coded to linear light and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.color import Transfer
from kernels.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]

CURVE_NODES: Final = 8192
"""Intervals of a table: linear interpolation then stays below a tenth of a 12-bit code for every curve here."""
CURVE_TOP: Final = 2.0
"""Largest magnitude a table covers; beyond it values are held. Leaves room for out-of-gamut colours."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """An odd function of each component, tabulated over magnitudes 0..`CURVE_TOP`."""

    table: NDArray[np.float32]
    """`CURVE_NODES + 1` values at equal steps of the index variable."""
    by_root: bool
    """The index variable is the square root of the magnitude: needed where the slope at 0 is steep."""


def to_linear(transfer: Transfer) -> Curve:
    """Coded value to linear light (the inverse OETF). Raises `FormatError` for curves not known here."""
    return _curve(transfer, inverse=True)


def to_gamma(transfer: Transfer) -> Curve:
    """Linear light to coded value (the OETF). Raises `FormatError` for curves not known here."""
    return _curve(transfer, inverse=False)


@cache
def _curve(transfer: Transfer, *, inverse: bool) -> Curve:
    if transfer not in _FUNCTIONS:
        known = ", ".join(t.name.lower() for t in _FUNCTIONS)
        raise FormatError(f"transfer {transfer.name.lower()} cannot be converted to other light; possible: {known}")
    forward, backward = _FUNCTIONS[transfer]
    steps = np.linspace(0.0, 1.0, CURVE_NODES + 1)
    if inverse:
        return Curve(backward(steps * CURVE_TOP).astype(np.float32), by_root=False)
    return Curve(forward(steps * steps * CURVE_TOP).astype(np.float32), by_root=True)


def _power_with_toe(alpha: float, beta: float, slope: float, exponent: float) -> tuple[Function, Function]:
    """`alpha * L**exponent - (alpha - 1)` above `beta`, `slope * L` below; and its inverse."""

    def forward(light: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(light < beta, slope * light, alpha * np.power(light, exponent) - (alpha - 1))

    def backward(value: NDArray[np.float64]) -> NDArray[np.float64]:
        power = np.power((value + (alpha - 1)) / alpha, 1 / exponent)
        return np.where(value < slope * beta, value / slope, power)

    return forward, backward


def _power(exponent: float) -> tuple[Function, Function]:
    """A pure power law and its inverse."""
    return (lambda light: np.power(light, 1 / exponent)), (lambda value: np.power(value, exponent))


# BT.709, BT.601 and BT.2020 share one curve; alpha and beta are the continuous solutions BT.2020 table 4 rounds.
_ITU: Final = _power_with_toe(1.09929682680944, 0.018053968510807, 4.5, 0.45)
_FUNCTIONS: Final[dict[Transfer, tuple[Function, Function]]] = {
    Transfer.BT709: _ITU,
    Transfer.SMPTE170M: _ITU,
    Transfer.BT2020_10: _ITU,
    Transfer.BT2020_12: _ITU,
    Transfer.IEC61966_2_4: _ITU,
    Transfer.GAMMA22: _power(2.2),
    Transfer.GAMMA28: _power(2.8),
    Transfer.SMPTE240M: _power_with_toe(1.111572195921731, 0.022821585529445, 4.0, 0.45),
    Transfer.SRGB: _power_with_toe(1.055, 0.0031308, 12.92, 1 / 2.4),
    Transfer.LINEAR: _power(1.0),
}
