"""CuPy, as far as decoder and encoder use it, on a driver whose device memory is the host's."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

WIDE = ("P016", "P216", "YUV444_16Bit")
CUDA = (2, 0)
"""DLPack's device type and number."""
LEGACY_STREAM: Final = 1
"""DLPack's number of the stream that CUDA calls 0."""
ALIGNMENT_BYTES: Final = 512
"""Of what CUDA allocates, and CuPy."""


class DLTensor(ctypes.Structure):
    """`DLTensor` of dlpack.h."""

    _fields_ = (
        ("data", ctypes.c_uint64),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class DLManagedTensor(ctypes.Structure):
    """As far as this reads it."""

    _fields_ = (("dl_tensor", DLTensor),)


_pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_in.restype, _pointer_in.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


class DeviceArray(np.ndarray[Any, np.dtype[Any]]):
    """An array that says it lies on the device."""

    def get(self) -> np.ndarray[Any, np.dtype[Any]]:
        return np.array(self)

    def __dlpack_device__(self) -> tuple[Any, Any]:
        return CUDA

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        assert stream is not None
        return np.ndarray.__dlpack__(self.view(np.ndarray))


@dataclass(frozen=True, slots=True)
class Pointer:
    """An address, and what keeps the memory there."""

    ptr: int
    kept: Any

    def __add__(self, offset_bytes: int) -> Pointer:
        return Pointer(self.ptr + offset_bytes, self.kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What is known of a surface that came through DLPack."""

    shape: tuple[int, int]
    strides: tuple[int, int]
    dtype: np.dtype[Any]
    data: Pointer

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize


class HostCupy:
    """Everything is done at once; `cuda` is the submodule."""

    class Stream:
        ptr = 0

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    @staticmethod
    def from_dlpack(exported: Any) -> Any:
        assert exported.__dlpack_device__() == CUDA, "a surface on the device was asked for"
        capsule = exported.__dlpack__(stream=LEGACY_STREAM, max_version=(1, 0), dl_device=None, copy=None)
        tensor = DLManagedTensor.from_address(_pointer_in(capsule, b"dltensor")).dl_tensor
        dtype = np.dtype(f"u{tensor.bits // 8}")
        shape = tensor.shape[0], tensor.shape[1]
        strides = tensor.strides[0] * dtype.itemsize, tensor.strides[1] * dtype.itemsize
        data = Pointer(tensor.data + tensor.byte_offset, capsule)
        return Exported(shape=shape, strides=strides, dtype=dtype, data=data)

    @staticmethod
    def ndarray(shape: tuple[int, ...], dtype: Any, memptr: Pointer, strides: tuple[int, ...]) -> Any:
        size = sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True)) + np.dtype(dtype).itemsize
        memory = (ctypes.c_uint8 * size).from_address(memptr.ptr)
        memory.kept = memptr.kept  # as long as the array lives
        return np.ndarray(shape, dtype, memory, 0, strides).view(DeviceArray)

    @staticmethod
    def empty(shape: tuple[int, ...], dtype: Any) -> Any:
        return np.empty(shape, dtype).view(DeviceArray)

    @staticmethod
    def left_shift(array: Any, bits: int, out: Any) -> None:
        np.left_shift(array, bits, out=out)

    class cuda:  # noqa: N801 - as CuPy calls it
        @staticmethod
        def alloc(size_bytes: int) -> Pointer:
            memory = np.empty(size_bytes + ALIGNMENT_BYTES, np.uint8)
            return Pointer(-(-memory.ctypes.data // ALIGNMENT_BYTES) * ALIGNMENT_BYTES, memory)

        class runtime:  # noqa: N801 - as CuPy calls it
            @staticmethod
            def memcpy2DAsync(  # noqa: N802 - as CUDA calls it
                target: int, target_pitch: int, source: int, pitch: int, width: int, height: int, kind: int, stream: int
            ) -> None:
                assert (kind, stream) == (3, HostCupy.Stream.ptr)
                assert width <= min(target_pitch, pitch)
                for row in range(height):
                    ctypes.memmove(target + row * target_pitch, source + row * pitch, width)

        class Event:
            pending = 0
            """Recorded, and not waited for."""

            def __init__(self, *, block: bool, disable_timing: bool) -> None:
                assert block
                assert disable_timing

            def record(self, stream: HostCupy.Stream) -> None:
                assert isinstance(stream, HostCupy.Stream)
                HostCupy.cuda.Event.pending += 1

            def synchronize(self) -> None:
                HostCupy.cuda.Event.pending -= 1
                assert HostCupy.cuda.Event.pending in (0, 1), "a frame is kept until the next one, and no longer"

    class lib:  # noqa: N801 - as CuPy calls it
        class stride_tricks:  # noqa: N801 - as CuPy calls it
            @staticmethod
            def as_strided(array: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Any:
                HostCupy.shared += 1
                return np.lib.stride_tricks.as_strided(array, shape, strides).view(DeviceArray)

    shared = 0
    """Surfaces made of planes where they lay."""


class FullCupy(HostCupy):
    """A device whose memory others take after a block of frames, and which has none for an encoder's."""

    room = 1

    class cuda(HostCupy.cuda):  # noqa: N801 - as CuPy calls it
        @staticmethod
        def alloc(size_bytes: int) -> Pointer:
            if not FullCupy.room:
                raise MemoryError(f"Out of memory allocating {size_bytes:,} bytes")
            FullCupy.room -= 1
            return HostCupy.cuda.alloc(size_bytes)

    @staticmethod
    def empty(shape: tuple[int, ...], dtype: Any) -> Any:
        raise MemoryError(f"Out of memory allocating {np.prod(shape) * np.dtype(dtype).itemsize} bytes")
