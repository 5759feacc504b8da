"""Wrong kernels made from right ones: each barrier removed and each bound bent, one at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernels.cubins import CUDA, INCLUDE, source_of
from tests.kernels.cuda.engine import StrictEngine, options_of
from tests.kernels.cuda.module import Module

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernels.launch import Kernel
    from tests.kernels.cuda.module import Function

HEADER: Final = "include/plane.cuh"
POINTWISE: Final = "include/pointwise.cuh"
SUBSAMPLE: Final = "include/subsample.cuh"

_FLIPPED: Final = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_BARRIER: Final = re.compile(r"__syncthreads\(\);")
_RELATION: Final = re.compile(r"(?<= )(<=|>=|<|>)(?= )")
_LAST_INDEX: Final = re.compile(r"(?<=\w) - 1(?=[,;)]| [-+:] )")
_NEXT_INDEX: Final = re.compile(r"(?<=\w) \+ 1(?=[\],;)])")
_FIRST_INDEX: Final = re.compile(r"(?<=, )0(?=\))")
_COMMENT: Final = re.compile(r"//[^\n]*|^#(?!if|el|end)[^\n]*", re.MULTILINE)

GENERATED: Final = "generated"

_SLOWER = "the general code gives the same samples"
_UNUSED = "what is computed for beyond the edge is not stored"
_TWICE = "the next block stores the same"
_NO_BLOCK = "the grid has no block behind the last plane's"
_LAST_PLANE: Final = {"pairs": 1, "one of a pair": 1, "planes": 2, "triplets": 0}
"""Generated text -> number of its last section."""
EQUIVALENT: Final[dict[tuple[str, str], str]] = {
    ("copy.cu", "if (x > width || y >= height) {"): _UNUSED,
    ("copy.cu", "} else if (column > 0 && column + COUNT <= source_width && is_aligned<In>(line + column)) {"): _SLOWER,
    ("copy.cu", "} else if (column >= 0 && column + COUNT < source_width && is_aligned<In>(line + column)) {"): _SLOWER,
    ("copy.cu", "if (x + COUNT < width && is_aligned<Out>(out)) {"): _SLOWER,
    ("copy.cu", "for (int n = 0; n <= COUNT; n++) {"): "the next block's first samples, as it moves them itself",
    ("resample.cu", "if (TAPS_X < most_held_weights) {"): _SLOWER,
    ("transpose.cu", "if (left + j < width && top + i <= height) {"): _UNUSED,
    ("transpose.cu", "if (left + i <= width && top + j + m < height) {"): _UNUSED,
    ("transpose.cu", "constexpr int row_words = TILE / per_word;"): "the same samples, from banks that threads meet in",
    (POINTWISE, "const float at = __ldg(params) >= 0.5f ? root : magnitude * (CURVE_NODES / CURVE_TOP);"): "0 or 1",
    (POINTWISE, "return v > 0.0f ? found : -found;"): "the curve is odd",
    (POINTWISE, "constexpr int unit = bytes <= 16 ? bytes : 16; // what load_samples loads at once"): "16 is 16",
    (
        POINTWISE,
        "const bool is_whole = COMPONENTS == STEP && first + places < width && is_aligned(row + STEP * first, unit);",
    ): _SLOWER,
    (POINTWISE, "if (present > COUNT && is_aligned(from, wide)) {"): _SLOWER,
    (POINTWISE, "if (present > COUNT && is_aligned(to, wide)) {"): _SLOWER,
    (SUBSAMPLE, "return max(i <= 0 ? -1 - i : i >= count ? 2 * count - 1 - i : i, 0);"): "max makes the -1 a 0",
    (SUBSAMPLE, "values[i] = i <= present ? sum : 0.0f;"): _UNUSED,
    **{(GENERATED, f"if (present < 0 || at.y >= height{n}) {{"): _UNUSED for n in range(3)},
    (GENERATED, "if (present < 0 || y >= out_height) {"): _UNUSED,
    (GENERATED, "if (x < 0 || x > width || y < 0 || y >= height) {"): _UNUSED,
    (GENERATED, "if (x >= left && x <= left + CORE_W && y >= top && y < top + CORE_H) {"): _TWICE,
    (GENERATED, "if (x >= left && x < left + CORE_W && y >= top && y <= top + CORE_H) {"): _TWICE,
    (GENERATED, "for (int i = thread; i <= CORE_H * (CORE_W / 2 / FOUR); i += SUBSAMPLE_THREADS) {"): _TWICE,
    ("halved", "const int top_in = siting.halved_rows ? top / 2 - 1 : top;"): "it has halved rows",
    ("halved across", "const int top_in = siting.halved_rows ? top / 2 : top - 1;"): "its rows are not halved",
    **{(name, f"if (block <= blocks{n}) {{"): _NO_BLOCK for name, n in _LAST_PLANE.items()},
    **{
        (name, f"const int blocks{n} = columns{n} * ((height{n} + BLOCK_H) / BLOCK_H);"): _NO_BLOCK
        for name, n in _LAST_PLANE.items()
    },
    (HEADER, "if (i > 0 && i < count) {"): _SLOWER,
    (HEADER, "if (x > 0 && x + 3 < width) {"): _SLOWER,
    ("nlmeans.cu", "return distance < limit ? exp2f((float)distance * -falloff) : 0.0f;"): "a weight of 1/255",
    ("nlmeans_wide.cu", "if (distance < limit && x + k + dx >= 0 && x + k + dx < width) {"): "a weight of 1/255",
}
"""(file, mutated line) -> why no picture can tell it from the right one within a code.

