"""Sizes that an encoder would crash on are refused before it sees them."""

from __future__ import annotations

import pytest

from kernels.errors import FormatError
from kernels.frame import VideoFormat
from kernels.io.encode import EncodeSettings, check_size
from kernels.pixel_format import pixel_format


def picture(width: int, height: int) -> VideoFormat:
    return VideoFormat(width=width, height=height, pixel_format=pixel_format("yuv420p10"))


@pytest.mark.parametrize(("width", "height"), [(48, 64), (62, 64), (64, 8), (2, 2)])
def test_hevc_refuses_small_pictures(width: int, height: int) -> None:
    with pytest.raises(FormatError, match=rf"hevc cannot encode {width}x{height}: its smallest size is 64x16"):
        check_size(EncodeSettings(codec="hevc"), picture(width, height))


@pytest.mark.parametrize("codec", ["h264", "vp9", "ffv1"])
def test_others_take_them(codec: str) -> None:
    check_size(EncodeSettings(codec=codec), picture(2, 2))


def test_hevc_takes_its_smallest_size() -> None:
    check_size(EncodeSettings(codec="hevc"), picture(64, 16))
