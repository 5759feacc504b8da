"""Every plane operation's CUDA kernel against its CPU code, sample by sample.

The kernels are the files that a GPU runs, compiled and run here under the strict rules of `tests/kernels/cuda`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.errors import FormatError
from kernels.frame import VideoFormat
from kernels.operation import Kind, PlaneFormat
from kernels.pixel_format import pixel_format
from tests.kernels.cuda.engine import StrictEngine
from tests.kernels.cuda.planes import Lie, run

if TYPE_CHECKING:
    from kernels.chain import Step
    from kernels.frame import Plane

pytestmark = pytest.mark.usefixtures("compiler")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A format, what its samples are stored in on either side, and how chroma lies."""

    name: str
    exchange_in: bool = False
    exchange_out: bool = False
    step_in: int = 1
    step_out: int = 1
    """Of chroma; luma has 1."""

    def formats(self, step: Step, width: int, height: int) -> tuple[VideoFormat, VideoFormat]:
        """(source, target) of `step`. Raises `FormatError`."""
        source = VideoFormat(width=width, height=height, pixel_format=pixel_format(self.name))
        target = step.operation.output(step.params, source)
        exchange_out = self.exchange_in if step.operation.value_preserving else self.exchange_out
        return _stored(source, exchange=self.exchange_in), _stored(target, exchange=exchange_out)

    def __str__(self) -> str:
        ends = (f"{'<' * exchange}{step}" for exchange, step in self._ends)
        return f"{self.name}-{'-'.join(ends)}"

    @property
    def _ends(self) -> tuple[tuple[bool, int], tuple[bool, int]]:
        return (self.exchange_in, self.step_in), (self.exchange_out, self.step_out)


def _stored(format_: VideoFormat, *, exchange: bool) -> VideoFormat:
    pixel = format_.pixel_format
    return replace(format_, pixel_format=pixel.exchange()) if exchange else format_


CASES = (
    Case(name="yuv420p"),
    Case(name="yuv420p", exchange_out=True, step_in=2),
    Case(name="yuv420p10", exchange_in=True, step_in=2, step_out=2),
    Case(name="yuv422p12", exchange_in=True, exchange_out=True),
    Case(name="gray16"),
)
SIZES = ((83, 45), (1, 1), (3, 17), (17, 2))
PLANE_SAMPLES = [s for _, o in sorted(CATALOGUE.items()) if o.kind is Kind.PLANE for s in o.samples]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("sample", PLANE_SAMPLES)
def test_plane_kernel_equals_its_twin(sample: str, case: Case, rng: np.random.Generator) -> None:
    (step,) = parse_chain(sample, CATALOGUE)
    for size in SIZES:
        try:
            source, target = case.formats(step, *size)
        except FormatError:
            continue  # refused before a frame was touched
        for component in range(target.pixel_format.plane_count):
            chroma = component > 0
            steps = (case.step_in, case.step_out) if chroma else (1, 1)
            _compare(step, source, target, component, steps, rng)


def _compare(
    step: Step,
    source: VideoFormat,
    target: VideoFormat,
    component: int,
    steps: tuple[int, int],
    rng: np.random.Generator,
) -> None:
    plane_in, plane_out = plane_format(source, component), plane_format(target, component)
    arguments = (step.params, source, target, plane_in, plane_out)
    twin = step.operation.cpu(*arguments)
    assert step.operation.cuda is not None, f"{step.operation.name} has no CUDA code"
    launch = step.operation.cuda(*arguments)
    assert (launch is None) == (twin is None)
    if twin is None:
        return
    pictures = [picture(plane_in, source, rng) for _ in range(2)]
    expected = []
    for plane in pictures:
        out = np.empty((plane_out.height, plane_out.width), target.pixel_format.dtype)
        twin(plane, out, 0, plane_out.height)
        expected.append(out)
    limit = step.operation.tolerance.max_codes  # of what is stored: in the exchange form a fraction of a code
    for order, at_end in ((1, True), (2, False)):
        lie = Lie(step_in=steps[0], step_out=steps[1], at_end=at_end)
        made = run(StrictEngine(order=order, at_end=at_end), launch, plane_in, plane_out, pictures, lie)
        for a, b in zip(made, expected, strict=True):
            difference = np.abs(a.astype(int) - b)
            at = np.unravel_index(difference.argmax(), difference.shape)
            assert difference.max() <= limit, f"{step}, {plane_in} -> {plane_out}, {lie}: {a[at]}, not {b[at]}, at {at}"


def plane_format(format_: VideoFormat, component: int) -> PlaneFormat:
    height, width = format_.plane_size(component)
    pixel = format_.pixel_format
    return PlaneFormat(component=component, width=width, height=height, depth=pixel.depth, shift=pixel.shift)


def picture(plane: PlaneFormat, format_: VideoFormat, rng: np.random.Generator) -> Plane:
    """Ramps with noise on them, black and white in it, in every bit that a stored sample uses."""
    y, x = np.mgrid[: plane.height, : plane.width]
    ramp = (x / plane.width + y / plane.height) / 2
    values = np.clip(ramp + rng.normal(0, 1 / 8, ramp.shape), 0, 1)
    values[rng.random(ramp.shape) < 1 / 64] = rng.integers(0, 2)
    stored: Plane = (values * plane.peak).round().astype(format_.pixel_format.dtype)
    return stored
