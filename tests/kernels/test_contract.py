"""What every operation promises, whatever it does."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels.catalogue import CATALOGUE
from kernels.chain import format_chain, parse_chain
from kernels.errors import ChainError, FormatError
from kernels.operation import Kind
from kernels.options import options_of
from kernels.plan import plan_chain

if TYPE_CHECKING:
    from kernels.frame import Frame
    from tests.kernels.conftest import ChainRunner, FrameMaker

SAMPLES = [(name, sample) for name, operation in sorted(CATALOGUE.items()) for sample in operation.samples]
FORMATS = ("yuv420p", "yuv422p10", "yuv444p16", "gray12", "gbrp")


def applicable(chain: str, frame: Frame) -> bool:
    """Whether the operation takes such frames; it must say so before a frame is touched if not."""
    try:
        plan_chain(frame.format, parse_chain(chain, CATALOGUE))
    except (FormatError, ChainError):
        return False
    return True


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_record_is_complete(name: str) -> None:
    operation = CATALOGUE[name]
    assert operation.name == name
    assert operation.samples
    assert operation.tolerance.reason
    assert operation.source
    assert operation.summary
    for spec in options_of(operation.params):
        assert spec.option.help, f"{name}.{spec.name} has no help"
    for sample in operation.samples:
        steps = parse_chain(sample, CATALOGUE)
        assert {step.operation.name for step in steps} == {name}
        assert format_chain(parse_chain(format_chain(steps), CATALOGUE)) == format_chain(steps)


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=[s for _, s in SAMPLES])
def test_promises(name: str, sample: str, layout: str, make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    frame = make_frame(layout, 67, 141).replace(pts=7, time_base=Fraction(1, 90000), duration=3, index=11)
    if not applicable(sample, frame):
        return  # refused before a frame was touched: that is the promise
    before = [plane.copy() for plane in frame.planes]
    out = run_chain(sample, frame, threads=1)
    assert all(np.array_equal(a, b) for a, b in zip(frame.planes, before, strict=True)), "the input was changed"
    assert (out.pts, out.time_base, out.duration, out.index) == (7, Fraction(1, 90000), 3, 11)
    assert out.format == plan_chain(frame.format, parse_chain(sample, CATALOGUE)).target
    peak = (1 << out.format.pixel_format.depth) - 1
    assert max(int(plane.max()) for plane in out.planes) <= peak
    again = run_chain(sample, frame, threads=3)
    assert all(np.array_equal(a, b) for a, b in zip(out.planes, again.planes, strict=True)), "bands differ from whole"
    padded = frame.replace(planes=tuple(with_pitch(plane) for plane in frame.planes))
    pitched = run_chain(sample, padded, threads=2)
    assert all(np.array_equal(a, b) for a, b in zip(out.planes, pitched.planes, strict=True)), "pitch matters"


def with_pitch(plane: np.ndarray) -> np.ndarray:
    """The same samples in rows that are longer than the plane."""
    wide = np.full((plane.shape[0], plane.shape[1] + 9), np.iinfo(plane.dtype).max, plane.dtype)
    wide[:, : plane.shape[1]] = plane
    return wide[:, : plane.shape[1]]


PLANE_SAMPLES = [(n, s) for n, s in SAMPLES if CATALOGUE[n].kind is Kind.PLANE and not CATALOGUE[n].value_preserving]


@pytest.mark.parametrize(("name", "sample"), PLANE_SAMPLES, ids=[s for _, s in PLANE_SAMPLES])
def test_exchange_form_gives_the_same_picture(
    name: str, sample: str, make_frame: FrameMaker, run_chain: ChainRunner
) -> None:
    """The 16-bit samples between stages are the same picture: through a stage that changes nothing and back."""
    frame = make_frame("yuv420p", 67, 75)
    direct = run_chain(sample, frame)
    # saturation by 1 + 1e-9 is arithmetic for the planner and nothing for the picture
    through = run_chain(f"eq=contrast=1.000000001:saturation=1.000000001,{sample}", frame)
    limit = CATALOGUE[name].tolerance.max_codes
    for a, b in zip(direct.planes, through.planes, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= max(limit, 1)


@pytest.mark.parametrize(("name", "sample"), PLANE_SAMPLES, ids=[s for _, s in PLANE_SAMPLES])
def test_rounds_to_the_depth_it_is_asked_for(
    name: str, sample: str, make_frame: FrameMaker, run_chain: ChainRunner
) -> None:
    frame = make_frame("yuv420p", 67, 75)
    shallow, deep = run_chain(sample, frame), run_chain(f"{sample},format=yuv420p10", frame)
    for a, b in zip(shallow.planes, deep.planes, strict=True):
        assert np.abs(a - b / 4.0).max() <= 0.5 + CATALOGUE[name].tolerance.max_codes / 4


@pytest.mark.parametrize(("name", "sample"), SAMPLES, ids=[s for _, s in SAMPLES])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 17), (17, 2)])
def test_tiny_pictures(
    name: str, sample: str, size: tuple[int, int], make_frame: FrameMaker, run_chain: ChainRunner
) -> None:
    frame = make_frame("yuv420p", *size)
    if not applicable(sample, frame):
        return  # refused before a frame was touched: that is the promise
    out = run_chain(sample, frame)
    assert out.planes[0].shape == (out.height, out.width)
