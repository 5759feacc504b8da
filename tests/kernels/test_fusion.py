"""A chain planned as a whole gives the picture that its steps give one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels.backends.cpu import CpuExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.errors import ChainError, FormatError
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import pixel_format
from kernels.plan import plan_chain

WIDTH, HEIGHT = 22, 17
PER_PLANE = (
    "hflip", "vflip", "crop=iw-3:ih-2:1:1:exact=1", "crop=iw-4:ih-2", "pad=iw+5:ih+4:2:1:color=gray",
    "eq=contrast=1.2:brightness=-0.05:saturation=1.3", "eq=gamma=1.3:gamma_b=0.8", "eq=contrast=0.7",
    "colorspace=range=pc", "colorspace=range=tv", "colorspace=primaries=bt2020:fast=1", "scale=out_range=full",
    "scale=iw*3/2:ih", "scale=iw:ih*2/3:flags=lanczos", "unsharp", "cas=0.3",
)  # fmt: skip
MIXING = (
    "transpose=clock", "colorspace=space=bt709", "colorspace=space=bt2020nc:range=pc", "colorspace=all=bt2020",
    "colorspace=trc=linear", "format=yuv444p16", "format=gbrp16", "format=gray16",
)  # fmt: skip


def frame_of(layout: str, seed: int) -> Frame:
    """A smooth 16-bit picture with a little noise, in the middle of the code range: few steps clip it."""
    rng = np.random.default_rng(seed)
    form = VideoFormat(width=WIDTH, height=HEIGHT, pixel_format=pixel_format(layout))
    planes = []
    for plane in range(form.pixel_format.plane_count):
        rows, columns = form.plane_size(plane)
        y, x = np.mgrid[:rows, :columns]
        ramp = (x / columns + y / rows) / 2 + rng.normal(0, 0.03, (rows, columns))
        planes.append((24000 + 17000 * np.clip(ramp, 0, 1)).astype(np.uint16))
    return Frame(planes=tuple(planes), format=form)


def run(frame: Frame, chain: str) -> Frame:
    return CpuExecutor(plan_chain(frame.format, parse_chain(chain, CATALOGUE)), threads=1).run(frame)


def check(layout: str, steps: list[str], seed: int) -> None:
    frame = frame_of(layout, seed)
    stepwise = frame
    try:
        for step in steps:
            stepwise = run(stepwise, step)
            # A chain carries what a conversion throws out of range to its last store; step by step it is clipped.
            assume(all(plane.min() > 0 and plane.max() < 65535 for plane in stepwise.planes))
    except (ChainError, FormatError):
        with pytest.raises((ChainError, FormatError)):
            run(frame, ",".join(steps))
        return
    whole = run(frame, ",".join(steps))
    assert whole.format == stepwise.format
    for a, b in zip(whole.planes, stepwise.planes, strict=True):
        # Each step that runs alone rounds to a code, and the steps after it amplify that a little.
        assert np.abs(a.astype(int) - b).max() <= 1 + len(steps)


@settings(max_examples=60)
@given(
    st.sampled_from(["yuv420p16", "yuv422p16", "yuv444p16", "gray16"]),
    st.lists(st.sampled_from(PER_PLANE), min_size=2, max_size=4),
    st.integers(0, 9),
)
def test_steps_on_single_planes(layout: str, steps: list[str], seed: int) -> None:
    check(layout, steps, seed)


@settings(max_examples=60)
@given(
    st.sampled_from(["yuv444p16", "gbrp16", "gray16"]),  # halved chroma is resampled once for a run of conversions
    st.lists(st.sampled_from(PER_PLANE + MIXING), min_size=2, max_size=4),
    st.integers(0, 9),
)
def test_steps_on_triplets(layout: str, steps: list[str], seed: int) -> None:
    check(layout, steps, seed)
