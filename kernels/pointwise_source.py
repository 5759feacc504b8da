"""The text of a pointwise stage's kernel: load, every step in registers, one store.

The text depends on which steps there are and where planes lie, never on numbers: those are arguments, so a chain
with other options, or of another size, compiles nothing new.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from kernels.launch import Argument
    from kernels.operation import Tile

BLOCK: Final = (32, 4)
"""Threads of a block, BLOCK_W and BLOCK_H of pointwise.cuh."""
MAX_SCALARS: Final = 16
"""Parameters of one step that are passed one by one; more go into a table in memory."""
ENTRY: Final = "pointwise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Planes of one size that a thread computes together: one, an interleaved pair, or those of triplets."""

    width: int
    height: int
    sources: tuple[int, ...]
    """Components read; none for planes filled with the neutral code."""
    targets: tuple[int, ...]
    """Components written, in the order of `programs`."""
    programs: tuple[tuple[Tile, ...], ...]
    """Steps of each target; a single one, on triplets, where `mixes`."""
    steps_in: tuple[int, ...] = (1, 1, 1)
    """From one sample to the next, by component."""
    steps_out: tuple[int, ...] = (1, 1, 1)
    mixes: bool = False
    paired_in: bool = False
    """Components 1 and 2 of the sources lie interleaved, and are loaded together."""
    paired_out: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointwise:
    """A whole stage: what its kernel does, and its numbers."""

    sections: tuple[Section, ...]
    load: float
    """Stored sample to code / (2**depth - 1)."""
    store: float
    """And back: also the largest sample, before it is shifted up by `lift`."""
    dither: bool
    neutral: int
    """Stored sample of no colour, shifted up already."""
    siting: NDArray[np.float32]
    """`kernels.backends.pointwise.upsampling`: how subsampled sources come to every pixel; empty where none do."""
    chroma_size: tuple[int, int] = (0, 0)
    """(height, width) of such sources."""
    lift: int = 0
    """Bits that samples are shifted up by once they are rounded."""


@dataclass(slots=True)
class Parameters:
    """What follows the planes in a kernel's signature."""

    declared: list[str] = field(default_factory=list)
    values: list[Argument] = field(default_factory=list)

    def integer(self, name: str, value: int) -> str:
        self.declared.append(f"int {name}")
        self.values.append(np.int32(value))
        return name

    def real(self, name: str, value: float) -> str:
        self.declared.append(f"float {name}")
        self.values.append(np.float32(value))
        return name

    def table(self, name: str, values: NDArray[np.float32]) -> str:
        self.declared.append(f"const float *__restrict__ {name}")
        self.values.append(np.ascontiguousarray(values, np.float32))
        return name


