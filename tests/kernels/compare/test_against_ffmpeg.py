"""PSNR and SSIM against FFmpeg's own `psnr` and `ssim` filters, run inside PyAV's filter graph."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import av.filter
import numpy as np
import pytest

from kernels.compare import compare_frames, score_pair
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import pixel_format

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMATS_8 = ("yuv420p", "yuv422p", "yuv444p", "gray", "gbrp")
FORMATS = (*FORMATS_8, *(f"{name}10" for name in FORMATS_8), "yuv420p12")
SIZES = ((64, 48), (67, 45), (33, 101))
FRAMES = 3


def moving_pair(name: str, width: int, height: int, seed: int) -> list[tuple[Frame, Frame]]:
    """Smooth moving pictures and the same with noise, in format `name`."""
    rng = np.random.default_rng(seed)
    video_format = VideoFormat(width=width, height=height, pixel_format=pixel_format(name))
    peak = video_format.pixel_format.peak
    pairs = []
    for n in range(FRAMES):
        clean, noisy = [], []
        for plane in range(video_format.pixel_format.plane_count):
            rows, columns = video_format.plane_size(plane)
            y, x = np.mgrid[:rows, :columns]
            picture = peak * (0.5 + 0.4 * np.sin(0.21 * x + 0.13 * y * (plane + 1) + n))
            noise = rng.normal(0, peak * 0.02 * (plane + 1), picture.shape)
            clean.append(picture.astype(video_format.pixel_format.dtype))
            noisy.append(np.clip(picture + noise, 0, peak).astype(video_format.pixel_format.dtype))
        pairs.append(tuple(Frame(planes=tuple(p), format=video_format, pts=n * 40) for p in (clean, noisy)))
    return [(a, b) for a, b in pairs]


def ffmpeg_scores(name: str, filter_name: str, pairs: Sequence[tuple[Frame, Frame]]) -> list[dict[str, float]]:
    """The frame metadata that FFmpeg's filter leaves, per pair."""
    graph = av.filter.Graph()
    width, height = pairs[0][0].width, pairs[0][0].height
    av_format = av.VideoFormat(name if pairs[0][0].format.pixel_format.depth == 8 else f"{name}le")
    inputs = [
        graph.add_buffer(width=width, height=height, format=av_format, time_base=Fraction(1, 25)) for _ in range(2)
    ]
    measure, sink = graph.add(filter_name), graph.add("buffersink")
    for pad, source in enumerate(inputs):
        source.link_to(measure, 0, pad)
    measure.link_to(sink)
    graph.configure()
    found = []
    for n, pair in enumerate(pairs):
        for source, frame in zip(inputs, pair, strict=True):
            source.push(to_av(frame, av_format.name, n))
        found.append({key: float(value) for key, value in sink.pull().metadata.items()})
    return found


def to_av(frame: Frame, name: str, pts: int) -> av.VideoFrame:
    picture = av.VideoFrame(frame.width, frame.height, name)
    for source, target in zip(frame.planes, picture.planes, strict=True):
        rows = np.zeros((target.height, target.line_size), np.uint8)
        packed = np.ascontiguousarray(source).view(np.uint8)
        rows[:, : packed.shape[1]] = packed
        target.update(rows.tobytes())
    picture.pts, picture.time_base = pts, Fraction(1, 25)
    return picture


def letters(name: str) -> tuple[str, ...]:
    return {"gray": ("y",), "gbrp": ("g", "b", "r")}.get(name.rstrip("0123456789"), ("y", "u", "v"))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_frames_score_as_in_ffmpeg(name: str, width: int, height: int) -> None:
    pairs = moving_pair(name, width, height, seed=width)
    psnr = ffmpeg_scores(name, "psnr", pairs)
    ssim = ffmpeg_scores(name, "ssim", pairs)
    for n, (a, b) in enumerate(pairs):
        score = score_pair(a, b, n=n)
        assert score.psnr_avg == pytest.approx(psnr[n]["lavfi.psnr.psnr_avg"], abs=5e-5)
        assert score.ssim_all == pytest.approx(ssim[n]["lavfi.ssim.All"], abs=5e-5)
        for plane, letter in enumerate(letters(name)):
            key = letter if name.startswith("gbrp") else letter.upper()
            assert score.psnr[plane] == pytest.approx(psnr[n][f"lavfi.psnr.psnr.{letter}"], abs=5e-5)
            assert score.ssim[plane] == pytest.approx(ssim[n][f"lavfi.ssim.{key.upper()}"], abs=5e-5)


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p10"])
def test_a_file_scores_as_in_ffmpegs_last_log_line(name: str) -> None:
    pairs = moving_pair(name, 64, 48, seed=7)
    logged = ffmpeg_scores(name, "psnr", pairs)
    found = compare_frames((a for a, _ in pairs), (b for _, b in pairs))
    peak = pairs[0][0].format.pixel_format.peak
    mean_mse = sum(score["lavfi.psnr.mse_avg"] for score in logged) / FRAMES
    assert found.psnr["average"] == pytest.approx(10 * math.log10(peak**2 / mean_mse), abs=5e-5)
    mean_ssim = sum(score["lavfi.ssim.All"] for score in ffmpeg_scores(name, "ssim", pairs)) / FRAMES
    assert found.ssim["all"] == pytest.approx(mean_ssim, abs=5e-5)
