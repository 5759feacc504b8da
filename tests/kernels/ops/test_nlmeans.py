"""`nlmeans` against a direct evaluation in float64, a hand-worked picture and FFmpeg's filter."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels.errors import FormatError
from kernels.ops.nlmeans import NLMEANS, TILE_COLUMNS, TILE_ROWS, NlmeansParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.frame import Plane
    from tests.kernels.ops.conftest import FFmpegFilter, PlaneRunner


def direct(codes: NDArray[np.float64], strength: float, patch: int, window: int) -> NDArray[np.float64]:
    """The sum over the window as the paper writes it, one offset after the other; codes and result in 8 bits."""
    height, width = codes.shape
    reach, radius = patch // 2, window // 2
    padded = np.pad(codes, reach + radius, mode="edge")

    def moved(dy: int, dx: int) -> NDArray[np.float64]:
        y, x = reach + radius + dy, reach + radius + dx
        return padded[y : y + height, x : x + width]

    rows, columns = np.mgrid[:height, :width]
    total, weights = np.zeros(codes.shape), np.zeros(codes.shape)
    for dy, dx in product(range(-radius, radius + 1), repeat=2):
        distance = np.zeros(codes.shape)
        for j, i in product(range(-reach, reach + 1), repeat=2):
            distance += (moved(j, i) - moved(dy + j, dx + i)) ** 2
        weight = np.exp(-distance / (10 * strength) ** 2)
        in_picture = (rows + dy >= 0) & (rows + dy < height) & (columns + dx >= 0) & (columns + dx < width)
        weight *= in_picture & (weight >= 1 / 255)
        total += weight * moved(dy, dx)
        weights += weight
    return total / weights


def scene(rng: np.random.Generator, height: int, width: int, sigma: float, depth: int = 8) -> Plane:
    """Waves, an edge and Gaussian noise of `sigma` 8-bit codes."""
    y, x = np.mgrid[:height, :width]
    clean = 110 + 30 * np.sin(x / 5) + 20 * np.cos(y / 4) + 40 * (x > y)
    codes = np.clip((clean + rng.normal(0, sigma, clean.shape)) * 2.0 ** (depth - 8), 0, 2**depth - 1)
    plane: Plane = codes.astype(np.uint8 if depth == 8 else np.uint16)
    return plane


def params(strength: float, patch: int, window: int) -> NlmeansParams:
    return NlmeansParams(s=strength, p=patch, r=window)


def assert_close(ours: Plane, expected: NDArray[np.float64], depth: int) -> None:
    """Half a code of rounding and 1/50 of an 8-bit code for float32.

    At 16 bits distances leave out the samples' last bits, so a weight of just about 1/255 may count on one side
    only: rare, and worth less than half an 8-bit code.
    """
    up = 2.0 ** (depth - 8)
    difference = np.abs(ours - expected)
    assert np.quantile(difference, 0.95 if depth == 16 else 1.0) <= 0.5 + 0.02 * up
    assert difference.max() <= 0.5 + 0.5 * up


SETTINGS = [
    (1.0, 7, 15, 2.0),
    (3.0, 7, 15, 6.0),
    (6.0, 3, 7, 25.0),
    (10.0, 5, 9, 30.0),
    (4.0, 1, 5, 10.0),
    (8.0, 11, 3, 9.0),
]
"""(s, p, r, noise)."""


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 30), (26, 37)])
@pytest.mark.parametrize(("strength", "patch", "window", "sigma"), SETTINGS)
@pytest.mark.parametrize("depth", [8, 10, 16])
def test_direct_evaluation(
    run_plane: PlaneRunner,
    rng: np.random.Generator,
    size: tuple[int, int],
    strength: float,
    patch: int,
    window: int,
    sigma: float,
    depth: int,
) -> None:
    codes = scene(rng, *size, sigma, depth)
    name = "gray" if depth == 8 else f"gray{depth}"
    ours = run_plane(NLMEANS, params(strength, patch, window), codes, name)
    assert ours is not None
    up = 2.0 ** (depth - 8)
    expected = direct(codes / up, strength, patch, window) * up
    assert_close(ours, expected, depth)


@pytest.mark.parametrize(("strength", "patch", "window", "sigma"), [*SETTINGS, (5.0, 6, 8, 20.0)])
def test_ffmpeg_filter(
    run_plane: PlaneRunner,
    ffmpeg_filter: FFmpegFilter,
    rng: np.random.Generator,
    strength: float,
    patch: int,
    window: int,
    sigma: float,
) -> None:
    codes = scene(rng, 30, 41, sigma)
    theirs = ffmpeg_filter([codes] * 3, "yuv444p", f"nlmeans={strength}:{patch}:0:{window}:0")
    for component in range(3):
        ours = run_plane(NLMEANS, params(strength, patch, window), codes, "yuv444p", component=component)
        assert ours is not None
        difference = np.abs(ours.astype(int) - theirs[component])
        assert difference.max() <= 1
        assert np.count_nonzero(difference) <= 2, "more than rounding ties"


def test_ffmpeg_filter_with_sizes_for_chroma(
    run_plane: PlaneRunner, ffmpeg_filter: FFmpegFilter, rng: np.random.Generator
) -> None:
    codes = scene(rng, 30, 41, 9.0)
    theirs = ffmpeg_filter([codes] * 3, "yuv444p", "nlmeans=s=5:p=5:pc=3:r=9:rc=5")
    chosen = NlmeansParams(s=5, p=5, pc=3, r=9, rc=5)
    for component in range(3):
        ours = run_plane(NLMEANS, chosen, codes, "yuv444p", component=component)
        assert ours is not None
        assert np.abs(ours.astype(int) - theirs[component]).max() <= 1


def test_hand_worked_pair(run_plane: PlaneRunner) -> None:
    """Single-sample patches, a window of 3 and two samples 10 apart: weight exp(-100 / 100) = 0.3679.

    (100 + 0.3679 * 110) / 1.3679 = 102.69 and (110 + 0.3679 * 100) / 1.3679 = 107.31.
    """
    ours = run_plane(NLMEANS, params(1.0, 1, 3), np.array([[100, 110]], np.uint8))
    assert ours is not None
    assert ours.tolist() == [[103, 107]]


def test_weights_under_1_in_255_are_none(run_plane: PlaneRunner) -> None:
    """100 ln 255 = 554.1: samples 23 apart (529) still mix, 24 apart (576) do not."""
    codes = np.array([[25600, 31488], [25600, 31744]], np.uint16)
    weight = math.exp(-5.29)
    mixed = run_plane(NLMEANS, params(1.0, 1, 3), codes[:1], "gray16")
    apart = run_plane(NLMEANS, params(1.0, 1, 3), codes[1:], "gray16")
    assert mixed is not None
    assert apart is not None
    assert abs(int(mixed[0, 0]) - (100 + 123 * weight) / (1 + weight) * 256) <= 1
    assert (apart == codes[1:]).all()


def test_flat_stays_flat(run_plane: PlaneRunner) -> None:
    for value in (0, 1, 255):
        codes = np.full((9, 21), value, np.uint8)
        ours = run_plane(NLMEANS, params(5.0, 7, 15), codes)
        assert ours is not None
        assert (ours == value).all()
    codes16 = np.full((5, 9), 65535, np.uint16)
    ours = run_plane(NLMEANS, params(5.0, 7, 15), codes16, "gray16")
    assert ours is not None
    assert (codes16 - ours <= 1).all()


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_exchange_form_shows_the_same_picture(run_plane: PlaneRunner, rng: np.random.Generator, depth: int) -> None:
    codes = scene(rng, 21, 35, 6.0, depth)
    name = "gray" if depth == 8 else f"gray{depth}"
    up = 16 - depth
    chosen = params(3.0, 7, 9)
    expected = direct(codes / 2.0 ** (depth - 8), 3.0, 7, 9) * 256
    for shift in ((0, up), (up, up)):
        ours = run_plane(NLMEANS, chosen, codes, name, shift=shift)
        assert ours is not None
        assert np.abs(ours - expected).max() <= 3
    native = run_plane(NLMEANS, chosen, codes, name)
    from_exchange = run_plane(NLMEANS, chosen, codes, name, shift=(up, 0))
    assert native is not None
    assert from_exchange is not None
    assert (native == from_exchange).all()


@pytest.mark.parametrize("depth", [8, 16])
def test_bands_equal_the_whole(run_plane: PlaneRunner, rng: np.random.Generator, depth: int) -> None:
    """Also across tiles: the picture is wider and higher than one, and the bands do not end where tiles do."""
    height, width = TILE_ROWS + 14, TILE_COLUMNS + 40
    codes = scene(rng, height, width, 5.0, depth)
    name = "gray" if depth == 8 else f"gray{depth}"
    whole = run_plane(NLMEANS, params(3.0, 5, 7), codes, name)
    bands = run_plane(NLMEANS, params(3.0, 5, 7), codes, name, bands=(1, 2, 19, height - 1), spare=0)
    assert whole is not None
    assert bands is not None
    assert (whole == bands).all()
    up = 2.0 ** (depth - 8)
    seam = slice(TILE_COLUMNS - 30, TILE_COLUMNS + 40)
    expected = direct(codes[:, seam] / up, 3.0, 5, 7) * up
    assert_close(whole[:, seam][:, 10:], expected[:, 10:], depth)


def test_a_window_of_one_passes_through(run_plane: PlaneRunner) -> None:
    codes = np.zeros((4, 4), np.uint8)
    assert run_plane(NLMEANS, params(1.0, 7, 1), codes) is None
    assert run_plane(NLMEANS, NlmeansParams(rc=1), codes, "yuv444p", component=1) is None
    assert run_plane(NLMEANS, NlmeansParams(rc=1), codes, "yuv444p") is not None


def test_largest_patch_on_the_largest_contrast(run_plane: PlaneRunner) -> None:
    """99 x 99 squares of the full range are the largest sum there is: it must not wrap."""
    codes = np.zeros((6, 120), np.uint16)
    codes[:, 60:] = 65535
    ours = run_plane(NLMEANS, params(30.0, 99, 99), codes, "gray16")
    assert ours is not None
    assert ours[:, :3].max() == 0
    assert ours[:, -3:].min() >= 65534


def test_strength_out_of_range() -> None:
    with pytest.raises(FormatError, match="number from 1 to 30"):
        NlmeansParams(s=0.5)