def write_source(stage: Pointwise, run: int) -> tuple[str, tuple[int, int], tuple[Argument, ...]]:
    """The kernel's text, its grid and what follows the planes in its signature, for `run` samples a thread."""
    parameters = Parameters()
    parameters.real("load", stage.load)
    parameters.real("store", stage.store)
    body: list[str] = []
    blocks = 0
    for number, section in enumerate(stage.sections):
        columns = -(-section.width // (BLOCK[0] * run))
        rows = -(-section.height // BLOCK[1])
        blocks += columns * rows
        parameters.integer(f"columns{number}", columns)
        parameters.integer(f"width{number}", section.width)
        parameters.integer(f"height{number}", section.height)
        body += _section(stage, section, number, parameters)
    planes = [line for side in ("in", "out") for line in signature_planes(operands(stage.sections, side), side)]
    signature = ",\n    ".join([*planes, ", ".join(parameters.declared)])
    head = f'extern "C" __global__ void __launch_bounds__({BLOCK[0] * BLOCK[1]}) {ENTRY}(\n    {signature})'
    text = "\n".join(['#include "pointwise.cuh"', "", head + " {", "    int block = blockIdx.x;", *body, "}", ""])
    return text, (blocks, 1), tuple(parameters.values)


def operands(sections: Iterable[Section], side: str) -> list[int]:
    """Components whose planes the signature has on that side ('in' or 'out'), in its order; a pair counts as one."""
    found: list[int] = []
    for section in sections:
        paired = section.paired_in if side == "in" else section.paired_out
        listed = section.sources if side == "in" else section.targets
        # In a triplet the pair is its second and third plane.
        found += [c for c in listed if not (paired and c == 2)]
    return found


def signature_planes(components: Iterable[int], side: str) -> list[str]:
    """Parameters of a kernel that say where planes lie: pointer, pitch, and what one step along z is."""
    kind = "const SAMPLE_IN" if side == "in" else "SAMPLE_OUT"
    return [f"{kind} *__restrict__ {side}{c}, int {side}{c}_pitch, long long {side}{c}_frame" for c in components]


def _section(stage: Pointwise, section: Section, number: int, parameters: Parameters) -> list[str]:
    """One `if` of the kernel: the blocks that compute these planes."""
    compute = _triplets if section.mixes else _components
    inner = [
        f"const Place at = place_of(block, columns{number});",
        f"const int present = width{number} - at.x;",
        f"if (present <= 0 || at.y >= height{number}) {{",
        "    return;",
        "}",
        *compute(stage, section, number, parameters),
        *_stores(section),
        "return;",
    ]
    count = f"columns{number} * ((height{number} + BLOCK_H - 1) / BLOCK_H)"
    next_ = [f"    block -= blocks{number};"] if section is not stage.sections[-1] else []
    return [
        f"    const int blocks{number} = {count};",
        f"    if (block < blocks{number}) {{",
        *("        " + line for line in inner),
        "    }",
        *next_,
    ]


def _components(stage: Pointwise, section: Section, number: int, parameters: Parameters) -> list[str]:
    lines: list[str] = []
    if not section.sources:
        parameters.integer(f"neutral{number}", stage.neutral)
    elif section.paired_in:
        lines += _load_pair()
    else:
        lines += [line for c in section.sources for line in _load(section, c)]
    for c, program in zip(section.targets, section.programs, strict=True):
        lines.append(f"unsigned int s{c}[RUN];")
        if not section.sources:
            lines += loop([f"s{c}[i] = neutral{number};"])
            continue
        named = [declare(tile, f"{number}_{c}_{k}", parameters) for k, tile in enumerate(program)]
        lines += [line for declared, _ in named for line in declared]
        steps = [f"v = {tile.device}(v, {name});" for tile, (_, name) in zip(program, named, strict=True)]
        lines += loop([f"float v = v{c}[i] * load;", *steps, f"s{c}[i] = {_stored(stage, 'v')};"])
    return lines


def _triplets(stage: Pointwise, section: Section, number: int, parameters: Parameters) -> list[str]:
    lines: list[str] = []
    subsampled = len(stage.siting) > 0
    if subsampled:
        lines += declare_siting(stage.siting, stage.chroma_size, parameters)
    if section.paired_in and not subsampled:
        lines += _load_pair()
    for c in section.sources:
        if subsampled and c > 0:
            lines += _load_chroma(section, c)
        elif c == 0 or not section.paired_in:
            lines += _load(section, c)
    values = [
        f"v{c}[i]" if subsampled and c > 0 else f"v{c}[i] * load" if c in section.sources else "0.0f" for c in range(3)
    ]
    steps: list[str] = []
    for k, tile in enumerate(section.programs[0]):
        declared, name = declare(tile, f"{number}_{k}", parameters)
        lines += declared
        if tile.mixes:
            steps.append(f"t = {tile.device}(t, {name});")
        else:
            steps += [f"t.{m} = {tile.device}(t.{m}, {name});" for m in "abc"[tile.first : tile.last]]
    stores = [f"s{c}[i] = {_stored(stage, f't.{m}')};" for c, m in zip(section.targets, "abc", strict=False)]
    lines.append(f"unsigned int {', '.join(f's{c}[RUN]' for c in section.targets)};")
    return [*lines, *loop([f"Triplet t = {{{', '.join(values)}}};", *steps, *stores])]


def declare_siting(siting: NDArray[np.float32], chroma_size: tuple[int, int], parameters: Parameters) -> list[str]:
    """The lines that give a kernel its `Siting`."""
    names = ("even0", "even1", "even2", "odd0", "odd1", "odd2", "place")
    weights = [parameters.real(name, value) for name, value in zip(names, siting, strict=False)]
    halved = parameters.integer("halved_rows", int(siting[7] > 0))
    height, width = chroma_size
    size = f"{parameters.integer('chroma_width', width)}, {parameters.integer('chroma_height', height)}"
    even, odd, place = ", ".join(weights[:3]), ", ".join(weights[3:6]), weights[6]
    return [f"const Siting siting = {{{{{even}}}, {{{odd}}}, {place}, {halved}, {size}}};"]


def declare(tile: Tile, number: str, parameters: Parameters) -> tuple[list[str], str]:
    """The lines that give a step its parameters, and their name."""
    name = f"{tile.device}{number}"
    if len(tile.params) > MAX_SCALARS:
        return [], parameters.table(name, tile.params)
    scalars = [parameters.real(f"{name}_{i}", value) for i, value in enumerate(tile.params)]
    return [f"const float {name}[] = {{{', '.join(scalars)}}};"], name


def row(side: str, component: int) -> str:
    """The row of a plane that the thread is at."""
    plane = f"{side}{component}"
    return f"row_of({plane}, {plane}_pitch, {plane}_frame, at.y)"


def _stored(stage: Pointwise, value: str) -> str:
    # Whole samples need no rounding of their own: the largest stored sample is the factor as well as the limit.
    dither = "true" if stage.dither else "false"
    return f"stored({value}, store, rounding<{dither}>(at.x + i, at.y), store)"


def loop(lines: Sequence[str]) -> list[str]:
    """`lines` for each sample of a run."""
    return ["#pragma unroll", "for (int i = 0; i < RUN; i++) {", *("    " + line for line in lines), "}"]


def _load(section: Section, component: int) -> list[str]:
    place = f"{row('in', component)}, at.x, present, v{component}"
    return [f"float v{component}[RUN];", f"load_run<{section.steps_in[component]}>({place});"]


def _load_chroma(section: Section, component: int) -> list[str]:
    """Halved chroma at every pixel: an interleaved pair with its first component."""
    plane = f"in{component}"
    place = f"row_of({plane}, {plane}_pitch, {plane}_frame, 0), {plane}_pitch, at.x, at.y, siting, load"
    if not section.paired_in:
        return [f"float v{component}[RUN];", f"load_chroma<1, {section.steps_in[component]}>({place}, v{component});"]
    return ["float v1[RUN], v2[RUN];", f"load_chroma<2, 2>({place}, v1, v2);"] if component == 1 else []


def _load_pair() -> list[str]:
    return ["float v1[RUN], v2[RUN];", f"load_pairs({row('in', 1)}, at.x, present, v1, v2);"]


def _stores(section: Section) -> list[str]:
    pair = [f"store_pairs({row('out', 1)}, at.x, present, s1, s2);"] if section.paired_out else []
    alone = [c for c in section.targets if not (pair and c > 0)]
    return [
        *(f"store_run<{section.steps_out[c]}>({row('out', c)}, at.x, present, s{c});" for c in alone),
        *pair,
    ]
