"""What the tests with real accounts may spend, each of them and all together."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

TOGETHER_USD: Final = Decimal("0.10")
MOST_USD_PER_H: Final = Decimal("0.15")
"""Of any machine that they rent, disk included."""
JOB_USD: Final = Decimal("0.055")
"""`--budget` of the whole job."""
LIFE_S: Final = 600.0
"""How long a machine that does no job may take to start."""
END_S: Final = 120.0
"""How long its end may take to be proven."""
TRAFFIC_USD: Final = Decimal("0.002")
"""An image of some 4 MB, at 50 cents per GB."""
STORAGE_USD: Final = Decimal("0.01")
"""Requests to B2, and megabytes that are deleted at once."""


def life_usd() -> Decimal:
    """The most that a machine costs that does no job."""
    return MOST_USD_PER_H * Decimal(LIFE_S + END_S) / 3600 + TRAFFIC_USD


def most_usd() -> Decimal:
    """The most that all of it costs."""
    return JOB_USD + life_usd() + STORAGE_USD
