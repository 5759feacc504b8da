"""What an operation is: one record, from which parsing, planning, tests, benchmarks and docs follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from kernels.frame import Plane, VideoFormat
    from kernels.options import Params


class Kind(Enum):
    """What an operation sees at a time, which decides how it runs and with what it fuses."""

    COMPONENT = "one sample of one plane"
    COLOUR = "one co-sited triplet"
    PLANE = "a neighbourhood in one plane"
    TEMPORAL = "a window of frames"


class RowsKernel(Protocol):
    """A bound plane kernel: computes rows `first <= y < last` of `target` from all of `source`.

    Releases the GIL, allocates nothing per row, and may run on several row ranges at once.
    """

    def __call__(self, source: Plane, target: Plane, first: int, last: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneFormat:
    """One plane as a kernel meets it, on its way in or out."""

    component: int
    """Plane number: 0 is luma (or G)."""
    width: int
    height: int
    depth: int
    """Bits of one code."""
    shift: int
    """Stored sample = code << shift."""

    @property
    def peak(self) -> int:
        """Largest stored sample."""
        return ((1 << self.depth) - 1) << self.shift

    @property
    def bits(self) -> int:
        """Bits a stored sample uses: `depth + shift`. uint8 up to 8, else uint16."""
        return self.depth + self.shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A bound pointwise step: `twin` runs in place on float32 tiles of components `first <= c < last`."""

    twin: Any
    """Numba function of signature `kernels.twins.TWIN`."""
    params: NDArray[np.float32]
    first: int = 0
    last: int = 3
    device: str = ""
    """Name of the same function in cuda/include/pointwise.cuh."""
    mixes: bool = False
    """Whether it makes each component out of all three; else it changes each by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far two implementations of an operation may lie apart, and why."""

    max_codes: int
    """Largest difference of any sample, in codes of the output depth."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One filter. `cpu` is called once per plan and plane; what it returns is called per frame.

    `cpu` by kind:

    - PLANE: `cpu(params, source: VideoFormat, target: VideoFormat, plane_in: PlaneFormat,
      plane_out: PlaneFormat) -> RowsKernel | None`; None passes the plane on untouched.
    - COMPONENT: `cpu(params, source, plane: int) -> Tile | None`, on values code / (2**depth - 1).
    - COLOUR: `cpu(params, source, target) -> Sequence[Affine | Curve | Tile]` (see `kernels.conversion`), on
      Y in 0..1 and Cb, Cr in -0.5..0.5, or G, B, R in 0..1.
    """

    name: str
    kind: Kind
    params: type[Params]
    summary: str
    """One line for `runner ops`."""
    source: str
    """Paper or standard, with the section, that the formula comes from."""
    tolerance: Tolerance
    samples: tuple[str, ...]
    """Chains that cover its paths; the tests that hold for every operation run them."""
    cpu: Callable[..., Any]
    output: Callable[[Any, VideoFormat], VideoFormat]
    """`output(params, source) -> target`: pure, raises `FormatError` for what cannot be."""
    value_preserving: bool = False
    """Moves samples without changing any: keeps the incoming depth and never rounds."""
    is_conversion: bool = False
    """Only changes how a picture is coded; the planner splits it into the passes it needs."""
    skips_unchanged: bool = False
    """Does nothing when `output` gives back the source format (a `scale` to the same size)."""
    assume: Callable[[Any, VideoFormat], VideoFormat] | None = None
    """`assume(params, source)`: the input with the colour tags that the step says it really has."""
    context: Callable[[Any], tuple[int, int]] | None = None
    """`context(params) -> (before, after)`: frames of its input that it needs around each one it makes; None: none."""
    cuda: Callable[..., Any] | None = None
    """PLANE operations: called as `cpu` is, gives a `kernels.launch.PlaneLaunch`, or None to pass the plane on.
    Pointwise operations need none: their tiles name the device function of each twin."""
