"""A plane kernel and its CPU code on the same pictures: what parity and the mutation run compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.backends.parts import plane_format
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.errors import FormatError
from kernels.frame import VideoFormat
from kernels.pixel_format import pixel_format
from tests.kernels.cuda.planes import Lie, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from kernels.chain import Step
    from kernels.launch import Engine, PlaneLaunch
    from kernels.operation import PlaneFormat

FRAMES = 2
"""Of a batch."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pixel format, what its samples are stored in on either side, and how chroma lies."""

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
        ends = ((self.exchange_in, self.step_in), (self.exchange_out, self.step_out))
        return "-".join([self.name, *(f"{'x' if exchange else ''}{step}" for exchange, step in ends)])


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


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One plane of one step."""

    step: Step
    plane_in: PlaneFormat
    plane_out: PlaneFormat
    steps: tuple[int, int]
    launch: PlaneLaunch
    pictures: tuple[NDArray[Any], ...]
    expected: tuple[NDArray[Any], ...]
    """What the CPU code makes of them."""

    def compare(self, engine: Engine, *, at_end: bool) -> None:
        """Fails where the kernel makes something else of the pictures, by more than the operation's tolerance.

        That many steps of what is stored: in the exchange form, a fraction of a code.
        """
        second = self.plane_in.component == 2
        lie = Lie(step_in=self.steps[0], step_out=self.steps[1], second=second, at_end=at_end)
        made = run(engine, self.launch, self.plane_in, self.plane_out, self.pictures, lie)
        for a, b in zip(made, self.expected, strict=True):
            difference = np.abs(a.astype(int) - b)
            at = np.unravel_index(difference.argmax(), difference.shape)
            if difference.max() > self.step.operation.tolerance.max_codes:
                ends = f"{self.plane_in} -> {self.plane_out}, {lie}"
                raise AssertionError(f"{self.step}, {ends}: {a[at]}, not {b[at]}, at {at}")


def probes(sample: str, case: Case, size: tuple[int, int], rng: np.random.Generator) -> Iterator[Probe]:
    """One probe for each plane that `sample` computes; none where it refuses such frames."""
    (step,) = parse_chain(sample, CATALOGUE)
    try:
        source, target = case.formats(step, *size)
    except FormatError:
        return
    for component in range(target.pixel_format.plane_count):
        plane_in, plane_out = plane_format(source, component), plane_format(target, component)
        arguments = (step.params, source, target, plane_in, plane_out)
        twin = step.operation.cpu(*arguments)
        assert step.operation.cuda is not None, f"{step.operation.name} has no CUDA code"
        launch = step.operation.cuda(*arguments)
        assert (launch is None) == (twin is None)
        if launch is None:
            continue
        pictures = tuple(picture(plane_in, source, rng) for _ in range(FRAMES))
        expected = []
        for plane in pictures:
            expected.append(np.empty((plane_out.height, plane_out.width), target.pixel_format.dtype))
            twin(plane, expected[-1], 0, plane_out.height)
        yield Probe(
            step=step,
            plane_in=plane_in,
            plane_out=plane_out,
            steps=(case.step_in, case.step_out) if component else (1, 1),
            launch=launch,
            pictures=pictures,
            expected=tuple(expected),
        )


def picture(plane: PlaneFormat, format_: VideoFormat, rng: np.random.Generator) -> NDArray[Any]:
    """Flat areas under noise that grows from nothing at either side to much, with black and white in it, between them.

    So there is something to average for denoisers, up to the edges, and something to clip for sharpeners.
    """
    y, x = np.mgrid[: plane.height, : plane.width]
    levels = rng.uniform(0, 1, (plane.height // 16 + 1, plane.width // 24 + 1))
    unrest = 1 - np.abs(2 * x / plane.width - 1)
    values = np.clip(levels[y // 16, x // 24] + rng.normal(0, 1, x.shape) * 2.0 ** (6 * unrest - 9), 0, 1)
    values[(rng.random(x.shape) < 1 / 16) & (unrest > 2 / 3)] = rng.integers(0, 2)
    stored: NDArray[Any] = (values * plane.peak).round().astype(format_.pixel_format.dtype)
    return stored
