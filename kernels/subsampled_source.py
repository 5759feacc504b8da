"""The text of a kernel that runs colour steps between frames of halved chroma in one pass.

Three stages of a plan, and the pointwise ones around them, are one kernel: chroma comes up, the steps run on triplets,
chroma goes down again. Where the CPU stores 16 bits between those stages, values are only held to their range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernels.pointwise_source import Parameters, declare, declare_siting, signature_planes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kernels.launch import Argument
    from kernels.operation import Tile

    Program = tuple[Tile, ...]

ENTRY: Final = "subsampled"
BLOCK: Final = (32, 8)
"""SUBSAMPLE_THREADS of subsample.cuh."""
CORE: Final = (128, 16)
"""Pixels of a block: CORE_W and CORE_H."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subsampled:
    """What such a kernel does, and its numbers."""

    width: int
    height: int
    before: tuple[Program, ...] | None
    """Steps on each of the three planes as they come; None where there are none."""
    triplets: Program
    after: tuple[Program, ...]
    """Steps on each of the three planes as they go."""
    siting: NDArray[np.float32]
    """`kernels.backends.pointwise.upsampling` of the source; empty where its chroma is whole."""
    chroma_in: tuple[int, int]
    """(height, width) of the source's chroma."""
    chroma_out: tuple[int, int]
    across: NDArray[np.float32]
    """Weights of the samples at -1, 0, 1 and 2 from twice a target sample's column."""
    down: NDArray[np.float32]
    """And from twice its row; empty where rows stay."""
    paired_in: bool
    paired_out: bool
    load: float
    store: float
    dither: bool


