"""Operations on arrays and frames in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

import kernels
from kernels.errors import ChainError, FormatError

if TYPE_CHECKING:
    from tests.kernels.conftest import FrameMaker


def test_a_plane_comes_back_a_plane(rng: np.random.Generator) -> None:
    plane = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    assert np.array_equal(kernels.hflip(plane), plane[:, ::-1])
    assert np.array_equal(kernels.apply("vflip,hflip", plane.astype(np.uint16)), plane[::-1, ::-1].astype(np.uint16))


def test_rgb_comes_back_rgb(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(kernels.transpose(picture, dir="clock"), np.rot90(picture, -1))
    half = kernels.scale(picture, w="iw/2", h="ih/2", flags="area")
    assert np.abs(half.astype(int) - cv2.resize(picture, (15, 10), interpolation=cv2.INTER_AREA)).max() <= 1


def test_rgb_may_have_any_depth_that_fits(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 1024, (8, 8, 3), dtype=np.uint16)
    assert np.array_equal(kernels.hflip(picture, pixel_format="gbrp10"), picture[:, ::-1])


def test_rgb_to_gray_is_one_plane(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    gray = kernels.format(picture, pix_fmts="gray")
    luma = picture.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(gray - (16 + luma * 219 / 255)).max() <= 0.51


def test_planes_need_their_format(make_frame: FrameMaker) -> None:
    planes = make_frame("yuv420p10").planes
    out = kernels.unsharp(planes, pixel_format="yuv420p10", luma_amount=0)
    assert all(np.array_equal(a, b) for a, b in zip(out, planes, strict=True))
    with pytest.raises(FormatError, match="pass pixel_format="):
        kernels.unsharp(planes)
    with pytest.raises(FormatError, match="rows x columns"):
        kernels.unsharp(planes, pixel_format="yuv444p10")
    with pytest.raises(FormatError, match="holds uint8 samples, not uint16"):
        kernels.unsharp(planes, pixel_format="yuv420p")


def test_a_frame_comes_back_a_frame(make_frame: FrameMaker) -> None:
    frame = make_frame("yuv420p").replace(pts=5)
    out = kernels.apply("crop=10:10", frame)
    assert (out.pts, out.width, out.height) == (5, 10, 10)


def test_wrong_names_and_types_are_refused() -> None:
    with pytest.raises(AttributeError, match="did you mean 'unsharp'"):
        kernels.unsharpp  # noqa: B018
    with pytest.raises(FormatError, match="did you mean 'luma_amount'"):
        kernels.unsharp(np.zeros((4, 4), np.uint8), lumaamount=1)
    with pytest.raises(FormatError, match="uint8 or uint16"):
        kernels.hflip(np.zeros((4, 4)))
    with pytest.raises(FormatError, match=r"\(height, width\)"):
        kernels.hflip(np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(FormatError, match="uint8 or uint16 arrays, not >u2"):
        kernels.hflip(np.zeros((4, 4), ">u2"))
    with pytest.raises(FormatError, match="each side must be 1 to"):
        kernels.hflip(np.zeros((0, 4), np.uint8))
    with pytest.raises(FormatError, match="is R'G'B', not yuv444p"):
        kernels.hflip(np.zeros((4, 4, 3), np.uint8), pixel_format="yuv444p")
    with pytest.raises(ChainError):
        kernels.apply("hflop", np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("picture", [[], [[1, 2], [3, 4]], [np.zeros(4, np.uint8)], "ab"])
def test_what_is_no_picture_is_refused(picture: object) -> None:
    with pytest.raises(FormatError, match="a picture is a Frame, an array, or a sequence"):
        kernels.apply("hflip", picture, pixel_format="gray")


@pytest.mark.parametrize(
    "chain", ["hflip", "vflip", "transpose", "unsharp", "cas", "scale=iw*2:ih*2", "eq=contrast=1.5"]
)
def test_any_memory_layout_gives_the_same_picture(chain: str, rng: np.random.Generator) -> None:
    """Views with negative, long or no strides, of one row or column, and read-only memory."""
    whole = rng.integers(0, 256, (36, 60), dtype=np.uint8)
    views = [whole[::-1], whole[:, ::-1], whole[::2, ::3], whole.T, whole[:, :1], whole[:1], np.asfortranarray(whole)]
    views += [np.broadcast_to(whole[:1], (9, 60)), np.frombuffer(whole.tobytes(), np.uint8).reshape(36, 60)]
    for view in views:
        assert np.array_equal(kernels.apply(chain, view), kernels.apply(chain, view.copy(order="C")))
