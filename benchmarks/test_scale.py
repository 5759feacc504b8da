"""`scale`, twice the size, all planes: against zimg (zscale), swscale and OpenCV."""

from __future__ import annotations

import cv2


def test_lanczos_2x(compare, ours, peer_filter, timed, picture) -> None:
    """zscale has the same geometry and kernel; OpenCV's has 8 taps, swscale's ignores siting."""
    planes = [(plane, (plane.shape[1] * 2, plane.shape[0] * 2)) for plane in picture]
    compare("scale_lanczos_2x", goal=1.0).run(
        ours("scale=iw*2:ih*2:flags=lanczos"),
        {
            "ffmpeg zscale": lambda: peer_filter("zscale=w=iw*2:h=ih*2:filter=lanczos", 20),
            "ffmpeg scale": lambda: peer_filter("scale=w=iw*2:h=ih*2:flags=lanczos", 20),
            "opencv resize LANCZOS4": timed(
                lambda: [cv2.resize(plane, size, interpolation=cv2.INTER_LANCZOS4) for plane, size in planes]
            ),
        },
    )


def test_bicubic_half(compare, ours, peer_filter) -> None:
    compare("scale_bicubic_half").run(
        ours("scale=iw/2:ih/2:flags=bicubic"),
        {
            "ffmpeg zscale": lambda: peer_filter("zscale=w=iw/2:h=ih/2:filter=bicubic:param_a=0:param_b=0.6", 20),
            "ffmpeg scale": lambda: peer_filter("scale=w=iw/2:h=ih/2:flags=bicubic", 20),
        },
    )
