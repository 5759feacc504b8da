"""Buffers return to the pool when nobody can see them any more, and not before."""

from __future__ import annotations

import gc

import numpy as np

from kernels.buffers import BufferPool

BYTE = np.dtype(np.uint8)


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_a_dropped_buffer_is_used_again() -> None:
    pool = BufferPool()
    first = pool.empty((10, 20), BYTE)
    place = address(first)
    del first
    gc.collect()
    assert address(pool.empty((20, 10), BYTE)) == place


def test_views_and_capsules_keep_it() -> None:
    pool = BufferPool()
    array = pool.empty((10, 20), BYTE)
    place = address(array)
    view = array[3:, ::2]
    capsule = np.from_dlpack(array)
    del array
    gc.collect()
    assert address(pool.empty((10, 20), BYTE)) != place
    del view
    gc.collect()
    assert address(pool.empty((10, 20), BYTE)) != place
    del capsule
    gc.collect()
    spare = [pool.empty((10, 20), BYTE) for _ in range(3)]
    assert place in map(address, spare)


def test_shape_and_type() -> None:
    array = BufferPool().empty((3, 5), np.dtype(np.uint16))
    assert array.shape == (3, 5)
    assert array.dtype == np.uint16
    assert array.flags.c_contiguous
    assert array.flags.writeable
