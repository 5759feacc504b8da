"""The bouncing ball of the demo: where it is, and when it touches the ground (which is when it sounds)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_BOUNCE_S: Final = 0.4
BOUNCE_PERIOD_S: Final = 0.8
RADIUS: Final = 30.0
"""In lines of the 540-line design, as every length here."""
_GROUND: Final = 516.0
_JUMP: Final = 210.0
_SPEED_PER_S: Final = 165.0
_START: Final = 60.0
_SECTORS: Final = ((0.93, 0.24, 0.22), (0.97, 0.95, 0.90), (0.16, 0.45, 0.82), (0.97, 0.95, 0.90))


class Ball:
    """Jumps on the spot of a line that runs from left to right."""

    def __init__(self, *, duration_s: float) -> None:
        count = max(0, int((duration_s - FIRST_BOUNCE_S) / BOUNCE_PERIOD_S) + 1)
        self.bounces_s = tuple(FIRST_BOUNCE_S + n * BOUNCE_PERIOD_S for n in range(count))
        """When it touches the ground, in seconds."""

    def center(self, time_s: float) -> tuple[float, float]:
        """(x, y) of its middle: a parabola between two bounces."""
        phase = ((time_s - FIRST_BOUNCE_S) / BOUNCE_PERIOD_S) % 1.0
        return _START + _SPEED_PER_S * time_s, _GROUND - RADIUS - _JUMP * 4 * phase * (1 - phase)

    def draw(self, canvas: NDArray[np.float32], time_s: float, unit: float) -> None:
        """Shadow and ball onto a (3, height, width) picture of `unit` pixels per line of the design."""
        x, y = self.center(time_s)
        self._draw_shadow(canvas, x * unit, y, unit)
        center_x, center_y, radius = x * unit, y * unit, RADIUS * unit
        top, bottom = max(0, int(center_y - radius) - 1), min(canvas.shape[1], int(center_y + radius) + 2)
        left, right = max(0, int(center_x - radius) - 1), min(canvas.shape[2], int(center_x + radius) + 2)
        if left >= right or top >= bottom:
            return
        dy, dx = np.ogrid[top:bottom, left:right]
        dx, dy = (dx - center_x) / radius, (dy - center_y) / radius
        away = np.hypot(dx, dy)
        sector = (np.floor((np.arctan2(dy, dx) / (2 * np.pi) + time_s * 0.45) * 8)).astype(int) % len(_SECTORS)
        light = np.clip(1.05 - 0.55 * np.hypot(dx + 0.35, dy + 0.4), 0.25, 1.0)
        shine = np.exp(-(((dx + 0.38) ** 2 + (dy + 0.42) ** 2) / 0.035)) * 0.7
        coverage = np.clip((1 - away) * radius + 0.5, 0, 1)
        part = canvas[:, top:bottom, left:right]
        for component in range(3):
            color = np.array([sector_color[component] for sector_color in _SECTORS])[sector] * light
            part[component] += (np.clip(color + shine, 0, 1) - part[component]) * coverage

    def _draw_shadow(self, canvas: NDArray[np.float32], center_x: float, y: float, unit: float) -> None:
        height = _GROUND - RADIUS - y
        wide = (RADIUS + height * 0.12) * unit
        top, bottom = int((_GROUND - 16) * unit), min(canvas.shape[1], int((_GROUND + 16) * unit))
        left, right = max(0, int(center_x - wide)), min(canvas.shape[2], int(center_x + wide))
        if left >= right:
            return
        dy, dx = np.ogrid[top:bottom, left:right]
        away = np.hypot((dx - center_x) / wide, (dy - _GROUND * unit) / (11 * unit))
        canvas[:, top:bottom, left:right] *= 1 - (0.6 - 0.35 * height / _JUMP) * np.clip(1.4 - 1.4 * away, 0, 1)
