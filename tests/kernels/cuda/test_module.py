"""The shim finds what a GPU would hide: checked on kernels with one fault each."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.kernels.cuda.memory import guarded
from tests.kernels.cuda.module import ORDERS, LaunchError, Module

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

pytestmark = pytest.mark.usefixtures("compiler")

ONE = np.int32(1)
SOURCE = """
extern "C" __global__ void __launch_bounds__(64) reverse(const unsigned char *source,
                                                             unsigned char *target, int count) {
    __shared__ int kept[64];
    kept[threadIdx.x] = source[threadIdx.x];
    __syncthreads();
    target[threadIdx.x] = kept[63 - threadIdx.x];
}
extern "C" __global__ void hasty(const unsigned char *source, unsigned char *target, int count) {
    __shared__ int kept[64];
    kept[threadIdx.x] = source[threadIdx.x];
    target[threadIdx.x] = kept[63 - threadIdx.x] & 255;
}
extern "C" __global__ void reader(const unsigned char *source, unsigned char *target, int count) {
    target[threadIdx.x] = source[threadIdx.x + count];
}
extern "C" __global__ void writer(const unsigned char *source, unsigned char *target, int count) {
    target[(int)threadIdx.x + count] = source[threadIdx.x];
}
extern "C" __global__ void leaver(const unsigned char *source, unsigned char *target, int count) {
    if (threadIdx.x < count) {
        return;
    }
    __syncthreads();
}
extern "C" __global__ void parter(const unsigned char *source, unsigned char *target, int count) {
    if (threadIdx.x < count) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
extern "C" __global__ void overstepper(const unsigned char *source, unsigned char *target, int count) {
    __shared__ int kept[64];
    kept[threadIdx.x + count] = 1;
    __syncthreads();
    target[threadIdx.x] = kept[threadIdx.x];
}
extern "C" __global__ void gatherer(const unsigned char *source, unsigned char *target, int count) {
    const uchar4 four = ((const uchar4 *)(source + count))[0];
    target[threadIdx.x] = four.x;
}
extern "C" __global__ void taker(const unsigned short *source, unsigned char *target, int count) {}
extern "C" __global__ void reckoner(const float *source, float *target) {
    const float x = source[threadIdx.x];
    target[threadIdx.x] = __fdividef(3.0f, x);
    target[threadIdx.x + 64] = rsqrtf(x);
    target[threadIdx.x + 128] = exp2f(-x);
    target[threadIdx.x + 192] = x * 1e-20f * 1e-20f;
}
"""


@cache
def module() -> Module:
    return Module(SOURCE)


@pytest.fixture
def run(rng: np.random.Generator) -> Callable[..., tuple[NDArray[Any], NDArray[Any]]]:
    def call(name: str, count: Any = ONE, *, order: int = 0, at_end: bool = True) -> tuple[Any, Any]:
        source = guarded(rng.integers(0, 256, 64).astype(np.uint8), at_end=at_end)
        target = guarded(np.zeros(64, np.uint8), at_end=at_end, writeable=True)
        module().get_function(name)((1,), (64,), (source, target, count), order=order)
        return source, target

    return call


@pytest.mark.parametrize("order", ORDERS)
def test_right_kernel_passes(run: Any, order: int) -> None:
    source, target = run("reverse", order=order)
    assert np.array_equal(target, source[::-1])


@pytest.mark.parametrize("order", ORDERS)
def test_missing_barrier_gives_a_wrong_picture(run: Any, order: int) -> None:
    source, target = run("hasty", order=order)
    assert not np.array_equal(target, source[::-1])


@pytest.mark.parametrize(
    ("name", "count", "at_end", "what"),
    [
        ("reader", 1, True, "outside an array in block .0, 0, 0., thread .63, 0, 0."),
        ("reader", -1, False, "outside an array"),
        ("writer", 1, True, "outside an array"),
        ("writer", -1, False, "outside an array"),
        ("leaver", 1, True, "left while others wait at line"),
        ("parter", 1, True, "different barriers"),
        ("overstepper", 1, True, "undefined behaviour"),
        ("gatherer", 1, True, "undefined behaviour"),
    ],
)
def test_fault_is_found(run: Any, name: str, count: int, at_end: bool, what: str) -> None:  # noqa: FBT001 - a parameter
    with pytest.raises(LaunchError, match=what):
        run(name, np.int32(count), at_end=at_end)


def test_arguments_have_the_kernels_types(run: Any) -> None:
    with pytest.raises(LaunchError, match="argument 2 must be i4, not i8"):
        run("reverse", 1)
    with pytest.raises(LaunchError, match="argument 0 must be Cu2, not Cu1"):
        run("taker")
    source = guarded(np.zeros(64, np.uint8))
    with pytest.raises(LaunchError, match="argument 1 must be Pu1, not Cu1"):
        module().get_function("reverse")((1,), (64,), (source, source, np.int32(0)))
    with pytest.raises(LaunchError, match="takes 3 arguments, not 1"):
        module().get_function("reverse")((1,), (64,), (source,))


def test_launch_that_no_gpu_takes(run: Any) -> None:
    source = guarded(np.zeros(64, np.uint8))
    with pytest.raises(LaunchError, match="cannot run"):
        module().get_function("reverse")((1,), (2048,), (source, source, np.int32(0)))


def test_numbers_are_as_far_off_as_a_gpus_may_be(rng: np.random.Generator) -> None:
    numbers = rng.uniform(1, 16, 64).astype(np.float32)
    found = guarded(np.zeros(256, np.float32), writeable=True)
    module().get_function("reckoner")((1,), (64,), (guarded(numbers), found))
    exact = numbers.astype(float)
    for made, right in zip(found.reshape(4, 64), (3 / exact, exact**-0.5, 2**-exact), strict=False):
        off = (made - right) / np.spacing(right.astype(np.float32))
        assert (np.abs(np.abs(off) - 2) <= 1).all()  # what is right is rounded before, by a step or less
        assert {*np.sign(off)} == {-1, 1}


def test_denormal_numbers_are_nothing_during_a_launch() -> None:
    numbers = np.full(64, 8, np.float32)
    found = guarded(np.ones(256, np.float32), writeable=True)
    module().get_function("reckoner")((1,), (64,), (guarded(numbers), found))
    assert (found[192:] == 0).all()
    assert (numbers * np.float32(1e-20) * np.float32(1e-20) > 0).all(), "only during it"
