"""4:2:0 to RGB and between matrices: against swscale, zimg and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np


def test_420_to_rgb(compare, ours, peer_filter, timed, picture) -> None:
    """swscale repeats chroma here; ours interpolates it at its location, which costs more work."""
    luma, cb, cr = picture
    nv12_chroma = np.ascontiguousarray(np.stack([cb, cr], axis=-1))
    compare("colour_420_to_rgb", goal=1.0).run(
        ours("format=gbrp"),
        {
            "ffmpeg scale to gbrp": lambda: peer_filter("scale,format=gbrp", 20),
            "ffmpeg scale to rgb24": lambda: peer_filter("scale,format=rgb24", 40),
            "ffmpeg zscale to gbrp": lambda: peer_filter("zscale,format=gbrp", 20),
            "opencv cvtColorTwoPlane": timed(lambda: cv2.cvtColorTwoPlane(luma, nv12_chroma, cv2.COLOR_YUV2RGB_NV12)),
        },
    )


def test_601_to_709(compare, ours, peer_filter) -> None:
    compare("colour_601_to_709").run(
        ours("colorspace=iall=bt601-6-625:all=bt709"),
        {"ffmpeg colorspace": lambda: peer_filter("colorspace=iall=bt601-6-625:all=bt709", 20)},
    )
