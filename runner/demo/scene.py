"""The demo's picture: a harbour at dusk, drawn with NumPy alone.

It is made of what video restoration gets wrong: a smooth sky (banding), lit windows and lettering (fine
detail), a turning wheel of thin spokes (aliasing), a zone plate (ringing), tiles in perspective and a ball
with hard edges that moves. Everything follows from the size, the seed and the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from runner.demo.ball import Ball
from runner.demo.glyphs import draw_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Picture = NDArray[np.float32]
    """(3, height, width) R'G'B', 0 to 1."""

DESIGN_HEIGHT: Final = 540
"""Lines that the lengths below are written for; other sizes scale them."""
HORIZON: Final = 352
"""Line of the water's far edge."""
PROMENADE: Final = 440
"""Line where the promenade starts."""
PAN_PER_S: Final = 18.0
"""Columns that the city moves in a second."""
_TICKER: Final = "FRAMEHAUL HARBOUR  *  FERRY 7 DEPARTS 21.45 FROM PIER 3  *  TIDE 0.8 M  *  WIND SW 4  *  "


class Scene:
    """Draws the picture of any moment. Safe to call from several threads."""

    def __init__(self, width: int, height: int, *, seed: int, duration_s: float) -> None:
        self.width = width
        self.height = height
        self.unit = height / DESIGN_HEIGHT
        self.ball = Ball(duration_s=duration_s)
        rng = np.random.default_rng(seed)
        self._sky = self._draw_sky(rng)
        travel = int(PAN_PER_S * self.unit * duration_s) + 2
        self._far = self._draw_city(rng, width + travel, tall=150, shade=(0.29, 0.22, 0.36), lit=0.10)
        self._near = self._draw_city(rng, width + 2 * travel, tall=105, shade=(0.10, 0.09, 0.17), lit=0.34)
        self._tiles = self._draw_promenade()
        self._ticker = draw_text(_TICKER, self._px(3))

    def picture(self, time_s: float) -> Picture:
        """The scene at `time_s` seconds."""
        canvas = self._sky.copy()
        self._lay(canvas, self._far, round(PAN_PER_S * self.unit * time_s))
        self._draw_wheel(canvas, time_s)
        self._lay(canvas, self._near, round(2 * PAN_PER_S * self.unit * time_s))
        self._draw_screen(canvas, time_s)
        self._draw_sign(canvas, time_s)
        self._draw_water(canvas, time_s)
        canvas[:, self._px(PROMENADE) :] = self._tiles
        self._draw_rail(canvas)
        self.ball.draw(canvas, time_s, self.unit)
        return canvas

    def _px(self, length: float) -> int:
        """A length of the design in pixels of this size, at least one."""
        return max(1, round(length * self.unit))

    def _draw_sky(self, rng: np.random.Generator) -> Picture:
        lines = np.linspace(0, 1, self._px(HORIZON), dtype=np.float32)
        stops = (0.0, 0.45, 0.78, 1.0)
        ramp = [
            np.interp(lines, stops, c)
            for c in ((0.05, 0.22, 0.78, 0.98), (0.08, 0.22, 0.42, 0.70), (0.24, 0.46, 0.44, 0.42))
        ]
        sky = np.zeros((3, self.height, self.width), np.float32)
        sky[:, : len(lines)] = np.stack(ramp)[:, :, None]
        y, x = np.ogrid[: len(lines), : self.width]
        away = np.hypot(x - self.width * 0.582, y - self._px(262)) / self.unit
        glow = np.exp(-((away / 130) ** 2)) * 0.35
        sun = np.clip(40 - away, 0, 1)
        for component, tint in enumerate((1.0, 0.86, 0.55)):
            part = sky[component, : len(lines)]
            part += (glow * tint * (1 - part)).astype(np.float32)
            part += (sun * (tint - part)).astype(np.float32)
        for _ in range(70):
            line, column = int(rng.integers(0, self._px(150))), int(rng.integers(0, self.width))
            sky[:, line, column] = np.maximum(sky[:, line, column], rng.uniform(0.45, 0.95))
        return sky

    def _draw_city(
        self, rng: np.random.Generator, width: int, *, tall: int, shade: tuple[float, float, float], lit: float
    ) -> NDArray[np.float32]:
        """(4, lines, width): a strip of houses standing on the horizon; the last component is coverage."""
        lines = self._px(tall)
        strip = np.zeros((4, lines, width), np.float32)
        left = 0
        while left < width:
            right = min(width, left + self._px(rng.uniform(26, 64)))
            top = lines - self._px(tall * rng.uniform(0.35, 1.0))
            tint = np.array(shade) * rng.uniform(0.85, 1.2)
            strip[:3, top:, left:right] = tint[:, None, None]
            strip[3, top:, left:right] = 1
            self._light_windows(rng, strip[:, top:, left:right], lit)
            if rng.random() < 0.3:
                mast = (left + right) // 2
                strip[:3, max(0, top - self._px(18)) : top, mast] = tint[:, None]
                strip[3, max(0, top - self._px(18)) : top, mast] = 1
            left = right
        return strip

    def _light_windows(self, rng: np.random.Generator, house: NDArray[np.float32], lit: float) -> None:
        step_x, step_y = self._px(8), self._px(11)
        wide, high = self._px(4), self._px(6)
        for y in range(self._px(5), house.shape[1] - high, step_y):
            for x in range(self._px(4), house.shape[2] - wide, step_x):
                if rng.random() < lit:
                    warmth = rng.uniform(0.55, 1.0)
                    color = np.array((1.0, 0.82, 0.50)) * warmth if rng.random() < 0.85 else (0.62, 0.80, 0.95)
                    house[:3, y : y + high, x : x + wide] = np.reshape(color, (3, 1, 1))

    def _lay(self, canvas: Picture, strip: NDArray[np.float32], shift: int) -> None:
        part = strip[:, :, shift : shift + self.width]
        bottom = self._px(HORIZON)
        _blend(canvas[:, bottom - part.shape[1] : bottom], part[:3], part[3])

    def _draw_wheel(self, canvas: Picture, time_s: float) -> None:
        """A Ferris wheel: rim, 24 spokes and coloured cabins."""
        radius, center = 112 * self.unit, (self.width * 0.74, (HORIZON - 126) * self.unit)
        part, x, y = _window(canvas, center, radius * 1.12)
        away = np.hypot(x, y)
        turn = (np.arctan2(y, x) / (2 * np.pi) + time_s * 0.05) * 24
        across = np.abs(turn - np.round(turn)) / 24 * 2 * np.pi * away
        thick = max(0.5, 1.1 * self.unit)
        spokes = np.clip(thick + 0.5 - across, 0, 1) * (away < radius)
        rims = np.maximum(
            np.clip(thick + 1.0 - np.abs(away - radius), 0, 1), np.clip(thick + 0.3 - np.abs(away - radius * 0.8), 0, 1)
        )
        legs = np.clip(2.5 * self.unit - np.abs(np.abs(x) - y * 0.42), 0, 1) * (y > 0)
        _blend(part, (0.93, 0.90, 0.96), np.maximum(np.maximum(spokes * 0.85, rims), legs))
        for cabin in range(24):
            angle = 2 * np.pi * (cabin / 24 - time_s * 0.05)
            spot = np.hypot(x - radius * 1.03 * np.cos(angle), y - radius * 1.03 * np.sin(angle))
            _blend(part, _CABINS[cabin % len(_CABINS)], np.clip(5.0 * self.unit + 0.5 - spot, 0, 1))

    def _draw_screen(self, canvas: Picture, time_s: float) -> None:
        """A screen on a house, showing a zone plate: rings that get finer outwards, running inwards."""
        half = 54 * self.unit
        part, x, y = _window(canvas, (self.width * 0.115, (HORIZON - 78) * self.unit), half)
        rings = 0.5 + 0.5 * np.cos(np.pi * (x * x + y * y) / (4.6 * half) + 2 * np.pi * time_s)
        fade = np.clip(1.25 - np.hypot(x, y) / half, 0.15, 1)
        rings = 0.5 + (rings - 0.5) * fade
        edge = np.maximum(np.abs(x), np.abs(y)) > half - 3 * self.unit
        for component, (dark, bright) in enumerate(((0.05, 0.55), (0.16, 0.98), (0.22, 0.92))):
            part[component] = np.where(edge, 0.04, dark + (bright - dark) * rings)

    def _draw_sign(self, canvas: Picture, time_s: float) -> None:
        """The name in large letters above a running line of small ones."""
        left, top = round(self.width * 0.235), self._px(HORIZON - 96)
        width, height = self._px(300), self._px(78)
        part = canvas[:, top : top + height, left : left + width]
        part[:] = np.array((0.07, 0.08, 0.13), np.float32)[:, None, None]
        part[:, :: max(1, height - 1)] = 0.6
        _stamp(part, draw_text("FRAMEHAUL", self._px(5)), self._px(16), self._px(8), (1.0, 0.83, 0.42))
        shift = round(time_s * 60 * self.unit) % (self._ticker.shape[1] // 2)
        _stamp(
            part, self._ticker[:, shift : shift + width - self._px(20)], self._px(10), self._px(50), (0.72, 0.95, 1.0)
        )

    def _draw_water(self, canvas: Picture, time_s: float) -> None:
        """The city mirrored, each line displaced by waves that grow towards the viewer."""
        first, last = self._px(HORIZON), self._px(PROMENADE)
        for line in range(first, last):
            near = (line - first) / (last - first)
            wave = np.sin(line * 0.9 / self.unit - time_s * 5.0) + 0.6 * np.sin(line * 0.37 / self.unit + time_s * 3.1)
            mirrored = max(0, first - 1 - round((line - first) * 2.2 + near * 4 * wave))
            shift = round(near * 7 * self.unit * wave)
            canvas[:, line] = np.roll(canvas[:, mirrored], shift, axis=-1) * (0.72 - 0.25 * near) + _WATER * (
                0.12 + 0.2 * near
            )

    def _draw_promenade(self) -> Picture:
        """Tiles in perspective, each column of a tile averaged over eight positions against aliasing."""
        lines = self.height - self._px(PROMENADE)
        depth = 1.0 / (np.arange(lines, dtype=np.float32)[:, None] / self.unit + 26.0)
        total = np.zeros((lines, self.width), np.float32)
        for offset in (np.arange(8) + 0.5) / 8:
            column = (np.arange(self.width)[None, :] + offset - self.width / 2) / self.unit
            total += ((np.floor(column * depth * 2.2) + np.floor(depth * 300)) % 2).astype(np.float32) / 8
        light = np.linspace(0.62, 1.0, lines, dtype=np.float32)[:, None]
        dark, bright = np.array((0.34, 0.27, 0.30)), np.array((0.74, 0.63, 0.56))
        tiles: Picture = (dark[:, None, None] + (bright - dark)[:, None, None] * total) * light
        return tiles.astype(np.float32)

    def _draw_rail(self, canvas: Picture) -> None:
        top, bottom = self._px(PROMENADE - 26), self._px(PROMENADE + 6)
        for x in range(self._px(20), self.width, self._px(48)):
            canvas[:, top:bottom, x : x + self._px(3)] = 0.13
        for line in (PROMENADE - 26, PROMENADE - 14, PROMENADE - 4):
            canvas[:, self._px(line) : self._px(line) + self._px(2)] = 0.16


_CABINS: Final = ((0.95, 0.30, 0.28), (0.98, 0.78, 0.26), (0.32, 0.78, 0.52), (0.30, 0.62, 0.95))
_WATER: Final = np.array((0.10, 0.16, 0.30), np.float32)[:, None]


def _window(canvas: Picture, center: tuple[float, float], half: float) -> tuple[Picture, Any, Any]:
    """The part of `canvas` within `half` of `center`, with each pixel's distance from it in x and y."""
    left, right = max(0, int(center[0] - half)), min(canvas.shape[2], int(center[0] + half) + 1)
    top, bottom = max(0, int(center[1] - half)), min(canvas.shape[1], int(center[1] + half) + 1)
    y, x = np.ogrid[top:bottom, left:right]
    part = canvas[:, top:bottom, left:right]
    return part, (x - center[0]).astype(np.float32), (y - center[1]).astype(np.float32)


def _blend(part: Picture, color: Any, coverage: Any) -> None:
    """`color` over `part` where `coverage` is 1, `part` where it is 0."""
    for component in range(3):
        part[component] += (color[component] - part[component]) * coverage


def _stamp(part: Picture, mask: NDArray[np.float32], left: int, top: int, color: tuple[float, float, float]) -> None:
    """`mask` in `color` at a place of `part`, cut at its edges."""
    place = part[:, top : top + mask.shape[0], left : left + mask.shape[1]]
    _blend(place, color, mask[: place.shape[1], : place.shape[2]])
