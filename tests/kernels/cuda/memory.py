"""Arrays between pages that nothing may touch: an access outside one is a fault, not a wrong value."""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NOTHING, _READ, _READ_AND_WRITE = 0, 1, 3


def reserve(count: int, dtype: Any, *, at_end: bool = True) -> NDArray[Any]:
    """`count` elements of noise that lie against the page after them (`at_end`) or before them."""
    page, size = mmap.PAGESIZE, np.dtype(dtype).itemsize * count
    inner = max(-(-size // page) * page, page)
    memory = mmap.mmap(-1, inner + 2 * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    flat = np.frombuffer(memory, dtype, count, page + (inner - size if at_end else 0))
    flat.view(np.uint8)[:] = np.arange(size, dtype=np.uint32) * 167 >> 3 & 0xFF
    _protect(base, page, _NOTHING)
    _protect(base + page + inner, page, _NOTHING)
    return flat


def freeze(flat: NDArray[Any]) -> None:
    """Make writing to the array from `reserve` a fault."""
    page, start = mmap.PAGESIZE, flat.ctypes.data
    first = start // page * page
    _protect(first, max(-(-(start + flat.nbytes - first) // page) * page, page), _READ)
    flat.flags.writeable = False


def guarded(
    array: NDArray[Any], *, pitch: int = 0, step: int = 1, at_end: bool = True, writeable: bool = False
) -> NDArray[Any]:
    """A copy of the (rows, columns) or flat `array` in memory from `reserve`.

    Rows lie `pitch` elements apart and columns `step`; what lies between belongs to no picture.
    """
    rows, columns = array.shape if array.ndim == 2 else (1, array.size)
    pitch = pitch or columns * step
    flat = reserve((rows - 1) * pitch + (columns - 1) * step + 1 if array.size else 0, array.dtype, at_end=at_end)
    strides = (pitch * array.itemsize, step * array.itemsize)
    view = np.lib.stride_tricks.as_strided(flat, (rows, columns), strides)
    view[...] = array.reshape(rows, columns)
    if not writeable:
        freeze(flat)
        view.flags.writeable = False
    return view if array.ndim == 2 else view[0]


def _protect(start: int, size: int, access: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(size), access):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
