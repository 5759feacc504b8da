"""What `test_parity.py` shows on the strict engine, on a real GPU: each launch by itself, on planes that lie as badly.

Skipped where there is no GPU, unless REQUIRE_GPU says that there must be one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.kernels import test_parity as strict
from tests.kernels.cuda.chain_probe import CHAINS, chain_probe
from tests.kernels.cuda.mirror import Mirror
from tests.kernels.cuda.probe import CASES, Case, probes

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

pytestmark = pytest.mark.gpu


@pytest.fixture
def gpu() -> Iterator[Mirror]:
    from kernels.backends.cuda import engine

    with engine().current():
        yield Mirror(engine())


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("sample", strict.SAMPLES)
def test_plane_kernel_equals_its_twin(sample: str, case: Case, gpu: Mirror, rng: np.random.Generator) -> None:
    for size in strict.SIZES:
        for probe in probes(sample, case, size, rng):
            for at_end in (True, False):
                probe.compare(gpu, at_end=at_end)


@pytest.mark.parametrize("case", CASES[1:3], ids=str)
@pytest.mark.parametrize("sample", strict.SHRINKING)
def test_shrinking_kernel_equals_its_twin(sample: str, case: Case, gpu: Mirror, rng: np.random.Generator) -> None:
    for probe in probes(sample, case, (219, 187), rng):
        for at_end in (True, False):
            probe.compare(gpu, at_end=at_end)


@pytest.mark.parametrize("what", CHAINS)
def test_generated_kernel_equals_the_cpu(what: str, gpu: Mirror, rng: np.random.Generator) -> None:
    probe = chain_probe(*CHAINS[what], rng)
    for at_end in (True, False):
        probe.compare(gpu, at_end=at_end)
