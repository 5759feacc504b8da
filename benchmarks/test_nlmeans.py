"""`nlmeans` at FFmpeg's patch 7 and research window 15: against FFmpeg's filter and OpenCV."""

from __future__ import annotations

import cv2


def test_nlmeans(compare, ours, peer_filter, timed, picture) -> None:
    """OpenCV compares with another weight, at the same patch and window, luma only."""
    compare("nlmeans", goal=0.5).run(
        ours("nlmeans=s=3"),
        {
            "ffmpeg nlmeans": lambda: peer_filter("nlmeans=s=3", 1),
            "opencv fastNlMeansDenoising": timed(
                lambda: cv2.fastNlMeansDenoising(picture[0], None, 10, 7, 15), warm_up=False
            ),
        },
    )
