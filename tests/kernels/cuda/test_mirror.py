"""What runs the strict engine's probes on a GPU, on an engine whose device is this machine's memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.kernels.cuda.chain_probe import CHAINS, chain_probe
from tests.kernels.cuda.engine import StrictEngine
from tests.kernels.cuda.mirror import ALIGNED_BYTES, Mirror
from tests.kernels.cuda.probe import CASES, Case, probes

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.usefixtures("compiler")


class Device(StrictEngine):
    """Uploads begin where those of a GPU do, and kernels may write to them."""

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        room = np.empty(array.nbytes + ALIGNED_BYTES, np.uint8)
        first = -room.ctypes.data % ALIGNED_BYTES
        placed = room[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
        placed[...] = array
        return placed


@pytest.mark.parametrize("case", [CASES[1], CASES[2]], ids=str)
@pytest.mark.parametrize("sample", ["cas=0.5", "hflip"])
def test_a_probe_finds_the_same_there(sample: str, case: Case, rng: np.random.Generator) -> None:
    for probe in probes(sample, case, (83, 45), rng):
        for at_end in (True, False):
            probe.compare(Mirror(Device()), at_end=at_end)


@pytest.mark.parametrize("what", ["pairs", "one of a pair", "halved"])
@pytest.mark.long
def test_so_does_a_chain_on_planes_that_share_memory(what: str, rng: np.random.Generator) -> None:
    probe = chain_probe(*CHAINS[what], rng)
    for at_end in (True, False):
        probe.compare(Mirror(Device()), at_end=at_end)


def test_a_kernel_that_is_wrong_is_noticed(rng: np.random.Generator) -> None:
    probe = next(probes("cas=0.5", CASES[0], (83, 45), rng))
    other = replace(probe, expected=tuple(plane ^ 32 for plane in probe.expected))
    with pytest.raises(AssertionError, match="cas"):
        other.compare(Mirror(Device()), at_end=True)
