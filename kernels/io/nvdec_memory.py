"""Where NVDEC's frames go: copied out of its surfaces into memory of their own, on the host or on the GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from kernels.device_plan import shared_frames
from kernels.io.capabilities import chroma_of
from kernels.surface import row_bytes

if TYPE_CHECKING:
    from kernels.frame import Plane, VideoFormat
    from kernels.pixel_format import PixelFormat

_Place = tuple[int, tuple[int, int], tuple[int, int]]
"""Of a plane in a surface: offset in bytes, (rows, columns), strides in bytes."""
_DEVICE_TO_DEVICE: Final = 3  # cudaMemcpyDeviceToDevice


class Memory(Protocol):
    """Where decoded frames go: copied out of a surface, which the decoder fills again at its next call."""

    on_device: bool
    """Whether the decoder is to leave its surfaces on the device."""
    stream: int
    """CUDA stream that decoder and copies share, as a number; 0 is the default one."""

    def stored(self, pixel: PixelFormat) -> PixelFormat:
        """How planes hold the samples of `pixel`."""
        ...

    def planes(self, surface: Any, format_: VideoFormat) -> tuple[Plane, ...]:
        """Planes of their own, with samples as `format_` has them, which is `stored`; complete when this returns."""
        ...


class HostMemory:
    """NumPy planes, each contiguous, codes in the low bits: the copy that takes planes apart brings them there."""

    on_device = False
    stream = 0

    def stored(self, pixel: PixelFormat) -> PixelFormat:
        return pixel.codes()

    def planes(self, surface: Any, format_: VideoFormat) -> tuple[Plane, ...]:
        views = surface_planes(np.from_dlpack(surface), format_)
        shift = format_.pixel_format.as_surface().shift
        return tuple(view >> shift if shift else view.copy() for view in views)


class _Exported:
    """A surface as CuPy asks for one.

    Beside the stream CuPy passes what PyNvVideoCodec answers with a `TypeError`, and asks again: 25 us a frame.
    """

    __slots__ = ("_surface",)

    def __init__(self, surface: Any) -> None:
        self._surface = surface

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        return self._surface.__dlpack__(stream=stream)

    def __dlpack_device__(self) -> Any:
        return self._surface.__dlpack_device__()


class DeviceMemory:
    """Planes on the GPU as the surface has them: chroma interleaved, codes of more than 8 bits at the top of 16.

    Rows begin where kernels can load long words. Small frames follow each other in one block, so that launches take
    several; it is used again when nobody holds any of them.

    `cupy` is the module; anything with its `from_dlpack`, `ndarray` and `cuda` does. `stream` is one of its streams.
    """

    on_device = True

    def __init__(self, cupy: Any, stream: Any) -> None:
        self._cupy = cupy
        self._stream = stream
        self.stream: int = stream.ptr
        self._copied: Any = None
        self._form: tuple[Any, ...] = ()
        """Format, shape and type of the surfaces that the next four are for."""
        self._places: tuple[_Place, ...] = ()
        self._pitch_bytes = self._frame_bytes = 0
        self._block: Any = None
        self._left = 0
        """Frames that there is room for at `_block`."""

    @classmethod
    def on_gpu(cls) -> DeviceMemory:
        """With a stream of its own on the current device."""
        import cupy

        return cls(cupy, cupy.cuda.Stream(non_blocking=True))

    def stored(self, pixel: PixelFormat) -> PixelFormat:
        return pixel.as_surface()

    def planes(self, surface: Any, format_: VideoFormat) -> tuple[Plane, ...]:
        cupy, stream = self._cupy, self._stream
        with stream:
            given = cupy.from_dlpack(_Exported(surface))
            form = format_, given.shape, given.dtype
            if form != self._form:
                self._arrange(*form)
            if not self._left:
                self._left = shared_frames(format_)
                self._block = cupy.cuda.alloc(self._left * self._frame_bytes)
        own = self._block
        rows, columns = given.shape
        cupy.cuda.runtime.memcpy2DAsync(
            own.ptr,
            self._pitch_bytes,
            given.data.ptr,
            given.strides[0],
            columns * given.itemsize,
            rows,
            _DEVICE_TO_DEVICE,
            self.stream,
        )
        if self._copied is None:
            # A thread that waits for it sleeps: the cores are needed by encoders.
            self._copied = cupy.cuda.Event(block=True, disable_timing=True)
        self._copied.record(stream)
        self._left -= 1
        self._block = own + self._frame_bytes if self._left else None
        dtype = given.dtype
        planes = tuple([cupy.ndarray(shape, dtype, own + offset, strides) for offset, shape, strides in self._places])
        self._copied.synchronize()  # the surface is filled again at the next call, and others read on other streams
        return planes

    def _arrange(self, format_: VideoFormat, shape: tuple[int, int], dtype: Any) -> None:
        """Lay out frames for surfaces of that form. Raises `ValueError` for those that cannot hold one."""
        rows, columns = shape
        self._form = format_, shape, dtype
        self._pitch_bytes = row_bytes(columns * dtype.itemsize)
        self._frame_bytes = rows * self._pitch_bytes
        self._places = surface_places(format_, self._pitch_bytes, dtype.itemsize)
        self._left = 0
        for offset, (height, _), _ in self._places:
            if offset // self._pitch_bytes + height > rows or format_.width > columns:
                raise ValueError(f"{columns} columns and {rows} rows for {format_}")


class DownloadMemory:
    """NumPy planes of frames that a decoder leaves on the device."""

    on_device = True

    def __init__(self, device: Memory) -> None:
        self._device = device
        self.stream = device.stream

    def stored(self, pixel: PixelFormat) -> PixelFormat:
        return self._device.stored(pixel)  # frames before the move have said so already

    def planes(self, surface: Any, format_: VideoFormat) -> tuple[Plane, ...]:
        planes: tuple[Any, ...] = self._device.planes(surface, format_)
        return tuple(plane.get() for plane in planes)


def surface_places(format_: VideoFormat, pitch_bytes: int, itemsize: int) -> tuple[_Place, ...]:
    """Where `surface_planes` finds the planes, in a surface whose rows begin every `pitch_bytes`."""
    (height, width), (rows, columns) = format_.plane_size(0), format_.plane_size(1)
    luma = height * pitch_bytes
    if chroma_of(format_.pixel_format) == "444":
        return tuple((i * luma, (height, width), (pitch_bytes, itemsize)) for i in range(3))
    pair = ((rows, columns), (pitch_bytes, 2 * itemsize))
    return (0, (height, width), (pitch_bytes, itemsize)), (luma, *pair), (luma + itemsize, *pair)


def surface_planes(block: Any, format_: VideoFormat) -> tuple[Plane, ...]:
    """Views of the planes in a surface: luma rows, then chroma, interleaved but for 4:4:4; widths made even."""
    (height, width), (rows, columns) = format_.plane_size(0), format_.plane_size(1)
    if chroma_of(format_.pixel_format) == "444":
        return tuple(block[i * height : (i + 1) * height, :width] for i in range(3))
    chroma = block[height : height + rows]
    return block[:height, :width], chroma[:, 0 : 2 * columns : 2], chroma[:, 1 : 2 * columns : 2]
