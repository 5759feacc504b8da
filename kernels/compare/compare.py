"""Compare two videos frame by frame."""

from __future__ import annotations

import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from kernels.compare.psnr import decibels, mean_squared_error
from kernels.compare.result import Comparison, FrameScore
from kernels.compare.ssim import structural_similarity
from kernels.errors import FormatError
from kernels.pixel_format import Family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from fractions import Fraction

    from kernels.frame import Frame, VideoFormat
    from kernels.io.source import InputLike

COMPONENTS: Final = {Family.YUV: ("y", "u", "v"), Family.GBR: ("g", "b", "r"), Family.GRAY: ("y",)}
"""Names of the planes, in plane order."""

MAX_TIME_DIFFERENCE_S: Final = 0.002
"""Paired frames further apart get a warning. Twice the tick of Matroska, the coarsest container clock."""


def compare(
    a: InputLike,
    b: InputLike,
    *,
    start: float | Fraction | None = None,
    duration: float | Fraction | None = None,
    on_frame: Callable[[FrameScore], None] | None = None,
) -> Comparison:
    """PSNR and SSIM of video `b` against video `a`, each a path or a binary file object.

    `start` and `duration`, in seconds, pick the same part of both; the rest is as in `compare_frames`.
    Raises `InputError` when one cannot be read, `FormatError` when they cannot be compared.
    """
    from kernels.io.reader import open_video

    with (
        open_video(a, start=start, duration=duration) as video_a,
        open_video(b, start=start, duration=duration) as video_b,
    ):
        return compare_frames(video_a, video_b, on_frame=on_frame)


def compare_frames(
    a: Iterable[Frame], b: Iterable[Frame], *, on_frame: Callable[[FrameScore], None] | None = None
) -> Comparison:
    """PSNR and SSIM of the frames of `b` against those of `a`, paired in order.

    `on_frame` gets each score as it is known, in order. When one video has more frames, the common part is
    compared and the result's warnings say so; they also name paired frames that lie at different times, and
    colour tags that differ (samples are compared as they are).

    Raises `FormatError` where sizes or pixel formats differ, or when there is not one pair.
    """
    pairing = _Pairing()
    scores = []
    for score in _scored_in_order(pairing.pairs(a, b)):
        scores.append(score)
        if on_frame is not None:
            on_frame(score)
    if pairing.format is None:
        raise FormatError(f"nothing to compare: {pairing.frames_a} frames against {pairing.frames_b}")
    return Comparison(
        components=COMPONENTS[pairing.format.pixel_format.family],
        width=pairing.format.width,
        height=pairing.format.height,
        pixel_format=pairing.format.pixel_format.name,
        peak=_peak(pairing.format),
        frames_a=pairing.frames_a,
        frames_b=pairing.frames_b,
        scores=tuple(scores),
        max_time_difference_s=pairing.max_time_difference_s,
        warnings=pairing.warnings(),
    )


def score_pair(a: Frame, b: Frame, *, n: int = 0) -> FrameScore:
    """PSNR and SSIM of one pair of frames of one size and pixel format."""
    peak = _peak(a.format)
    areas = [plane.size for plane in a.planes]
    planes = list(zip(a.planes, b.planes, strict=True))
    mse = tuple(mean_squared_error(x, y) for x, y in planes)
    ssim = tuple(structural_similarity(x, y, peak) for x, y in planes)
    mse_avg = _weighted_mean(mse, areas)
    return FrameScore(
        n=n,
        time_s=a.time_s,
        mse=mse,
        mse_avg=mse_avg,
        psnr=tuple(decibels(value, peak) for value in mse),
        psnr_avg=decibels(mse_avg, peak),
        ssim=ssim,
        ssim_all=_weighted_mean(ssim, areas),
    )


class _Pairing:
    """Pairs frames in order and notes what is odd about the pairs."""

    def __init__(self) -> None:
        self.frames_a = 0
        self.frames_b = 0
        self.format: VideoFormat | None = None
        self.max_time_difference_s = 0.0
        self._colors_differ = False

    def pairs(self, a: Iterable[Frame], b: Iterable[Frame]) -> Iterator[tuple[int, Frame, Frame]]:
        """(number, frame of a, frame of b); both videos are read to their end."""
        first: tuple[Frame, Frame] | None = None
        for n, (frame_a, frame_b) in enumerate(zip_longest(a, b)):
            self.frames_a += frame_a is not None
            self.frames_b += frame_b is not None
            if frame_a is None or frame_b is None:
                continue
            first = first or (frame_a, frame_b)
            self._check(n, frame_a, frame_b, first)
            yield n, frame_a, frame_b

    def _check(self, n: int, a: Frame, b: Frame, first: tuple[Frame, Frame]) -> None:
        self.format = self.format or a.format
        for frame, name in ((a, "the first"), (b, "the second")):
            if not _same_samples(frame.format, self.format):
                raise FormatError(
                    f"frame {n} of {name} video is {_shape(frame.format)}, not {_shape(self.format)}: compare needs "
                    f"one size and pixel format; convert a video first with the chain '{_conversion(self.format)}'"
                )
        since_a = a.pts * a.time_base - first[0].pts * first[0].time_base
        since_b = b.pts * b.time_base - first[1].pts * first[1].time_base
        self.max_time_difference_s = max(self.max_time_difference_s, abs(float(since_a - since_b)))
        color_a, color_b = a.format.resolved_color, b.format.resolved_color
        self._colors_differ |= (color_a.matrix, color_a.range) != (color_b.matrix, color_b.range)

    def warnings(self) -> tuple[str, ...]:
        found = []
        if self.frames_a != self.frames_b:
            common = min(self.frames_a, self.frames_b)
            found.append(f"{self.frames_a} frames against {self.frames_b}: only the first {common} were compared")
        if self.max_time_difference_s > MAX_TIME_DIFFERENCE_S:
            apart_ms = self.max_time_difference_s * 1000
            found.append(f"frames are paired in order, but some pairs lie {apart_ms:.1f} ms apart")
        if self._colors_differ:
            found.append("the videos differ in colour matrix or range; samples were compared as they are")
        return tuple(found)


def _scored_in_order(pairs: Iterator[tuple[int, Frame, Frame]]) -> Iterator[FrameScore]:
    """Scores of `pairs`, computed on all cores with a bounded number of pairs in memory."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[FrameScore]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="compare") as pool:
        try:
            for n, frame_a, frame_b in pairs:
                waiting.append(pool.submit(score_pair, frame_a, frame_b, n=n))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _peak(video_format: VideoFormat) -> int:
    return int(video_format.pixel_format.peak)


def _same_samples(a: VideoFormat, b: VideoFormat) -> bool:
    return (a.width, a.height, a.pixel_format) == (b.width, b.height, b.pixel_format)


def _shape(video_format: VideoFormat) -> str:
    return f"{video_format.width}x{video_format.height} {video_format.pixel_format}"


def _conversion(video_format: VideoFormat) -> str:
    return f"scale={video_format.width}:{video_format.height},format={video_format.pixel_format.name}"


def _weighted_mean(values: Iterable[float], weights: Iterable[int]) -> float:
    """Mean of the values that are numbers; `nan` when none is."""
    pairs = [(value, weight) for value, weight in zip(values, weights, strict=True) if not math.isnan(value)]
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total if total else math.nan
