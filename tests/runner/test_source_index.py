"""An index comes back as it was stored, takes little room, and no other passes for it."""

from __future__ import annotations

import zlib
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.io.frame_index import FrameIndex
from runner.errors import PlanError
from runner.source_index import index_digest, pack_index, unpack_index


@st.composite
def indexes(draw: st.DrawFn) -> FrameIndex:
    first = draw(st.integers(-(2**40), 2**40))
    steps = draw(st.lists(st.integers(1, 2**31), max_size=60))
    pts = tuple(accumulate(steps, initial=first))
    keyframes = tuple(sorted(draw(st.sets(st.integers(0, len(pts) - 1)))))
    return FrameIndex(
        time_base=Fraction(draw(st.integers(1, 1001)), draw(st.integers(1, 180_000))),
        start_s=draw(st.fractions(-1000, 1000, max_denominator=90_000)),
        pts=pts,
        last_duration=draw(st.integers(0, 10_000)),
        keyframes=keyframes,
        keyframe_dts=tuple(pts[n] - draw(st.integers(0, 5000)) for n in keyframes),
    )


@given(indexes())
def test_it_comes_back_as_it_was_stored(index: FrameIndex) -> None:
    assert unpack_index(pack_index(index), digest=index_digest(index)) == index


@given(indexes(), indexes())
def test_another_index_is_refused(one: FrameIndex, other: FrameIndex) -> None:
    if one != other:
        assert index_digest(one) != index_digest(other)
        with pytest.raises(PlanError):
            unpack_index(pack_index(one), digest=index_digest(other))


def steady(frames: int) -> FrameIndex:
    keyframes = tuple(range(0, frames, 250))
    return FrameIndex(
        time_base=Fraction(1, 30_000),
        start_s=Fraction(0),
        pts=tuple(range(0, frames * 1001, 1001)),
        last_duration=1001,
        keyframes=keyframes,
        keyframe_dts=tuple(n * 1001 - 2002 for n in keyframes),
    )


def test_two_hours_take_a_few_kilobytes() -> None:
    assert len(pack_index(steady(7200 * 30))) < 8_000


@pytest.mark.parametrize("harm", [b"", b"no zlib", zlib.compress(b"short\n"), pack_index(steady(3))[:-1]])
def test_a_damaged_one_is_refused(harm: bytes) -> None:
    with pytest.raises(PlanError, match="plan the job again"):
        unpack_index(harm, digest=index_digest(steady(3)))
