"""Decoding with NVDEC through PyNvVideoCodec, checked picture by picture against the packets."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np

from kernels.errors import InputError, UnavailableError
from kernels.io.annex_b import Bitstream, sequence_header
from kernels.io.capabilities import chroma_of
from kernels.io.ledger import DiffersError, Ledger
from kernels.io.nvcaps import DEVICE, first_line, load
from kernels.io.nvcontext import balanced
from kernels.io.nvdec_memory import DownloadMemory
from kernels.io.software import SoftwareDecoder
from kernels.io.source import codec_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from av import Packet, VideoFrame

    from kernels.frame import Frame, Plane
    from kernels.io.nvdec_memory import Memory

LOGGER: Final = logging.getLogger(__name__)
_SURFACES: Final = {
    ("420", False): "NV12",
    ("420", True): "P016",
    ("422", False): "NV16",
    ("422", True): "P216",
    ("444", False): "YUV444",
    ("444", True): "YUV444_16Bit",
}
"""(chroma, more than 8 bits) -> PyNvVideoCodec's name of the surface; 16-bit samples have their code at the top."""


class NvDecoder(SoftwareDecoder):
    """Decodes with NVDEC; see `kernels.io.decode.Decoder`.

    Software decodes the first picture as well, which tells the format, the colours and the HDR metadata. Every
    picture must then be that of a packet, in the order of their times. At the first one that is not, or when NVDEC
    fails or the stream changes, software takes over: from the last keyframe on, and for the rest of the input, so
    that no frame is lost or doubled, and with samples stored as before. With `insist` that is an `UnavailableError`
    instead.
    """

    def __init__(self, *args: Any, memory: Memory, insist: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._codec = codec_name(self._source.video)
        self._bitstream = Bitstream(self._codec, bytes(self._source.video.codec_context.extradata or b""))
        self._memory = memory
        self._insist = insist
        self._ledger = Ledger()
        self._held: list[Packet] = []
        self._nvc: Any = None
        self._decoder: Any = None
        self._sequence = b""
        self._first_pts: int | None = None
        self._problem = ""
        self._resume_after: int | None = None
        self._shown_until = -math.inf

    def to_host(self) -> None:
        """Give frames in host memory from now on."""
        if self._memory.on_device:
            self._memory = DownloadMemory(self._memory)

    def warnings(self) -> tuple[str, ...]:
        found = super().warnings()
        return (*found, f"software decoded instead of NVDEC: {self._problem}") if self._problem else found

    def _decode(self, packet: Packet | None) -> Iterator[Frame]:
        if self._problem:
            yield from super()._decode(packet)
            return
        self._expect(packet)
        try:
            yield from self._decode_on_device(packet)
        except DiffersError as error:
            yield from self._take_over(str(error), is_last=packet is None)

    def _decode_on_device(self, packet: Packet | None) -> Iterator[Frame]:
        if packet is not None:
            self._ledger.fed(packet, is_wanted=self._is_wanted(packet))
        if self._decoder is None:
            self._held += [packet] if packet is not None else []
            if not self._scout(packet):
                return
            self._open()
            for held in self._held:
                yield from self._show(self._push(held))
            self._held.clear()
        elif packet is not None:
            yield from self._show(self._push(packet))
        if packet is None and not self._done:
            while surfaces := self._push(None):
                yield from self._show(surfaces)
            if not self._done:
                self._ledger.ended()

    def _is_wanted(self, packet: Packet) -> bool:
        """Whether losing its picture would lose a frame: software shows none before its own first."""
        if packet.pts is None or self._ticks.is_before(packet.pts):
            return False
        return self._first_pts is None or packet.pts >= self._first_pts

    def _scout(self, packet: Packet | None) -> bool:
        """Decode in software until the first picture is known; whether it is. Raises `DiffersError` on damage."""
        context = self._source.video.codec_context
        try:
            frames = context.decode(packet)
        except av.FFmpegError as error:
            raise DiffersError("the beginning is damaged") from error
        if self._log.take() or any(frame.is_corrupt for frame in frames):
            raise DiffersError("the beginning is damaged")
        if not frames:
            if packet is None:
                raise DiffersError("the input has no picture")
            return False
        self._note_first(frames)
        context.flush_buffers()
        return True

    def _note_first(self, frames: Sequence[VideoFrame]) -> None:
        first = frames[0]
        self._adopt(first, (first.width, first.height, first.format.name))
        for frame in frames[:2]:
            self._note_side_data(frame)
        if any(frame.interlaced_frame for frame in frames):
            raise DiffersError("its frames are interlaced")
        self._first_pts = first.pts
        if first.pts is not None:
            self._ledger.ignore_before(first.pts)

    def _adopt(self, frame: VideoFrame, shape: tuple[int, int, str]) -> None:
        super()._adopt(frame, shape)
        if not self._problem:
            assert self._format is not None
            self._format = replace(self._format, pixel_format=self._memory.stored(self._format.pixel_format))

    def _planes_of(self, frame: VideoFrame) -> tuple[Plane, ...]:
        """Planes that software has decoded, stored as those of NVDEC before them."""
        assert self._format is not None
        planes, shift = super()._planes_of(frame), self._format.pixel_format.shift
        return tuple(plane << shift for plane in planes) if shift else planes

    def _open(self) -> None:
        try:
            self._nvc = load()
            with balanced():
                self._decoder = self._nvc.CreateDecoder(
                    gpuid=DEVICE,
                    codec=getattr(self._nvc.cudaVideoCodec, self._codec.upper()),
                    cudastream=self._memory.stream,
                    usedevicememory=self._memory.on_device,
                )
        except Exception as error:  # PyNvVideoCodec's own two classes and RuntimeError have no common root
            raise DiffersError(f"it cannot be opened ({first_line(error)})") from error

    def _push(self, packet: Packet | None) -> Any:
        """What comes out when `packet`, or the end, goes in: surfaces that last until the next call."""
        data = self._nvc.PacketData()
        payload: Any = None  # must live as long as the call
        if packet is not None:
            converted = self._bitstream.convert(bytes(packet), is_keyframe=packet.is_keyframe)
            self._check_sequence(packet, converted)
            payload = np.frombuffer(converted, np.uint8)
            data.bsl, data.bsl_data = payload.size, payload.__array_interface__["data"][0]
            data.pts, data.dts = packet.pts, packet.dts or 0
            data.key, data.discardable = int(packet.is_keyframe), int(packet.is_discard)
        try:
            return self._decoder.Decode(data)
        except Exception as error:  # PyNvVideoCodec's own two classes and RuntimeError have no common root
            raise DiffersError(f"it fails ({first_line(error)})") from error

    def _check_sequence(self, packet: Packet, converted: bytes) -> None:
        """NVDEC would scale pictures of another size to the first one, and say nothing."""
        header = sequence_header(self._codec, converted) if packet.is_keyframe else b""
        if packet.has_sidedata("new_extradata") or (header and self._sequence and header != self._sequence):
            raise DiffersError("the stream changes on the way")
        self._sequence = header or self._sequence

    def _show(self, surfaces: Any) -> Iterator[Frame]:
        assert self._format is not None
        name = _SURFACES[chroma_of(self._format.pixel_format) or "", self._format.pixel_format.depth > 8]
        for surface in surfaces:
            pts = surface.timestamp
            duration = self._ledger.shown(pts)
            if self._done or self._ticks.is_after(pts):
                self._done = True
                return
            if self._ticks.is_before(pts):
                self._last_pts = pts
                continue
            if surface.format.name != name:
                raise DiffersError(f"it gives {surface.format.name} surfaces, not {name}")
            try:
                frame = self._number(self._planes(surface), pts, duration=duration)
            except ValueError as error:
                raise DiffersError(f"its pictures have another size ({error})") from error
            self._last_pts = pts
            yield frame

    def _planes(self, surface: Any) -> tuple[Plane, ...]:
        assert self._format is not None
        try:
            return self._memory.planes(surface, self._format)
        except ValueError:
            raise
        except Exception as error:  # no memory, no device any more: CuPy's classes have no common root
            raise DiffersError(f"its pictures cannot be copied ({first_line(error)})") from error

    def _take_over(self, problem: str, *, is_last: bool) -> Iterator[Frame]:
        """Let software decode again what has not been shown, and all that follows."""
        if self._insist:
            raise UnavailableError(f"NVDEC cannot decode {self._source.name}: {problem}; use --backend cpu")
        LOGGER.info("software decodes %s from frame %d on: %s", self._source.name, self.frames_in, problem)
        self._problem, self._resume_after = problem, self._last_pts
        self._shown_until = -math.inf if self._last_pts is None else self._last_pts
        self._decoder = None
        if not self.frames_in:
            self._shape = None  # nobody knows of another form than software's own
        try:
            packets = self._ledger.packets
        except InputError as error:
            raise InputError(f"{self._source.name}: {error}") from None
        self._ledger = Ledger()
        self._held.clear()
        self._source.video.codec_context.flush_buffers()
        self._log.take()
        for packet in packets:
            if not self._done:
                yield from self._run(packet)
        if is_last and not self._done:
            yield from self._run(None)

    def _is_shown(self, packet: Packet | None) -> bool:
        """Pictures decoded again only for those after them may lack what they refer to."""
        again = packet is not None and packet.pts is not None and packet.pts <= self._shown_until
        return not again and super()._is_shown(packet)

    def _timed(self, frames: Sequence[VideoFrame], *, is_last: bool) -> Iterator[tuple[VideoFrame, int]]:
        """As software times them; those that NVDEC has shown already are left out."""
        if self._resume_after is not None:
            limit = self._resume_after
            frames = [frame for frame in frames if frame.pts is None or frame.pts > limit]
            if frames:
                self._resume_after = None
        yield from super()._timed(frames, is_last=is_last)
