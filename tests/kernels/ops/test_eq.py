"""`eq` against its formula in float64, and against FFmpeg's filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.kernels.conftest import ChainRunner, FFmpegChain, FrameMaker


def expected(plane: np.ndarray, peak: int, pivot: float, factor: float, lift: float, gamma: float, weight: float):  # type: ignore[no-untyped-def]
    """The documented formula, evaluated directly and not rounded."""
    v = factor * (plane.astype(np.float64) / peak - pivot) + pivot + lift
    if gamma != 1:
        v = np.clip(v, 0, 1)
        v = v * (1 - weight) + v ** (1 / gamma) * weight
    return np.clip(v * peak, 0, peak)


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p10", "gray", "yuv422p12"])
@pytest.mark.parametrize(
    ("chain", "luma", "blue", "red"),
    [
        ("eq=contrast=1.3:brightness=-0.1", (1.3, -0.1, 1, 1), (1, 0, 1, 1), (1, 0, 1, 1)),
        ("eq=contrast=-1", (-1, 0, 1, 1), (1, 0, 1, 1), (1, 0, 1, 1)),
        ("eq=saturation=1.8", (1, 0, 1, 1), (1.8, 0, 1, 1), (1.8, 0, 1, 1)),
        ("eq=saturation=0", (1, 0, 1, 1), (0, 0, 1, 1), (0, 0, 1, 1)),
        ("eq=gamma=2.2", (1, 0, 2.2, 1), (1, 0, 1, 1), (1, 0, 1, 1)),
        ("eq=gamma=0.5:gamma_weight=0.4", (1, 0, 0.5, 0.4), (1, 0, 1, 0.4), (1, 0, 1, 0.4)),
        ("eq=gamma_r=2:gamma_b=0.5:gamma_g=1", (1, 0, 1, 1), (1, 0, 0.5**0.5, 1), (1, 0, 2**0.5, 1)),
        ("eq=1.2:0.1:0.5:1.5", (1.2, 0.1, 1.5, 1), (0.5, 0, 1, 1), (0.5, 0, 1, 1)),
    ],
)
def test_formula(
    name: str,
    chain: str,
    luma: tuple[float, ...],
    blue: tuple[float, ...],
    red: tuple[float, ...],
    make_frame: FrameMaker,
    run_chain: ChainRunner,
) -> None:
    frame = make_frame(name)
    out = run_chain(chain, frame)
    depth = frame.format.pixel_format.depth
    peak = (1 << depth) - 1
    pivots = (0.5, (1 << (depth - 1)) / peak, (1 << (depth - 1)) / peak)
    for plane, given, pivot, values in zip(out.planes, frame.planes, pivots, (luma, blue, red), strict=False):
        assert np.abs(plane - expected(given, peak, pivot, *values)).max() <= 0.51


@pytest.mark.parametrize("chain", ["eq=contrast=1.3:brightness=0.05", "eq=saturation=1.5", "eq=gamma=1.6:contrast=0.9"])
def test_close_to_ffmpeg(chain: str, make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain) -> None:
    frame = make_frame("yuv420p", 62, 38)
    ours = run_chain(chain, frame)
    # FFmpeg truncates 256 v and turns around 127.5 in chroma: up to two codes from the formula it documents.
    for a, b in zip(ours.planes, ffmpeg_chain(chain, frame, ours.format), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 2


def test_fused_steps_clip_between_them(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    """As FFmpeg's do: white that the first step clipped is not brought back by the second."""
    frame = make_frame("yuv444p")
    first = run_chain("eq=contrast=2:saturation=3", frame)
    both = run_chain("eq=contrast=2:saturation=3,eq=contrast=0.5:saturation=0.4", frame)
    again = run_chain("eq=contrast=0.5:saturation=0.4", first)
    for a, b in zip(both.planes, again.planes, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_neutral_chroma_stays_neutral(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    frame = make_frame("yuv444p", 4, 4)
    neutral = frame.replace(planes=(frame.planes[0], *(np.full_like(p, 128) for p in frame.planes[1:])))
    out = run_chain("eq=saturation=3", neutral)
    assert {int(v) for p in out.planes[1:] for v in np.unique(p)} == {128}


def test_untouched_planes_are_passed_on(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    frame = make_frame("yuv420p")
    out = run_chain("eq=brightness=0.1", frame)
    assert np.shares_memory(out.planes[1], frame.planes[1])
