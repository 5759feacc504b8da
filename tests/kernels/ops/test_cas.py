"""`cas` against a direct evaluation in float64, a hand-worked picture and FFmpeg's filter."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels.backends.parts import plane_format
from kernels.errors import FormatError
from kernels.frame import VideoFormat
from kernels.ops.cas import CAS, CasParams
from kernels.pixel_format import pixel_format
from tests.kernels.cuda.engine import StrictEngine
from tests.kernels.cuda.planes import Lie, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.frame import Plane
    from tests.kernels.ops.conftest import FFmpegFilter, NoiseMaker, PlaneRunner


def direct(codes: Plane, strength: float, depth: int) -> NDArray[np.float64]:
    """The published formula, one sample after the other, unrounded and clipped to the codes of `depth`."""
    height, width = codes.shape
    padded = np.pad(codes.astype(np.float64), 1, mode="edge")
    result = np.empty(codes.shape)
    for y, x in product(range(height), range(width)):
        a, b, c, d, e, f, g, h, i = padded[y : y + 3, x : x + 3].ravel()
        low = min(b, d, e, f, h) + min(a, b, c, d, e, f, g, h, i)
        high = max(b, d, e, f, h) + max(a, b, c, d, e, f, g, h, i)
        room = min(low, 2**depth * 2 - 1 - high)
        amp = (min(max(room / high, 0), 1)) ** 0.5 if high else 0.0
        weight = -amp / (16 * (1 - strength) + 4.01 * strength)
        result[y, x] = (e + weight * (b + d + f + h)) / (1 + 4 * weight)
    return np.clip(result, 0, 2**depth - 1)


def soft(codes: Plane, depth: int) -> Plane:
    """`codes` drawn together round the middle, so that little is clipped."""
    drawn: Plane = (codes * 0.3 + 0.35 * 2**depth).astype(codes.dtype)
    return drawn


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 9), (33, 47)])
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("depth", [8, 10, 16])
def test_direct_evaluation(
    run_plane: PlaneRunner, noise: NoiseMaker, size: tuple[int, int], strength: float, depth: int
) -> None:
    codes = noise(*size, depth)
    name = "gray" if depth == 8 else f"gray{depth}"
    for picture in (codes, soft(codes, depth)):
        ours = run_plane(CAS, CasParams(strength=strength), picture, name)
        assert ours is not None
        # Half a code of rounding; at strength 1 the divisor falls to 1/400 of its terms: 24 - 9 bits remain.
        assert np.abs(ours - direct(picture, strength, depth)).max() <= 0.5 + 2.0 ** (depth - 15)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("level", [2000, 32767])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_kernel_where_the_picture_is_nearly_flat(strength: float, level: int, rng: np.random.Generator) -> None:
    """There the divisor of the published form falls to 1/400 of its terms; the kernel's has nothing to lose."""
    params, depth = CasParams(strength=strength), 16
    form = VideoFormat(width=64, height=40, pixel_format=pixel_format(f"gray{depth}"))
    plane = plane_format(form, 0)
    assert CAS.cuda is not None
    launch = CAS.cuda(params, form, form, plane, plane)
    assert launch is not None
    for unrest in (3, 30, 80):
        codes = (level + rng.integers(-unrest, unrest, (40, 64), endpoint=True)).astype(np.uint16)
        (made,) = run(StrictEngine(), launch, plane, plane, (codes,), Lie())
        assert np.abs(made - direct(codes, strength, depth)).max() <= 0.6


def test_hand_worked_dot(run_plane: PlaneRunner) -> None:
    """A 90 among 40s at strength 0: low 80, high 180, amp 2/3, weight -1/24; 90 becomes 100.

    (90 - 160/24) / (1 - 4/24) = 100. Its neighbour above: low 80, high 180 again, one neighbour 90 and, the
    edge repeating, three 40s: (40 - 210/24) / (20/24) = 37.5, rounded up to 38.
    """
    codes = np.full((3, 3), 40, np.uint8)
    codes[1, 1] = 90
    ours = run_plane(CAS, CasParams(), codes)
    assert ours is not None
    # A corner sees the 90 only diagonally: high 130, and its four neighbours are 40s, so it stays.
    assert ours.tolist() == [[40, 38, 40], [38, 100, 38], [40, 38, 40]]


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("pix_fmt", "depth"), [("yuv444p", 8), ("yuv444p10le", 10), ("yuv444p16le", 16)])
def test_ffmpeg_filter(
    run_plane: PlaneRunner,
    ffmpeg_filter: FFmpegFilter,
    noise: NoiseMaker,
    strength: float,
    pix_fmt: str,
    depth: int,
) -> None:
    """FFmpeg drops the fraction that is rounded here: the same code or one less, and half of them one less."""
    codes = soft(noise(33, 47, depth), depth)
    theirs = ffmpeg_filter([codes] * 3, pix_fmt, f"cas={strength}")
    for component in range(3):
        ours = run_plane(CAS, CasParams(strength=strength), codes, pix_fmt, component=component)
        assert ours is not None
        difference = ours.astype(int) - theirs[component]
        assert difference.min() >= (0 if depth < 16 else -1)
        assert difference.max() <= 1
        assert 0.3 < difference.mean() < 0.7


@pytest.mark.parametrize("value", [0, 1, 16, 128, 254, 255])
def test_flat_stays_flat(run_plane: PlaneRunner, value: int) -> None:
    codes = np.full((9, 21), value, np.uint8)
    for strength in (0.0, 1.0):
        ours = run_plane(CAS, CasParams(strength=strength), codes)
        assert ours is not None
        assert (ours == value).all()


@pytest.mark.parametrize("depth", [8, 10, 12])
def test_exchange_form_shows_the_same_picture(run_plane: PlaneRunner, noise: NoiseMaker, depth: int) -> None:
    codes = soft(noise(21, 35, depth), depth)
    name = "gray" if depth == 8 else f"gray{depth}"
    up = 16 - depth
    params = CasParams(strength=0.7)
    expected = direct(codes, 0.7, depth) * 2**up
    for shift in ((0, up), (up, up)):
        ours = run_plane(CAS, params, codes, name, shift=shift)
        assert ours is not None
        assert np.abs(ours - expected).max() <= 1.5
    native = run_plane(CAS, params, codes, name)
    from_exchange = run_plane(CAS, params, codes, name, shift=(up, 0))
    assert native is not None
    assert from_exchange is not None
    assert (native == from_exchange).all()


def test_bands_equal_the_whole(run_plane: PlaneRunner, noise: NoiseMaker) -> None:
    codes = noise(40, 50)
    whole = run_plane(CAS, CasParams(strength=1), codes)
    bands = run_plane(CAS, CasParams(strength=1), codes, bands=(1, 2, 7, 39), spare=0)
    assert whole is not None
    assert bands is not None
    assert (whole == bands).all()


def test_planes_not_chosen_pass_through(run_plane: PlaneRunner, ffmpeg_filter: FFmpegFilter, noise: NoiseMaker) -> None:
    codes = noise(12, 16)
    theirs = ffmpeg_filter([codes] * 3, "yuv444p", "cas=strength=1:planes=5")
    for component in range(3):
        ours = run_plane(CAS, CasParams(strength=1, planes=5), codes, "yuv444p", component=component)
        assert (ours is None) == (component == 1) == bool((theirs[component] == codes).all())


def test_strength_out_of_range() -> None:
    with pytest.raises(FormatError, match="number from 0 to 1"):
        CasParams(strength=1.5)
