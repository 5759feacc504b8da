"""Filter curves at points where their value is known."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.resample import filters

INTERPOLATING = [
    filters.bilinear(),
    filters.bicubic(0, 0.5),
    filters.bicubic(0, 0.6),
    filters.lanczos(2),
    filters.lanczos(3),
    filters.spline16(),
    filters.spline36(),
]


@pytest.mark.parametrize("kernel", INTERPOLATING, ids=lambda kernel: f"{kernel.name}{kernel.support:g}")
def test_interpolating_filters_are_one_at_zero_and_zero_at_whole_numbers(kernel: filters.Filter) -> None:
    values = kernel.weight(np.arange(-4.0, 5.0))
    assert values == pytest.approx([0, 0, 0, 0, 1, 0, 0, 0, 0], abs=1e-15)


def test_mitchell_is_the_published_curve() -> None:
    # Mitchell and Netravali 1988, B = C = 1/3: 8/9 at 0, 1/18 at 1, -7/2 of 1/108 at 1.5
    values = filters.bicubic(1 / 3, 1 / 3).weight(np.array([0.0, 1.0, 1.5, 2.0]))
    assert values == pytest.approx([8 / 9, 1 / 18, -5 / 144, 0])


@pytest.mark.parametrize("kernel", [filters.spline16(), filters.spline36()], ids=lambda kernel: kernel.name)
def test_splines_reproduce_a_straight_line(kernel: filters.Filter) -> None:
    taps = np.arange(-3.0, 4.0)
    for phase in np.linspace(0, 1, 11):
        weights = kernel.weight(taps - phase)
        assert weights.sum() == pytest.approx(1, abs=1e-12)


def test_lanczos_is_the_windowed_sinc() -> None:
    x = 0.5
    expected = np.sin(np.pi * x) / (np.pi * x) * np.sin(np.pi * x / 3) / (np.pi * x / 3)
    assert filters.lanczos(3).weight(np.array([x, 3.5])) == pytest.approx([expected, 0])
