"""Resampled planes against one dense matrix per axis, built sample by sample from the definition in float64."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels.color import ChromaLocation, Color
from kernels.frame import VideoFormat
from kernels.operation import PlaneFormat
from kernels.pixel_format import pixel_format
from kernels.resample import cpu, filters
from kernels.resample.weights import plane_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.resample.filters import Filter

SIZES = [  # (width, height) in, out
    ((64, 48), (128, 96)),
    ((64, 48), (96, 72)),
    ((66, 48), (44, 32)),
    ((97, 61), (40, 30)),
    ((65, 49), (97, 33)),
    ((90, 60), (30, 20)),
    ((96, 64), (24, 16)),
    ((64, 64), (64, 32)),
    ((64, 64), (32, 64)),
    ((64, 48), (96, 48)),
    ((60, 40), (80, 40)),
    ((30, 21), (30, 63)),
    ((1, 1), (5, 7)),
    ((5, 7), (1, 1)),
    ((1, 9), (3, 2)),
    ((1100, 6), (2200, 9)),
    ((1500, 4), (2250, 4)),
]
FILTERS = [
    filters.bilinear(),
    filters.bicubic(),
    filters.bicubic(1 / 3, 1 / 3),
    filters.lanczos(3),
    filters.lanczos(5),
    filters.spline36(),
    filters.area(),
    filters.neighbor(),
]
# Where chroma sample 0 lies among the luma samples that it covers: (x, y), 0 the first, 1 the last.
PLACES = {
    ChromaLocation.LEFT: (0, 0.5),
    ChromaLocation.CENTER: (0.5, 0.5),
    ChromaLocation.TOPLEFT: (0, 0),
    ChromaLocation.TOP: (0.5, 0),
    ChromaLocation.BOTTOMLEFT: (0, 1),
    ChromaLocation.BOTTOM: (0.5, 1),
}


def grid(size: int, log2: int, place: float) -> NDArray[np.float64]:
    """Centres of a plane's samples, as fractions of the picture's side of `size` luma samples."""
    covered = 1 << log2
    luma = np.arange(-(-size // covered)) * covered + place * (covered - 1)
    return (luma + 0.5) / size


def matrix(source: tuple[int, int, float], target: tuple[int, int, float], kernel: Filter) -> NDArray[np.float64]:
    """(target samples, source samples) for sides given as (luma samples, log2 subsampling, place)."""
    have, want = grid(*source), grid(*target)
    if np.array_equal(have, want):
        return np.eye(len(have))  # an axis that does not change is not filtered
    pitch_in, pitch_out = (1 << source[1]) / source[0], (1 << target[1]) / target[0]
    step = pitch_out / pitch_in
    result: NDArray[np.float64] = np.zeros((len(want), len(have)))
    for i, centre in enumerate((want - have[0]) / pitch_in):
        reach = step / 2 + 1 if kernel.covers else max(kernel.support, 0.5) * max(step, 1) + 1
        for j in range(int(centre - reach) - 2, int(centre + reach) + 3):
            result[i, mirror(j, len(have))] += weight(kernel, j - centre, step)
    normalised: NDArray[np.float64] = result / result.sum(axis=1, keepdims=True)
    return normalised


def weight(kernel: Filter, distance: float, step: float) -> float:
    if kernel.covers:
        return max(0.0, min(distance + 0.5, step / 2) - max(distance - 0.5, -step / 2))
    if kernel.support == 0:
        return float(-0.5 < round(distance, 9) <= 0.5)
    scaled = abs(distance) / max(step, 1)
    return float(kernel.weight(np.array([scaled]))[0]) if scaled < kernel.support else 0.0


def mirror(index: int, size: int) -> int:
    while not 0 <= index < size:
        index = -1 - index if index < 0 else 2 * size - 1 - index
    return index


def plane_format(video: VideoFormat, plane: int) -> PlaneFormat:
    height, width = video.plane_size(plane)
    layout = video.pixel_format
    return PlaneFormat(component=plane, width=width, height=height, depth=layout.depth, shift=layout.shift)


def resample(
    samples: NDArray[np.integer],
    source: VideoFormat,
    target: VideoFormat,
    plane: int,
    kernel: Filter,
    cuts: Sequence[int] = (),
) -> NDArray[np.integer]:
    """`samples` through the kernel under test, with rubbish beside the plane and the work cut at rows `cuts`."""
    bound = cpu.bind(
        *plane_axes(source, target, plane), kernel, plane_format(source, plane), plane_format(target, plane)
    )
    assert bound is not None
    padded = np.full((samples.shape[0], samples.shape[1] + 3), 255, source.pixel_format.dtype)
    padded[:, :-3] = samples
    height, width = target.plane_size(plane)
    out = np.full((height, width + 5), 77, target.pixel_format.dtype)
    for first, last in pairwise(sorted({0, *(c for c in cuts if c < height), height})):
        bound(padded, out, first, last)
    assert (out[:, width:] == 77).all(), "the kernel wrote beyond the plane's width"
    return out[:, :width]


def expected(
    samples: NDArray[np.integer], source: VideoFormat, target: VideoFormat, plane: int, kernel: Filter
) -> NDArray[np.float64]:
    """The exact value of every sample on the target's scale, unrounded, clipped."""
    ends = []
    for video in (source, target):
        layout = video.pixel_format
        x, y = PLACES[video.resolved_color.chroma_location]
        w, h = (layout.log2_chroma_w, layout.log2_chroma_h) if plane else (0, 0)
        ends.append(((video.height, h, y), (video.width, w, x)))
    rows, columns = (matrix(a, b, kernel) for a, b in zip(*ends, strict=True))
    depths = [v.pixel_format.depth + v.pixel_format.shift for v in (source, target)]
    exact = rows @ samples.astype(np.float64) @ columns.T * 2.0 ** (depths[1] - depths[0])
    return np.clip(exact, 0, target.pixel_format.peak)


