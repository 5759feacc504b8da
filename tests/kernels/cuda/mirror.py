"""Probes of the strict engine on a device: their arrays stay in host memory, and each launch sees copies of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.launch import Engine, Kernel

ALIGNED_BYTES: Final = 256
"""Every allocation of a device begins at a multiple of it, as pages do: a copy lies there as its original does here."""


class Mirror:
    """`engine`, whose launches take arrays of host memory, too, and change those that are writeable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self, kernel: Kernel) -> Any:
        return self._engine.load(kernel)

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        return self._engine.empty(shape, dtype)

    def upload(self, array: NDArray[Any]) -> Any:
        return self._engine.upload(array)

    def download(self, array: Any) -> NDArray[Any]:
        return self._engine.download(array)

    def launch(
        self,
        function: Any,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Any],
        shared_bytes: int = 0,
    ) -> None:
        """Run `function` to its end. Arrays that share memory here share it there: those that end at one place."""
        whole: dict[int, NDArray[Any]] = {}
        for array in (a for a in arguments if isinstance(a, np.ndarray)):
            known = whole.setdefault(_end(array), array)
            whole[_end(array)] = max(known, array, key=lambda found: found.nbytes)
        copies = {end: self._engine.upload(_placed(array)) for end, array in whole.items()}
        given = [copies[_end(a)][-a.nbytes :].view(a.dtype) if isinstance(a, np.ndarray) else a for a in arguments]
        self._engine.launch(function, grid, block, given, shared_bytes)
        for end, array in whole.items():
            made = self._engine.download(copies[end])[-array.nbytes :]
            if array.flags.writeable:
                array.view(np.uint8)[...] = made


def _end(array: NDArray[Any]) -> int:
    return array.ctypes.data + array.nbytes


def _placed(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of `array` behind as many others as lie between it and the last multiple of `ALIGNED_BYTES`."""
    lead = np.zeros(array.ctypes.data % ALIGNED_BYTES, np.uint8)
    return np.concatenate([lead, array.view(np.uint8)])
