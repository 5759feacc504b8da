"""`unsharp` and `cas`: against FFmpeg's filters of these names, and OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from benchmarks.conftest import Bench


def test_unsharp(bench: Bench) -> None:
    luma = bench.picture[0]
    bench.compare(
        "unsharp",
        bench.ours("unsharp"),
        {
            "ffmpeg unsharp": bench.ffmpeg_filter("unsharp"),
            "opencv GaussianBlur and addWeighted": bench.here(
                lambda: cv2.addWeighted(luma, 2, cv2.GaussianBlur(luma, (5, 5), 0), -1, 0)
            ),
        },
        goal=0.5,
    )


def test_cas(bench: Bench) -> None:
    bench.compare("cas", bench.ours("cas=0.5"), {"ffmpeg cas": bench.ffmpeg_filter("cas=0.5", frames=8)})
