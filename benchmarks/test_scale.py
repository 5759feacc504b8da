"""`scale`, all planes: against zimg (zscale), swscale and OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

if TYPE_CHECKING:
    from benchmarks.conftest import Bench


def test_lanczos_2x(bench: Bench) -> None:
    """zscale has the same geometry and kernel; OpenCV's has 8 taps, swscale's ignores siting."""
    planes = [(plane, (plane.shape[1] * 2, plane.shape[0] * 2)) for plane in bench.picture]
    bench.compare(
        "scale_lanczos_2x",
        bench.ours("scale=iw*2:ih*2:flags=lanczos"),
        {
            "ffmpeg zscale": bench.ffmpeg_filter("zscale=w=iw*2:h=ih*2:filter=lanczos"),
            "ffmpeg scale": bench.ffmpeg_filter("scale=w=iw*2:h=ih*2:flags=lanczos"),
            "opencv resize LANCZOS4": bench.here(
                lambda: [cv2.resize(plane, size, interpolation=cv2.INTER_LANCZOS4) for plane, size in planes]
            ),
        },
        goal=1.0,
    )


def test_bicubic_half(bench: Bench) -> None:
    bench.compare(
        "scale_bicubic_half",
        bench.ours("scale=iw/2:ih/2:flags=bicubic"),
        {
            "ffmpeg zscale": bench.ffmpeg_filter("zscale=w=iw/2:h=ih/2:filter=bicubic:param_a=0:param_b=0.6"),
            "ffmpeg scale": bench.ffmpeg_filter("scale=w=iw/2:h=ih/2:flags=bicubic"),
        },
    )
