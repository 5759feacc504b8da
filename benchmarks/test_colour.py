"""4:2:0 to RGB and between matrices: against swscale, zimg and OpenCV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from benchmarks.conftest import Bench


def test_420_to_rgb(bench: Bench) -> None:
    """swscale repeats chroma here; ours interpolates it at its location, which costs more work."""
    luma, cb, cr = bench.picture
    chroma = np.ascontiguousarray(np.stack([cb, cr], axis=-1))
    bench.compare(
        "colour_420_to_rgb",
        bench.ours("format=gbrp"),
        {
            "ffmpeg scale to gbrp": bench.ffmpeg_filter("scale,format=gbrp"),
            "ffmpeg scale to rgb24": bench.ffmpeg_filter("scale,format=rgb24", frames=40),
            "ffmpeg zscale to gbrp": bench.ffmpeg_filter("zscale,format=gbrp"),
            "opencv cvtColorTwoPlane": bench.here(lambda: cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2RGB_NV12)),
        },
        goal=1.0,
    )


def test_601_to_709(bench: Bench) -> None:
    chain = "colorspace=iall=bt601-6-625:all=bt709"
    bench.compare("colour_601_to_709", bench.ours(chain), {"ffmpeg colorspace": bench.ffmpeg_filter(chain)})
