"""`nlmeans` at FFmpeg's patch 7 and research window 15: against FFmpeg's filter and OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from benchmarks.conftest import Bench


def test_nlmeans(bench: Bench) -> None:
    """OpenCV weighs differently, at the same patch and window, luma only."""
    luma = bench.picture[0]
    bench.compare(
        "nlmeans",
        bench.ours("nlmeans=s=3", frames=2),
        {
            "ffmpeg nlmeans": bench.ffmpeg_filter("nlmeans=s=3", frames=2),
            "opencv fastNlMeansDenoising": bench.here(
                lambda: cv2.fastNlMeansDenoising(luma, None, 10, 7, 15), warm_up=False
            ),
        },
        goal=0.5,
    )