def write_subsampled(stage: Subsampled) -> tuple[str, tuple[int, int], tuple[Argument, ...]]:
    """The kernel's text, its grid and what follows the planes in its signature."""
    parameters = Parameters()
    parameters.real("load", stage.load)
    parameters.real("store", stage.store)
    parameters.integer("width", stage.width)
    parameters.integer("height", stage.height)
    body = [*_set_up(stage, parameters), *_coarse(stage, parameters), *_fine(stage, parameters)]
    body += ["__syncthreads();", *_down(stage, parameters)]
    planes = [*signature_planes((0, 1) if stage.paired_in else (0, 1, 2), "in")]
    planes += signature_planes((0, 1) if stage.paired_out else (0, 1, 2), "out")
    signature = ",\n    ".join([*planes, ", ".join(parameters.declared)])
    bounds = "__launch_bounds__(SUBSAMPLE_THREADS, SUBSAMPLE_BLOCKS)"
    head = f'extern "C" __global__ void {bounds} {ENTRY}(\n    {signature}) {{'
    text = "\n".join(['#include "subsample.cuh"', "", head, *("    " + line for line in body), "}", ""])
    grid = (-(-stage.width // CORE[0]), -(-stage.height // CORE[1]))
    return text, grid, tuple(parameters.values)


def _set_up(stage: Subsampled, parameters: Parameters) -> list[str]:
    across = [parameters.real(f"across{i}", weight) for i, weight in enumerate(stage.across)]
    down = [parameters.real(f"down{i}", weight) for i, weight in enumerate(stage.down)] or ["0.0f"]
    height, width = stage.chroma_out
    size = f"{parameters.integer('out_width', width)}, out_height = {parameters.integer('out_rows', height)}"
    lines = [
        "__shared__ Chroma chroma;",
        "const int thread = threadIdx.y * blockDim.x + threadIdx.x;",
        "const int left = blockIdx.x * CORE_W, top = blockIdx.y * CORE_H;",
        f"const Descent descent = {{{{{', '.join(across)}}}, {{{', '.join(down)}}}, width, height}};",
        f"const int columns_out = {size};",
    ]
    if len(stage.siting):
        lines += declare_siting(stage.siting, stage.chroma_in, parameters)
        lines.append("const int top_in = siting.halved_rows ? top / 2 - 1 : top - 1;")
    return lines


def _steps(
    program: Program, name: str, parameters: Parameters, *, triplet: bool = False
) -> tuple[list[str], list[str]]:
    """The declarations and the calls of a program, on `v` or on the triplet `t`."""
    declared, calls = [], []
    for number, tile in enumerate(program):
        lines, params = declare(tile, f"{name}_{number}", parameters)
        declared += lines
        if not triplet:
            calls.append(f"v = {tile.device}(v, {params});")
        elif tile.mixes:
            calls.append(f"t = {tile.device}(t, {params});")
        else:
            calls += [f"t.{m} = {tile.device}(t.{m}, {params});" for m in "abc"[tile.first : tile.last]]
    return declared, calls


def _before(stage: Subsampled, component: int, parameters: Parameters) -> tuple[list[str], list[str]]:
    """Steps of a plane as it comes, and what storing it between would do."""
    if stage.before is None:
        return [], []
    declared, calls = _steps(stage.before[component], f"before{component}", parameters)
    return declared, [*calls, "v = held(v);"]


def _coarse(stage: Subsampled, parameters: Parameters) -> list[str]:
    """Halved chroma with what is around it into shared memory."""
    if not len(stage.siting):
        return []
    lines: list[str] = []
    stores: list[str] = []
    for c in (1, 2):
        declared, calls = _before(stage, c, parameters)
        lines += declared
        plane, index = ("in1", f"2 * x + {c - 1}") if stage.paired_in else (f"in{c}", "x")
        value = f"float v = (float)row_of({plane}, {plane}_pitch, {plane}_frame, y)[{index}] * load;"
        stores += ["{", f"    {value}", *("    " + call for call in calls)]
        stores += [f"    chroma.coarse[{c - 1}][row][column] = v;", "}"]
    return [
        *lines,
        "#pragma unroll 1",
        "for (int i = thread; i < COARSE_W * COARSE_H; i += SUBSAMPLE_THREADS) {",
        "    const int row = i / COARSE_W, column = i - row * COARSE_W;",
        "    const int x = clamp_index(left / 2 - 3 + column, siting.width);",
        "    const int y = clamp_index(top_in + row, siting.height);",
        *("    " + line for line in stores),
        "}",
        "__syncthreads();",
    ]


def _fine(stage: Subsampled, parameters: Parameters) -> list[str]:
    """Triplets of every pixel: luma is finished, chroma goes into shared memory."""
    declared, before = _before(stage, 0, parameters)
    mixed, triplets = _steps(stage.triplets, "mix", parameters, triplet=True)
    ended, after = _steps(stage.after[0], "after0", parameters)
    loads = ["load_samples<FOUR>(row_of(in0, in0_pitch, in0_frame, y) + x, width - x, v0);"]
    scale = ""
    if len(stage.siting):
        loads += [f"rise(chroma.coarse[{c - 1}], left, top_in, x, y, siting, v{c});" for c in (1, 2)]
    else:
        scale = " * load"
        loads += [
            f"load_samples<FOUR>(row_of(in{c}, in{c}_pitch, in{c}_frame, y) + x, width - x, v{c});" for c in (1, 2)
        ]
    chroma = [f"chroma.fine[{c}][row][x - left + FOUR + k] = held(t.{m});" for c, m in enumerate("bc")]
    pixel = [
        "float v = v0[k] * load;",
        *before,
        f"Triplet t = {{v, v1[k]{scale}, v2[k]{scale}}};",
        *triplets,
        *chroma,
        "v = held(t.a);",
        *after,
        f"s0[k] = {_stored(stage, 'x + k', 'y')};",
    ]
    return [
        *declared,
        *mixed,
        *ended,
        "#pragma unroll 1",
        "for (int i = thread; i < FINE_H * (FINE_W / FOUR); i += SUBSAMPLE_THREADS) {",
        "    const int row = i / (FINE_W / FOUR);",
        "    const int x = left - FOUR + (i - row * (FINE_W / FOUR)) * FOUR, y = top - 1 + row;",
        "    if (x < 0 || x >= width || y < 0 || y >= height) {",
        "        continue;",
        "    }",
        "    float v0[FOUR], v1[FOUR], v2[FOUR];",
        *("    " + line for line in loads),
        "    unsigned int s0[FOUR];",
        *("    " + line for line in _four(pixel)),
        "    if (x >= left && x < left + CORE_W && y >= top && y < top + CORE_H) {",
        "        store_samples<FOUR>(row_of(out0, out0_pitch, out0_frame, y) + x, width - x, s0);",
        "    }",
        "}",
    ]


def _down(stage: Subsampled, parameters: Parameters) -> list[str]:
    """Chroma of the core from shared memory to the target."""
    halved = len(stage.down) > 0
    lines: list[str] = []
    computed: list[str] = []
    for c in (1, 2):
        declared, after = _steps(stage.after[c], f"after{c}", parameters)
        lines += declared
        arguments = f"chroma.fine[{c - 1}], left, top, x, y, present, descent, v{c}"
        values = f"descend<{'true' if halved else 'false'}>({arguments});"
        end = [f"float v = held(v{c}[k]);", *after, f"s{c}[k] = {_stored(stage, 'x + k', 'y')};"]
        computed += [f"float v{c}[FOUR];", values, f"unsigned int s{c}[FOUR];", *_four(end)]
    if stage.paired_out:
        stores = [
            "unsigned int both[2 * FOUR];",
            *_four(["both[2 * k] = s1[k], both[2 * k + 1] = s2[k];"]),
            "store_samples<2 * FOUR>(row_of(out1, out1_pitch, out1_frame, y) + 2 * x, 2 * present, both);",
        ]
    else:
        stores = [
            f"store_samples<FOUR>(row_of(out{c}, out{c}_pitch, out{c}_frame, y) + x, present, s{c});" for c in (1, 2)
        ]
    rows = "CORE_H / 2" if halved else "CORE_H"
    return [
        *lines,
        "#pragma unroll 1",
        f"for (int i = thread; i < {rows} * (CORE_W / 2 / FOUR); i += SUBSAMPLE_THREADS) {{",
        "    const int row = i / (CORE_W / 2 / FOUR);",
        "    const int x = left / 2 + (i - row * (CORE_W / 2 / FOUR)) * FOUR;",
        f"    const int y = {'top / 2' if halved else 'top'} + row;",
        "    const int present = columns_out - x;",
        "    if (present <= 0 || y >= out_height) {",
        "        continue;",
        "    }",
        *("    " + line for line in (*computed, *stores)),
        "}",
    ]


def _stored(stage: Subsampled, x: str, y: str) -> str:
    dither = "true" if stage.dither else "false"
    return f"stored(v, store, rounding<{dither}>({x}, {y}), store)"


def _four(lines: list[str]) -> list[str]:
    return ["#pragma unroll", "for (int k = 0; k < FOUR; k++) {", *("    " + line for line in lines), "}"]
