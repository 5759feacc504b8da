"""CuPy, as far as decoder and encoder use it, on a driver whose device memory is the host's."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

WIDE = ("P016", "P216", "YUV444_16Bit")
CUDA = (2, 0)
"""DLPack's device type and number."""


class DeviceArray(np.ndarray[Any, np.dtype[Any]]):
    """An array that says it lies on the device."""

    def get(self) -> np.ndarray[Any, np.dtype[Any]]:
        return np.array(self)

    def __dlpack_device__(self) -> tuple[Any, Any]:
        return CUDA

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        assert stream is not None
        return np.ndarray.__dlpack__(self.view(np.ndarray))


class HostCupy:
    """Everything is done at once; `cuda` is the submodule."""

    class Stream:
        ptr = 0

        def record(self) -> object:
            return self

        def wait_event(self, event: object) -> None:
            assert isinstance(event, HostCupy.Stream)

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

        def synchronize(self) -> None:
            pass

    @staticmethod
    def from_dlpack(surface: Any) -> Any:
        assert surface.__dlpack_device__() == CUDA, "a surface on the device was asked for"
        sample = ctypes.c_uint16 if surface.format.name in WIDE else ctypes.c_uint8
        pointer = ctypes.cast(surface.GetPtrToPlane(0), ctypes.POINTER(sample))
        return np.ctypeslib.as_array(pointer, tuple(surface.shape)).view(DeviceArray)

    @staticmethod
    def empty(shape: tuple[int, ...], dtype: Any) -> Any:
        return np.empty(shape, dtype).view(DeviceArray)

    @staticmethod
    def left_shift(array: Any, bits: int, out: Any) -> None:
        np.left_shift(array, bits, out=out)

    class cuda:  # noqa: N801 - as CuPy calls it
        @staticmethod
        def get_current_stream() -> HostCupy.Stream:
            return HostCupy.Stream()

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
    """A device whose memory others take after some frames, and which has none for an encoder's."""

    room = 5

    @staticmethod
    def from_dlpack(surface: Any) -> Any:
        if not FullCupy.room:
            raise MemoryError("Out of memory allocating 4,608 bytes")
        FullCupy.room -= 1
        return HostCupy.from_dlpack(surface)

    @staticmethod
    def empty(shape: tuple[int, ...], dtype: Any) -> Any:
        raise MemoryError(f"Out of memory allocating {np.prod(shape) * np.dtype(dtype).itemsize} bytes")
