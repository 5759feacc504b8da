"""`kernels.launch.Engine` on this machine's CPU, under the strict rules of `module.py`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.cubins import INCLUDE, source_of
from tests.kernels.cuda.memory import guarded, reserve
from tests.kernels.cuda.module import Module

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.launch import Kernel
    from tests.kernels.cuda.module import Function


def options_of(kernel: Kernel) -> tuple[str, ...]:
    """What g++ is told of `kernel`."""
    return (f"-I{INCLUDE}", *(f"-D{name}={value}" for name, value in kernel.defines))


class StrictEngine:
    """Runs launches at once. `order` is that of the threads in a block; arrays lie `at_end` of their memory or not."""

    def __init__(self, *, order: int = 0, at_end: bool = True) -> None:
        self.order = order
        self._at_end = at_end

    def load(self, kernel: Kernel) -> Function:
        return _module(source_of(kernel), options_of(kernel)).get_function(kernel.entry)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Noise."""
        return reserve(int(np.prod(shape)), dtype, at_end=self._at_end).reshape(shape)

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """A copy that kernels can only read."""
        return guarded(array.reshape(-1), at_end=self._at_end).reshape(array.shape)

    def download(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.copy()

    def launch(
        self,
        function: Function,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
    ) -> None:
        """Run `function`. Raises `LaunchError`."""
        function(grid, block, arguments, shared_mem=shared_bytes, order=self.order)


@cache
def _module(code: str, options: tuple[str, ...]) -> Module:
    return Module(code, options)
