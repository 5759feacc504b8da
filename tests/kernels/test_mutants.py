"""The parity tests notice every wrong kernel: a sample of the mutants, or with `--mutants 0` all of them."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from kernels.cubins import source_of
from tests.kernels.cuda.chain_probe import CHAINS, ChainProbe, chain_probe
from tests.kernels.cuda.module import LaunchError
from tests.kernels.cuda.mutants import HEADER, POINTWISE, SUBSAMPLE, Mutant, MutantEngine, mutants
from tests.kernels.cuda.probe import CASES, Case, Probe, probes

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.usefixtures("compiler")

SEED: Final = 1
PARTS: Final = 4
"""Of the run, side by side."""
RUNS: Final = ((0, True), (1, False), (2, True), (1, True))
"""(order of threads, at the end of memory)"""
_PLAIN, _FROM_PAIRS, _PAIRS, _EXCHANGE, _ = CASES
_SIZE: Final = (83, 45)
PROBES: Final[dict[str, tuple[tuple[str, Case, tuple[int, int]], ...]]] = {
    "cas.cu": (("cas=0.5", _PLAIN, _SIZE),),
    "copy.cu": (
        ("pad=iw*2:ih*2:-1:-1:color=teal", _PLAIN, (61, 21)),
        ("hflip", _PAIRS, (64, 21)),
        ("pad=iw*2:ih*2:-1:-1:color=teal", _PAIRS, (62, 22)),
        ("crop=iw-6:ih-4:2:2", _PLAIN, _SIZE),
        ("vflip", _PLAIN, (64, 16)),
    ),
    "nlmeans.cu": (("nlmeans=s=12:p=7:pc=5:r=9:rc=5", _FROM_PAIRS, _SIZE), ("nlmeans=4:1:0:5", _PAIRS, (17, 2))),
    "nlmeans_wide.cu": (("nlmeans=s=9:p=17:r=5", _FROM_PAIRS, _SIZE),),
    "resample.cu": (
        ("scale=w=iw*2:h=ih*2:flags=lanczos", _PLAIN, _SIZE),
        ("scale=w=iw/3:h=ih/3:flags=lanczos", _FROM_PAIRS, (219, 187)),
        ("scale=w=iw/27:h=ih/22:flags=bicubic", _PLAIN, (1777, 743)),
        ("scale=w=iw*2:h=ih*2:flags=lanczos:param0=8", _PLAIN, _SIZE),
    ),
    "transpose.cu": (("transpose=clock_flip", _PLAIN, (150, 83)), ("transpose=clock", _EXCHANGE, (83, 150))),
    "unsharp.cu": (("unsharp=3:7:1.5:7:3:0.8", _PLAIN, _SIZE),),
}
PROBES[HEADER] = (
    ("scale=w=iw*3/2:h=ih*3/2:flags=spline36", _PLAIN, _SIZE),
    ("scale=w=iw*2:h=ih*2:flags=lanczos", _PLAIN, (3, 17)),
    ("cas=1", _PAIRS, (84, 45)),
    ("unsharp=lx=23:ly=3:la=5:ca=-2", _FROM_PAIRS, (17, 2)),
    ("hflip", _PLAIN, (64, 21)),
    ("transpose", _EXCHANGE, (83, 45)),
)
TEXTS: Final = ("pairs", "one of a pair", "planes", "triplets", "halved", "halved across")
"""Chains whose generated text is mutated too."""
WHOLE: Final = (64, 16)
"""A size of whole runs and blocks: a generated text holds for every size."""
CHAINS_OF: Final = {
    POINTWISE: (
        "pairs",
        "triplets",
        "triplets of planes",
        "planes",
        "one of a pair",
        "dithered",
        "halved",
        "halved across",
    ),
    SUBSAMPLE: ("halved", "halved across", "halved, one pixel"),
    **{name: (name,) for name in TEXTS},
}
"""What is mutated -> the chains that notice it."""


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_mutants_are_caught(part: int, request: pytest.FixtureRequest) -> None:
    count: int = request.config.getoption("--mutants")
    every = mutants({name: _text(name) for name in TEXTS})
    chosen = random.Random(SEED).sample(every, min(count or len(every), len(every)))[part::PARTS]
    survivors = [str(mutant) for mutant in chosen if _survives(mutant)]
    print(f"\nmutants: {len(chosen)} of {len(every)} tried, {len(chosen) - len(survivors)} caught")  # noqa: T201
    assert not survivors, "not caught:\n" + "\n".join(survivors)


@pytest.mark.parametrize("file", [*sorted(PROBES), *TEXTS])
def test_right_kernels_pass(file: str) -> None:
    """What catches the mutants of a file is no fault of the file's own."""
    for probe in _probes(file):
        for order, at_end in RUNS:
            probe.compare(MutantEngine(None, order=order, at_end=at_end), at_end=at_end)


def _survives(mutant: Mutant) -> bool:
    for probe in _probes(mutant.file):
        for order, at_end in RUNS:
            try:
                probe.compare(MutantEngine(mutant, order=order, at_end=at_end), at_end=at_end)
            except (AssertionError, LaunchError):
                return False
    return True


def _probes(file: str) -> Iterable[Probe | ChainProbe]:
    if file in PROBES:
        return _plane_probes(file)
    sizes = (None, WHOLE) if file in TEXTS else (None,)
    return (_chain_probe(name, size) for name in CHAINS_OF[file] for size in sizes)


@cache
def _plane_probes(file: str) -> list[Probe]:
    rng = np.random.default_rng(SEED)
    return [probe for sample, case, size in PROBES[file] for probe in probes(sample, case, size, rng)]


@cache
def _chain_probe(name: str, size: tuple[int, int] | None = None) -> ChainProbe:
    """Of `CHAINS`, at its own size or another."""
    chain, pixel_format, layout, own = CHAINS[name]
    return chain_probe(chain, pixel_format, layout, size or own, np.random.default_rng(SEED))


def _text(name: str) -> str:
    """What is generated for a chain."""
    (text,) = {source_of(launch.kernel) for launch in _chain_probe(name).plan.launches if "\n" in launch.kernel.source}
    return text
