"""`unsharp` and `cas`: against FFmpeg's filters of these names, and OpenCV."""

from __future__ import annotations

import cv2


def test_unsharp(compare, ours, peer_filter, timed, picture) -> None:
    luma = picture[0]
    compare("unsharp", goal=0.5).run(
        ours("unsharp"),
        {
            "ffmpeg unsharp": lambda: peer_filter("unsharp", 20),
            "opencv GaussianBlur and addWeighted": timed(
                lambda: cv2.addWeighted(luma, 2, cv2.GaussianBlur(luma, (5, 5), 0), -1, 0)
            ),
        },
    )


def test_cas(compare, ours, peer_filter) -> None:
    compare("cas").run(ours("cas=0.5"), {"ffmpeg cas": lambda: peer_filter("cas=0.5", 8)})
