"""Encoding with NVENC through PyNvVideoCodec, and all that a container needs to know beside its packets."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import av
import numpy as np

from kernels.errors import OutputError, UnavailableError
from kernels.io.bare_stream import add_bare_stream
from kernels.io.capabilities import chroma_of
from kernels.io.encode import check_size
from kernels.io.nvcaps import DEVICE, encoder_problem, first_line, load
from kernels.io.nvcontext import balanced
from kernels.io.nvenc_options import nvenc_options
from kernels.io.signal import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from av import Packet
    from av.container import OutputContainer
    from av.video.stream import VideoStream

    from kernels.frame import Frame, VideoFormat
    from kernels.io.capabilities import EncoderCaps
    from kernels.io.encode import EncodeSettings

FALLBACK_RATE: Final = Fraction(25)
"""Told to the encoder when the input has no rate: it only steers rate control, times stay exact."""
_IDR: Final = 3
"""NV_ENC_PIC_TYPE of a keyframe that nothing refers across."""


class Memory(Protocol):
    """Where frames are put together as NVENC takes them: one array of luma rows and chroma rows."""

    on_device: bool
    stream: int | None
    """CUDA stream that the encoder reads on, as a number; None where it reads host memory."""
    reader: Any
    """The same as CuPy has it: what planes must be ready for."""

    def surface(self, frame: Frame) -> Any:
        """`frame` as one array, which lasts until the next one."""
        ...

    def taken(self, frame: Frame | None) -> None:
        """The encoder has been given the surface of `frame`, which lives until nobody reads it any more; None: the end.

        Returns once nobody reads the frame before it.
        """
        ...


class HostMemory:
    """Surfaces in NumPy arrays, uploaded by the encoder. Planes may lie anywhere that NumPy can read."""

    on_device: bool = False
    stream: int | None = None
    reader: Any = None

    def __init__(self) -> None:
        self._block: Any = None

    def surface(self, frame: Frame) -> Any:
        if self._block is None:
            self._block = np.empty(surface_shape(frame.format), frame.format.pixel_format.dtype)
        pack(frame, self._block, np.left_shift)
        return self._block.view(np.uint8)  # PyNvVideoCodec would convert wider samples, losing their upper halves

    def taken(self, frame: Frame | None) -> None:
        pass


class DeviceMemory:
    """Surfaces on the GPU, from planes that are ready for what is queued on `reader`, a stream of this object's own.

    The encoder copies them on the stream it was given, and does not wait for that. Nor is it waited for here: the frame
    is kept until the next one is there, by when it has usually been read.

    `cupy` is the module; anything with its arrays and streams does.
    """

    on_device: bool = True

    def __init__(self, cupy: Any, stream: Any) -> None:
        self._cupy = cupy
        self._stream = stream
        self._block: Any = None
        self._reading: tuple[Any, Frame] | None = None
        """The last frame, and the event after which nobody reads it."""
        self._spare: Any = None
        """An event that nobody looks at any more."""
        self.stream: int | None = stream.ptr
        self.reader = stream

    @classmethod
    def on_gpu(cls) -> DeviceMemory:
        """With a stream of its own on the current device."""
        import cupy

        return cls(cupy, cupy.cuda.Stream(non_blocking=True))

    def surface(self, frame: Frame) -> Any:
        pitch = common_pitch(frame)
        if pitch is not None:
            itemsize = frame.planes[0].itemsize
            as_strided = self._cupy.lib.stride_tricks.as_strided
            return _OnDevice(as_strided(frame.planes[0], surface_shape(frame.format), (pitch, itemsize)))
        with self._stream:
            if self._block is None:
                self._block = self._cupy.empty(surface_shape(frame.format), frame.format.pixel_format.dtype)
            pack(frame, self._block, self._cupy.left_shift)
        return _OnDevice(self._block)

    def taken(self, frame: Frame | None) -> None:
        before = self._reading
        self._reading = None
        if frame is not None:
            event = self._spare or self._cupy.cuda.Event(block=True, disable_timing=True)
            event.record(self._stream)
            self._reading = event, frame
        if before is not None:
            before[0].synchronize()
            self._spare = before[0]


class _OnDevice:
    """What PyNvVideoCodec recognises as an array on the GPU; it names the stream by position, CuPy by keyword alone."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def cuda(self) -> Self:
        return self

    def __dlpack__(self, stream: int | None = None) -> Any:
        return self._array.__dlpack__(stream=stream)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


def surface_shape(format_: VideoFormat) -> tuple[int, int]:
    """(rows, columns) of a surface: luma, then chroma, interleaved but for 4:4:4."""
    rows = 3 * format_.height if chroma_of(format_.pixel_format) == "444" else format_.height * 3 // 2
    return rows, format_.width


def common_pitch(frame: Frame) -> int | None:
    """Bytes from row to row where the planes of `frame` are those of one surface already; None where they are not."""
    if _missing_shift(frame.format):
        return None
    y, u, v = frame.planes
    pitch, itemsize = y.strides[0], y.itemsize
    if chroma_of(frame.format.pixel_format) == "444":
        offsets, strides = (pitch * frame.height, 2 * pitch * frame.height), (pitch, itemsize)
    else:
        offsets = (pitch * frame.height, pitch * frame.height + itemsize)
        strides = (pitch, 2 * itemsize)
    places = tuple(_address(plane) - _address(y) for plane in (u, v))
    lies = places == offsets and u.strides == v.strides == strides and y.strides[1] == itemsize
    return pitch if lies else None


def _address(plane: Any) -> int:
    pointer = getattr(plane.data, "ptr", None)  # of CuPy's, whose interface would be a dictionary made anew
    return int(plane.__array_interface__["data"][0] if pointer is None else pointer)


