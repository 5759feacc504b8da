"""A stage for each test, and the sources of its jobs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import pytest

from tests.kernels.io.clips import X264_OPEN_GOP, Clip, Sound, make
from tests.runner.e2e.stage import Stage, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.storage.server import Server

NTSC: Final = Fraction(1001, 30000)
BT709: Final = {"color_range": 1, "colorspace": 1, "color_trc": 1, "color_primaries": 1}
HDR10: Final = {"color_range": 1, "colorspace": 9, "color_trc": 16, "color_primaries": 9}
CFR: Final = Clip(
    frames=60, options=X264_OPEN_GOP, sounds=(Sound(),), rate=1 / NTSC, time_base=NTSC, size=(96, 64), color=BT709
)
CLIPS: Final = {
    "cfr.mp4": CFR,
    "vfr.mkv": replace(CFR, container="mkv", time_base=Fraction(1, 1000), pts=[n * 33 + n * n % 17 for n in range(60)]),
    "ten.mp4": replace(CFR, pixel_format="yuv420p10le"),
    "hdr.mkv": replace(CFR, container="mkv", pixel_format="yuv420p10le", color=HDR10),
    "large.mp4": replace(CFR, size=(320, 240)),
    # A seam costs quality within the encoder's look-ahead: longer segments and grain show what it is worth.
    "long.mp4": replace(CFR, frames=302, size=(64, 48), noise=12),
    "long.mkv": replace(
        CFR, frames=302, size=(64, 48), noise=12, container="mkv", time_base=Fraction(1, 1000),
        pts=[n * 33 + n * n % 17 for n in range(302)],
    ),
}  # fmt: skip
"""All with open groups of eight frames and sound."""


@pytest.fixture(scope="session")
def sources() -> dict[str, bytes]:
    return {name: make(clip) for name, clip in CLIPS.items()}


@pytest.fixture
def stage(tmp_path: Path, server: Server) -> Iterator[Stage]:
    with opened(tmp_path, server) as stage:
        yield stage
