"""`unsharp` against a direct evaluation in float64, a hand-worked picture and FFmpeg's filter."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels.errors import FormatError
from kernels.ops.unsharp import UNSHARP, UnsharpParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.frame import Plane
    from tests.kernels.ops.conftest import FFmpegFilter, NoiseMaker, PlaneRunner

SIZES = [(1, 1), (2, 3), (5, 4), (33, 47), (20, 64)]
"""(height, width)."""


def direct(codes: Plane, size_x: int, size_y: int, amount: float, peak: int, gain: float = 1.0) -> NDArray[np.float64]:
    """The formula of the module under test, unrounded, one shifted copy of the padded picture per tap."""
    height, width = codes.shape
    padded = np.pad(codes.astype(np.float64), ((size_y // 2,) * 2, (size_x // 2,) * 2), mode="edge")
    blur = np.zeros(codes.shape)
    for j in range(size_y):
        for i in range(size_x):
            weight = comb(size_y - 1, j) * comb(size_x - 1, i) / 2 ** (size_x + size_y - 2)
            blur += weight * padded[j : j + height, i : i + width]
    return np.clip((codes + amount * (codes - blur)) * gain, 0, peak)


def luma(size_x: int = 5, size_y: int = 5, amount: float = 1.0) -> UnsharpParams:
    return UnsharpParams(luma_msize_x=size_x, luma_msize_y=size_y, luma_amount=amount)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("size_x", "size_y", "amount"), [(5, 5, 1.0), (3, 7, 1.5), (23, 3, -2.0), (13, 13, 5.0)])
@pytest.mark.parametrize("depth", [8, 10, 16])
def test_direct_evaluation(
    run_plane: PlaneRunner,
    noise: NoiseMaker,
    size: tuple[int, int],
    size_x: int,
    size_y: int,
    amount: float,
    depth: int,
) -> None:
    codes = noise(*size, depth)
    name = "gray" if depth == 8 else f"gray{depth}"
    ours = run_plane(UNSHARP, luma(size_x, size_y, amount), codes, name)
    assert ours is not None
    expected = direct(codes, size_x, size_y, amount, (1 << depth) - 1)
    # Half a code of rounding; float32 keeps 24 bits, of which 16 are whole codes and 3 the amount.
    assert np.abs(ours - expected).max() <= 0.5 + 2.0 ** (depth - 20)


def test_hand_worked_impulse(run_plane: PlaneRunner) -> None:
    """3x3 weights are 1 2 1 / 2 4 2 / 1 2 1 over 16: 160 in the middle of 0 loses 120 to its neighbours."""
    codes = np.array([[0, 0, 0], [0, 160, 0], [0, 0, 0]], np.uint8)
    ours = run_plane(UNSHARP, luma(3, 3, -1.0), codes)
    assert ours is not None
    assert ours.tolist() == [[10, 20, 10], [20, 40, 20], [10, 20, 10]]


def test_flat_stays_flat(run_plane: PlaneRunner) -> None:
    for value in (0, 1, 128, 255):
        codes = np.full((9, 11), value, np.uint8)
        ours = run_plane(UNSHARP, luma(7, 5, 5.0), codes)
        assert ours is not None
        assert (ours == value).all()


@pytest.mark.parametrize("arguments", ["5:5:1:5:5:1", "3:7:1.5:3:7:1.5", "13:13:-1:13:13:-1", "7:5:0.3:7:5:0.3"])
def test_ffmpeg_filter(run_plane: PlaneRunner, ffmpeg_filter: FFmpegFilter, noise: NoiseMaker, arguments: str) -> None:
    """FFmpeg rounds the blur to a code before multiplying and then rounds down: at most amount / 2 + 1 apart."""
    size_x, size_y, amount = arguments.split(":")[:3]
    codes = noise(33, 47)
    theirs = ffmpeg_filter([codes] * 3, "yuv444p", f"unsharp={arguments}")
    params = UnsharpParams(
        luma_msize_x=int(size_x),
        luma_msize_y=int(size_y),
        luma_amount=float(amount),
        chroma_msize_x=int(size_x),
        chroma_msize_y=int(size_y),
        chroma_amount=float(amount),
    )
    for component in range(3):
        ours = run_plane(UNSHARP, params, codes, "yuv444p", component=component)
        assert ours is not None
        assert np.abs(ours.astype(int) - theirs[component]).max() <= abs(float(amount)) / 2 + 1


def test_edges_repeat_as_in_ffmpeg(run_plane: PlaneRunner, ffmpeg_filter: FFmpegFilter) -> None:
    """An impulse in every corner in turn, so that each edge rule shows."""
    for row, column in [(0, 0), (0, 15), (8, 0), (8, 15)]:
        codes = np.zeros((9, 16), np.uint8)
        codes[row, column] = 255
        theirs = ffmpeg_filter([codes] * 3, "yuv444p", "unsharp=5:5:-1")[0]
        ours = run_plane(UNSHARP, luma(amount=-1.0), codes)
        assert ours is not None
        assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_exchange_form_shows_the_same_picture(run_plane: PlaneRunner, noise: NoiseMaker, depth: int) -> None:
    codes = noise(21, 35, depth)
    name = "gray" if depth == 8 else f"gray{depth}"
    up = 16 - depth
    peak = ((1 << depth) - 1) << up
    expected = direct(codes, 5, 5, 1.0, peak, gain=2.0**up)
    for shift in ((0, up), (up, up)):
        ours = run_plane(UNSHARP, luma(), codes, name, shift=shift)
        assert ours is not None
        assert np.abs(ours - expected).max() <= 0.5 + 2.0**-4
    native = run_plane(UNSHARP, luma(), codes, name)
    from_exchange = run_plane(UNSHARP, luma(), codes, name, shift=(up, 0))
    assert native is not None
    assert from_exchange is not None
    assert (native == from_exchange).all()


def test_bands_equal_the_whole(run_plane: PlaneRunner, noise: NoiseMaker) -> None:
    codes = noise(40, 50)
    whole = run_plane(UNSHARP, luma(7, 9, 2.0), codes)
    bands = run_plane(UNSHARP, luma(7, 9, 2.0), codes, bands=(1, 2, 7, 39), spare=0)
    assert whole is not None
    assert bands is not None
    assert (whole == bands).all()


def test_planes_without_strength_pass_through(run_plane: PlaneRunner) -> None:
    codes = np.zeros((4, 4), np.uint8)
    assert run_plane(UNSHARP, UnsharpParams(), codes, "yuv444p", component=1) is None
    assert run_plane(UNSHARP, luma(amount=0.0), codes) is None
    assert run_plane(UNSHARP, UnsharpParams(), codes, "gbrp", component=2) is not None


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(FormatError, match="odd integer from 3 to 23"):
        UnsharpParams(luma_msize_x=4)
    with pytest.raises(FormatError, match="at most 26"):
        UnsharpParams(chroma_msize_x=15, chroma_msize_y=13)