def pack(frame: Frame, block: Any, left_shift: Any) -> None:
    """Write the planes of `frame` into `block`, by `left_shift` to the top of 16 bits if deep codes are not there."""
    y, u, v = frame.planes
    height, shift = frame.height, _missing_shift(frame.format)
    if chroma_of(frame.format.pixel_format) == "444":
        targets = tuple(block[i * height : (i + 1) * height] for i in range(3))
    else:
        targets = block[:height], block[height:, 0::2], block[height:, 1::2]
    for plane, target in zip((y, u, v), targets, strict=True):
        if shift:
            left_shift(plane, shift, out=target)
        else:
            target[...] = plane


def _missing_shift(format_: VideoFormat) -> int:
    """Bits that samples have to go up to be a surface's."""
    pixel = format_.pixel_format
    return pixel.as_surface().shift - pixel.shift


class NvEncoder:
    """Encodes frames of `format_`; timestamps keep the input's time base. `attach` it to a container first.

    Packets come with times, and the stream with parameter sets, colours and HDR10 metadata, as from the software
    encoders. Raises `UnavailableError` when NVENC cannot be opened or fails, `FormatError` for a size it cannot take,
    `OutputError` when frames go in that never come out.
    """

    stream: VideoStream

    def __init__(
        self,
        settings: EncodeSettings,
        format_: VideoFormat,
        *,
        time_base: Fraction,
        side_data: Mapping[str, bytes],
        caps: EncoderCaps,
        memory: Memory,
    ) -> None:
        check_size(settings, format_)
        self.warnings: tuple[str, ...] = ()
        self.options = nvenc_options(settings, format_, caps, fallback_rate=FALLBACK_RATE)
        self._format = format_
        self._time_base = time_base
        self._memory = memory
        self._signal = Signal(settings.codec, format_, side_data)
        self._times: dict[int, tuple[int, int]] = {}
        self._order = _DecodeTimes(self.options.reorder_frames)
        self._count = 0
        self._encoder = self._open()

    def _open(self) -> Any:
        arguments: dict[str, Any] = {**self.options.arguments(), "gpu_id": DEVICE}
        if self._memory.stream is not None:
            arguments["cudastream"] = self._memory.stream
        try:
            nvc = load()
            with balanced():
                return nvc.CreateEncoder(
                    self._format.width,
                    self._format.height,
                    self.options.surface,
                    not self._memory.on_device,
                    **arguments,
                )
        except UnavailableError:
            raise
        except Exception as error:  # PyNvVideoCodec's own two classes and RuntimeError have no common root
            raise UnavailableError(encoder_problem(error)) from error

    def attach(self, container: OutputContainer) -> None:
        """Add the stream to `container`: its headers are known before the first packet."""
        headers = self._signal.tag(bytes(self._encoder.GetSequenceParams()))
        self.stream = add_bare_stream(container, self.options.codec, headers, self._format, time_base=self._time_base)

    def encode(self, frame: Frame) -> Iterator[Packet]:
        self._times[self._count] = (frame.pts, frame.duration)
        self._order.submit(frame.pts, frame.duration or self._usual_duration())
        self._count += 1
        return self._packets(lambda: self._taken(frame))

    def _taken(self, frame: Frame) -> Any:
        """What comes out as `frame` goes in."""
        outputs = self._encoder.Encode(self._memory.surface(frame))
        self._memory.taken(frame)
        return outputs

    def _ended(self) -> Any:
        outputs = self._encoder.EndEncode()
        self._memory.taken(None)
        return outputs

    def flush(self) -> Iterator[Packet]:
        yield from self._packets(self._ended)
        if self._times:
            raise OutputError(f"NVENC never gave back {len(self._times)} of {self._count} frames; use --backend cpu")

    def _usual_duration(self) -> int:
        """Ticks of a frame, as far as the rate tells."""
        return max(1, round(1 / (self._format.frame_rate or FALLBACK_RATE) / self._time_base))

    def _packets(self, work: Any) -> Iterator[Packet]:
        try:
            outputs = work()
        except Exception as error:  # PyNvVideoCodec's and CuPy's classes have no common root
            raise UnavailableError(f"NVENC fails: {first_line(error)}; use --backend cpu") from error
        return map(self._packet, outputs)

    def _packet(self, output: Mapping[str, Any]) -> Packet:
        number = output["timestamp"]  # PyNvVideoCodec counts what it is given
        pts, duration = self._times.pop(number)
        is_keyframe = number == 0 or output["picture_type"] == _IDR
        packet = av.Packet(self._signal.write(output["data"], is_keyframe=is_keyframe))
        packet.pts, packet.dts, packet.duration = pts, self._order.take(pts), duration
        packet.time_base = self._time_base
        packet.is_keyframe = is_keyframe
        return packet


class _DecodeTimes:
    """Decode times for packets out of order: those of the frames themselves, some places late.

    Packet k is decoded at the time of frame k - reorder; the first ones as if frames of the first one's length
    had come before it. Holds for any spacing of frames.
    """

    def __init__(self, reorder_frames: int) -> None:
        self._reorder = reorder_frames
        self._waiting: deque[int] = deque()
        self._taken = 0

    def submit(self, pts: int, duration: int) -> None:
        """The next frame in order of time."""
        if not self._taken and not self._waiting:
            self._waiting.extend(pts - i * duration for i in range(self._reorder, 0, -1))
        self._waiting.append(pts)

    def take(self, pts: int) -> int:
        """Decode time of the next packet. Raises `OutputError` when that lies after its `pts`."""
        dts = self._waiting.popleft()
        self._taken += 1
        if dts > pts:
            raise OutputError(f"NVENC reorders frames by more than {self._reorder} places; use --backend cpu")
        return dts
