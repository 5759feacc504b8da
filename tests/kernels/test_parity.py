"""Every plane operation's CUDA kernel against its CPU code, sample by sample.

The kernels are the files that a GPU runs, compiled and run here under the strict rules of `tests/kernels/cuda`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from kernels.catalogue import CATALOGUE
from kernels.operation import Kind
from tests.kernels.cuda.chain_probe import CHAINS, chain_probe
from tests.kernels.cuda.engine import StrictEngine
from tests.kernels.cuda.probe import CASES, Case, probes

if TYPE_CHECKING:
    import numpy as np

pytestmark = pytest.mark.usefixtures("compiler")

SIZES: Final = ((83, 45), (1, 1), (3, 17), (17, 2))
SAMPLES = [s for _, o in sorted(CATALOGUE.items()) if o.kind is Kind.PLANE for s in o.samples]
SHRINKING: Final = (
    "scale=w=iw/3:h=ih/3:flags=lanczos",  # a tile's source rows come in several passes
    "scale=w=iw/16:h=ih/15:flags=lanczos",
    "scale=w=iw/27:h=ih/22:flags=bicubic",  # a tile's source columns do not fit into shared memory
)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("sample", SAMPLES)
def test_plane_kernel_equals_its_twin(sample: str, case: Case, rng: np.random.Generator) -> None:
    for size in SIZES:
        _compare(sample, case, size, rng)


@pytest.mark.parametrize("case", CASES[1:3], ids=str)
@pytest.mark.parametrize("sample", SHRINKING)
def test_shrinking_kernel_equals_its_twin(sample: str, case: Case, rng: np.random.Generator) -> None:
    _compare(sample, case, (219, 187), rng)


def _compare(sample: str, case: Case, size: tuple[int, int], rng: np.random.Generator) -> None:
    for probe in probes(sample, case, size, rng):
        for order, at_end in ((1, True), (2, False)):
            probe.compare(StrictEngine(order=order, at_end=at_end), at_end=at_end)


@pytest.mark.parametrize("what", CHAINS)
def test_generated_kernel_equals_the_cpu(what: str, rng: np.random.Generator) -> None:
    probe = chain_probe(*CHAINS[what], rng)
    for order, at_end in ((0, True), (1, False), (2, True)):
        probe.compare(StrictEngine(order=order, at_end=at_end), at_end=at_end)