The file is `GENERATED` where that holds for every generated text.
"""


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One file with one change."""

    file: str
    """Below `kernels/cuda`, or the name of a generated text."""
    number: int
    """Of its line."""
    line: str
    """As it is after the change."""
    text: str
    original: str
    """The text that it was made from."""

    def __str__(self) -> str:
        return f"{self.file}:{self.number}: {self.line}"


def mutants(generated: Mapping[str, str]) -> list[Mutant]:
    """Every mutant of every kernel, in the order of the files, but those that are `EQUIVALENT`.

    `generated` are texts by name. Raises `LookupError` if an equivalent one is no mutant any more.
    """
    files = [*sorted(path.name for path in CUDA.glob("*.cu")), HEADER, POINTWISE, SUBSAMPLE]
    texts = {file: (CUDA / file).read_text() for file in files} | dict(generated)
    every = [mutant for file, text in texts.items() for mutant in _of(file, text)]
    keys = [{(name, mutant.line) for name in _names(mutant)} for mutant in every]
    unknown = EQUIVALENT.keys() - set().union(*keys)
    if unknown:
        raise LookupError(f"not mutants: {unknown}")
    return [mutant for mutant, own in zip(every, keys, strict=True) if not own & EQUIVALENT.keys()]


def _names(mutant: Mutant) -> tuple[str, ...]:
    """What its file is called in `EQUIVALENT`."""
    return (mutant.file,) if (CUDA / mutant.file).is_file() else (mutant.file, GENERATED)


def _of(name: str, text: str) -> Iterator[Mutant]:
    code = _COMMENT.sub(lambda match: " " * len(match[0]), text)
    for start, end, instead in _changes(code):
        changed = text[:start] + instead + text[end:]
        number = text.count("\n", 0, start) + 1
        line = changed.splitlines()[number - 1].strip()
        yield Mutant(file=name, number=number, line=line, text=changed, original=text)


def _changes(code: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, text instead) of each change."""
    for match in _BARRIER.finditer(code):
        yield match.start(), match.end(), ";"
    for match in _RELATION.finditer(code):
        yield match.start(), match.end(), _FLIPPED[match[0]]
    for pattern in (_LAST_INDEX, _NEXT_INDEX):
        for match in pattern.finditer(code):
            yield match.start(), match.end(), ""
    for match in _FIRST_INDEX.finditer(code):
        yield match.start(), match.end(), "-1"


class MutantEngine(StrictEngine):
    """Runs `mutant` in place of the text that it was made from; None runs what is right."""

    def __init__(self, mutant: Mutant | None, *, order: int, at_end: bool) -> None:
        super().__init__(order=order, at_end=at_end)
        self._mutant = mutant

    def load(self, kernel: Kernel) -> Function:
        """`kernel` from its changed text; Raises `LaunchError` if that does not compile."""
        return Module(self._whole(source_of(kernel), set()), options_of(kernel)).get_function(kernel.entry)

    def _whole(self, text: str, included: set[str]) -> str:
        """`text`, changed or not, with the headers in it that are not `included` yet."""
        if self._mutant is not None and text == self._mutant.original:
            text = self._mutant.text

        def header(match: re.Match[str]) -> str:
            if match[1] in included:
                return ""
            included.add(match[1])
            return self._whole((INCLUDE / match[1]).read_text(), included)

        return re.sub(r'#include "(\w+\.cuh)"', header, text.replace("#pragma once", ""))
