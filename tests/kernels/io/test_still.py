"""Stills: colours by their tags' own equation, files that another decoder reads."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kernels.color import LUMA_WEIGHTS, Color, Matrix, Range
from kernels.frame import Frame, VideoFormat
from kernels.io.still import encode_still, to_rgb
from kernels.pixel_format import pixel_format

COLOURS = ((255, 255, 255), (0, 0, 0), (200, 60, 90), (20, 180, 240))


@pytest.mark.parametrize("matrix", [Matrix.BT709, Matrix.SMPTE170M, Matrix.BT470BG, Matrix.BT2020_NCL])
@pytest.mark.parametrize("range_", [Range.LIMITED, Range.FULL])
@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "yuv422p10"])
def test_colours_follow_the_tags(matrix: Matrix, range_: Range, name: str) -> None:
    """H.273 equations 20 to 40, inverted by choosing the codes from the colour."""
    kr, kb = (float(weight) for weight in LUMA_WEIGHTS[matrix])
    video_format = VideoFormat(
        width=18, height=14, pixel_format=pixel_format(name), color=Color(matrix=matrix, range=range_)
    )
    depth, peak = video_format.pixel_format.depth, video_format.pixel_format.peak
    for colour in COLOURS:
        red, green, blue = (value / 255 for value in colour)
        luma = kr * red + (1 - kr - kb) * green + kb * blue
        cb, cr = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
        if range_ is Range.LIMITED:
            codes = [value * 2 ** (depth - 8) for value in (16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr)]
        else:
            codes = [peak * luma, peak * cb + 2 ** (depth - 1), peak * cr + 2 ** (depth - 1)]
        planes = tuple(
            np.full(video_format.plane_size(i), np.clip(round(code), 0, peak), video_format.pixel_format.dtype)
            for i, code in enumerate(codes)
        )
        shown = to_rgb(Frame(planes=planes, format=video_format)).astype(int)
        assert np.abs(shown - np.array(colour)).max() <= 3, (colour, shown[0, 0])


def test_png_is_exact() -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (13, 17, 3)).astype(np.uint8)
    decoded = cv2.imdecode(np.frombuffer(encode_still(rgb, "png"), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.array_equal(decoded[:, :, ::-1], rgb)


def test_webp_looks_the_same() -> None:
    y, x = np.mgrid[:40, :56]
    rgb = np.stack([x * 4, y * 6, 255 - x * 4], axis=2).astype(np.uint8)
    encoded = encode_still(rgb, "webp")
    decoded = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.abs(decoded[:, :, ::-1].astype(int) - rgb).mean() < 4