def video(name: str, size: tuple[int, int], location: ChromaLocation = ChromaLocation.LEFT) -> VideoFormat:
    return VideoFormat(
        width=size[0], height=size[1], pixel_format=pixel_format(name), color=Color(chroma_location=location)
    )


def noise(rng: np.random.Generator, form: VideoFormat, plane: int) -> NDArray[np.integer]:
    return rng.integers(0, form.pixel_format.peak + 1, form.plane_size(plane)).astype(form.pixel_format.dtype)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kernel", FILTERS, ids=lambda kernel: f"{kernel.name}{kernel.support:g}")
@pytest.mark.long
def test_every_ratio_and_filter_rounds_the_exact_value(
    kernel: Filter, sizes: tuple[tuple[int, int], tuple[int, int]], rng: np.random.Generator
) -> None:
    source, target = (video("yuv420p", size) for size in sizes)
    for plane in (0, 1):
        samples = noise(rng, source, plane)
        found = resample(samples, source, target, plane, kernel, cuts=(1, 2, 31, 70))
        # Half a code is rounding; float32 adds less than a hundredth at 8 bits.
        assert np.abs(found - expected(samples, source, target, plane, kernel)).max() < 0.51


@pytest.mark.parametrize(
    "names",
    [("gray10", "gray10"), ("gray12", "gray12"), ("gray16", "gray16"), ("gray10", "gray"), ("gray", "gray12")],
    ids=str,
)
@pytest.mark.parametrize("sizes", [((40, 30), (80, 60)), ((60, 45), (40, 30)), ((31, 23), (53, 11))], ids=str)
def test_every_depth_rounds_the_exact_value_once(
    names: tuple[str, str], sizes: tuple[tuple[int, int], tuple[int, int]], rng: np.random.Generator
) -> None:
    source, target = (video(name, size) for name, size in zip(names, sizes, strict=True))
    samples = noise(rng, source, 0)
    found = resample(samples, source, target, 0, filters.lanczos())
    assert np.abs(found - expected(samples, source, target, 0, filters.lanczos())).max() < 0.55


def test_exchange_samples_keep_the_fraction_of_a_code(rng: np.random.Generator) -> None:
    source = video("gray10", (40, 30))
    layout = source.pixel_format.exchange()
    target = VideoFormat(width=80, height=60, pixel_format=layout)
    samples = noise(rng, source, 0)
    found = resample(samples, source, target, 0, filters.lanczos())
    assert np.abs(found - expected(samples, source, target, 0, filters.lanczos())).max() < 0.55
    assert found.max() <= 1023 << 6


@pytest.mark.parametrize("location_out", list(PLACES), ids=lambda location: location.name)
@pytest.mark.parametrize("location_in", list(PLACES), ids=lambda location: location.name)
def test_chroma_keeps_its_place_between_all_locations(
    location_in: ChromaLocation, location_out: ChromaLocation, rng: np.random.Generator
) -> None:
    for name_out, size in (("yuv420p", (60, 44)), ("yuv444p", (40, 30)), ("yuv422p", (40, 30)), ("yuv410p", (40, 30))):
        source, target = video("yuv420p", (40, 30), location_in), video(name_out, size, location_out)
        samples = noise(rng, source, 1)
        found = resample(samples, source, target, 1, filters.bicubic())
        assert np.abs(found - expected(samples, source, target, 1, filters.bicubic())).max() < 0.51


def test_a_plane_that_does_not_change_is_passed_on() -> None:
    same = video("yuv420p", (40, 30))
    wider = video("yuv444p", (40, 30))
    for plane, target, untouched in ((0, same, True), (1, same, True), (0, wider, True), (1, wider, False)):
        axes = plane_axes(same, target, plane)
        bound = cpu.bind(*axes, filters.bicubic(), plane_format(same, plane), plane_format(target, plane))
        assert (bound is None) is untouched


@pytest.mark.parametrize(
    ("name_in", "name_out"), [("gray", "gray10"), ("gray12", "gray10"), ("gray16", "gray"), ("gray10", "gray16")]
)
def test_a_change_of_depth_alone_is_exact(name_in: str, name_out: str, rng: np.random.Generator) -> None:
    source, target = video(name_in, (61, 7)), video(name_out, (61, 7))
    samples = noise(rng, source, 0)
    exact = samples * 2.0 ** (target.pixel_format.depth - source.pixel_format.depth)
    found = resample(samples, source, target, 0, filters.bicubic(), cuts=(3,))
    assert np.array_equal(found, np.minimum(np.floor(exact + 0.5), target.pixel_format.peak))


def test_rows_do_not_depend_on_how_they_are_divided(rng: np.random.Generator) -> None:
    for size in ((96, 150), (96, 40)):
        source, target = video("gray", (48, 75)), video("gray", size)
        samples = noise(rng, source, 0)
        whole = resample(samples, source, target, 0, filters.lanczos())
        for cuts in ([1], [7, 8, 9], list(range(1, 150, 2))):
            assert np.array_equal(resample(samples, source, target, 0, filters.lanczos(), cuts), whole)


def test_a_flat_picture_stays_flat() -> None:
    for value in (0, 1, 128, 254, 255):
        source = video("gray", (33, 29))
        for size in ((71, 50), (17, 12)):
            samples = np.full((29, 33), value, np.uint8)
            assert (resample(samples, source, video("gray", size), 0, filters.lanczos()) == value).all()
