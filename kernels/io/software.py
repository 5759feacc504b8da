"""Decoding with libav's software decoders."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av
from av.codec.context import ThreadType

from kernels.errors import InputError
from kernels.frame import FieldOrder, Frame, VideoFormat
from kernels.io.damage import DamageLog
from kernels.io.picture import color_of, layout_of, planes_of
from kernels.io.seek import seek_before, seek_to
from kernels.io.span import Span

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from av import Packet, VideoFrame
    from av.stream import Stream

    from kernels.frame import Plane
    from kernels.io.picture import Layout
    from kernels.io.seek import Entry
    from kernels.io.source import Source

MAX_THREADS: Final = 8
"""Each decoder thread holds frames of its own; more only cost memory."""
KEPT_SIDE_DATA: Final = frozenset({"MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DISPLAYMATRIX"})
LOST_SIDE_DATA: Final = {
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata",
    "A53_CC": "closed captions",
    "ICC_PROFILE": "an ICC profile",
    "FILM_GRAIN_PARAMS": "film grain parameters",
}
MAX_UNTIMED_FRAMES: Final = 8
"""Frames without a time at the start of a file that wait for the first one that has one."""
SIDE_DATA_FRAMES: Final = frozenset({0, 1, 12, 48})
"""Frames whose side data is looked at; captions may begin a little late. Not more: PyAV ties a frame and its side
data into a cycle, which keeps the whole picture in memory until the garbage collector comes by."""


class SoftwareDecoder:
    """Decodes the video stream of `source`; see `kernels.io.decode.Decoder`.

    `copied` are the streams whose packets are handed out untouched. `entry` says where decoding begins, for whoever
    has an index; without, `span` alone does. Iterating raises `InputError` when the
    picture's size or format changes on the way, when nothing can be decoded and, if `strict`, at the first damage.
    """

    def __init__(
        self,
        source: Source,
        *,
        copied: Sequence[Stream] = (),
        span: Span | None = None,
        entry: Entry | None = None,
        threads: int | None = None,
        strict: bool = False,
    ) -> None:
        self._source = source
        self._entry = entry
        self._copied = tuple(copied)
        self._span = span or Span()
        self._ticks = self._span.in_ticks(source.time_base, source.start_s)
        self._strict = strict
        self._time_base = source.time_base
        self._start_s = source.start_s
        self._format: VideoFormat | None = None
        self._layout: Layout | None = None
        self._shape: tuple[int, int, str] | None = None
        self._last_pts: int | None = None
        self._untimed: list[VideoFrame] = []
        self._side_data: dict[str, bytes] = {}
        self._lost: dict[str, None] = {}
        self._repaired = 0
        self._index = 0
        self._errors = 0
        self._done = False
        self._expected = 0
        self.frames_in = 0
        context = source.video.codec_context
        context.thread_type = ThreadType.AUTO
        context.thread_count = min(threads or os.cpu_count() or 1, MAX_THREADS)

    @property
    def damaged_packets(self) -> int:
        return self._errors

    @property
    def missing_frames(self) -> int:
        """Packets inside the span that gave no frame. Two fields may share one frame, so half is enough there."""
        if self._source.field_order is not FieldOrder.PROGRESSIVE:
            return 0
        return max(0, self._expected - self.frames_in)

    @property
    def lost_side_data(self) -> tuple[str, ...]:
        """Names of what the frames seen so far carried and no changed picture can keep."""
        return tuple(self._lost)

    def warnings(self) -> tuple[str, ...]:
        found = [f"{name} cannot be kept when frames are changed, and was dropped" for name in self._lost]
        if self._repaired:
            found.append(f"{self._repaired} frames had no usable timestamp; they were spaced by the frame rate")
        if self._errors:
            found.append(f"{self._errors} damaged packets; what they held was concealed or left out")
        if self.missing_frames > self._errors:
            found.append(f"{self.missing_frames} of {self._expected} packets gave no frame")
        return tuple(found)

    def __iter__(self) -> Generator[Frame | Packet]:
        video = self._source.video
        if self._entry is not None:
            self._index = self._entry.before
            seek_to(self._source, self._entry)
        elif self._span.start_s is not None:
            self._index = seek_before(self._source, self._span.start_s)
        names = (video.codec_context.codec.name, self._source.container.format.name)
        with DamageLog(names) as self._log:
            for packet in self._packets():
                if packet.stream_index != video.index:
                    yield packet
                elif not self._done:
                    yield from self._decode(packet)
                if self._done and self._is_past(packet):
                    break
            if not self._done:
                yield from self._decode(None)
        if not self.frames_in:
            self._raise_nothing()

    def _packets(self) -> Iterator[Packet]:
        """The packets with something in them, up to the end or to where the file cannot be read on."""
        try:
            for packet in self._source.container.demux([self._source.video, *self._copied]):
                if packet.size:
                    yield packet
        except av.FFmpegError as error:
            self._damage(f"cannot be read on: {error.strerror}")

    def _decode(self, packet: Packet | None) -> Iterator[Frame]:
        """The frames that come out when `packet` goes in; None asks for the last ones."""
        self._expect(packet)
        yield from self._run(packet)

    def _run(self, packet: Packet | None) -> Iterator[Frame]:
        problem = ""
        frames: list[VideoFrame] = []
        try:
            frames = self._source.video.codec_context.decode(packet)
        except av.EOFError:
            self._log.take()  # nothing is left in the decoder, so nothing is lost
        except av.FFmpegError as error:
            problem = f"cannot be decoded: {error.strerror}"
        if self._log.take() or any(frame.is_corrupt for frame in frames):
            problem = problem or "is damaged"
        if problem and self._is_shown(packet):
            self._damage(problem)
        for frame, pts in self._timed(frames, is_last=packet is None):
            if self._ticks.is_after(pts):
                self._done = True
                return
            if not self._ticks.is_before(pts):
                yield self._as_frame(frame, pts)

    def _expect(self, packet: Packet | None) -> None:
        """Count a packet that should give a frame."""
        if packet is not None and not packet.is_discard:
            is_wanted = self._span.is_whole if packet.pts is None else packet.pts in self._ticks
            self._expected += is_wanted

    def _is_shown(self, packet: Packet | None) -> bool:
        """Whether damage in it, or found at the end, may be seen in a frame that is wanted."""
        return packet is None or packet.pts is None or not self._ticks.is_before(packet.pts)

    def _damage(self, problem: str) -> None:
        self._errors += 1
        if self._strict:
            raise InputError(f"{self._source.name}: frame {self._index + self.frames_in} {problem}")

    def _timed(self, frames: Sequence[VideoFrame], *, is_last: bool) -> Iterator[tuple[VideoFrame, int]]:
        """Each frame with its time; the first ones, if they have none, are spaced back from the first that has."""
        for frame in frames:
            pts = frame.pts if frame.pts is not None else frame.dts
            if pts is None and self._last_pts is None and len(self._untimed) < MAX_UNTIMED_FRAMES:
                self._untimed.append(frame)
                continue
            yield from self._release(pts)
            yield frame, self._next_pts(frame)
        if is_last:
            yield from self._release(None)

    def _release(self, pts: int | None) -> Iterator[tuple[VideoFrame, int]]:
        """The frames that waited for a time; `pts` is that of the frame after them."""
        waiting, self._untimed = self._untimed, []
        if waiting and pts is not None:
            self._last_pts = pts - (len(waiting) + 1) * self._step(waiting[0])
        for frame in waiting:
            yield frame, self._next_pts(frame)

    def _step(self, frame: VideoFrame) -> int:
        """Ticks to the next frame, as far as anybody knows."""
        rate = self._source.frame_rate or Fraction(25)
        return frame.duration or max(1, round(1 / rate / self._time_base))

    def _next_pts(self, frame: VideoFrame) -> int:
        """The frame's time in ticks, after that of the frame before; made up from the rate when it has none."""
        last = self._last_pts
        pts = frame.pts if frame.pts is not None else frame.dts
        if pts is None or (last is not None and pts <= last):
            self._repaired += 1
            pts = 0 if last is None else last + self._step(frame)
        self._last_pts = pts
        return pts

    def _as_frame(self, frame: VideoFrame, pts: int) -> Frame:
        shape = (frame.width, frame.height, frame.format.name)
        if self._shape is None:
            self._adopt(frame, shape)
        elif shape != self._shape:
            self._raise_changed(shape)
        if self.frames_in in SIDE_DATA_FRAMES:
            self._note_side_data(frame)
        order = self._source.field_order if frame.interlaced_frame else FieldOrder.PROGRESSIVE
        return self._number(self._planes_of(frame), pts, duration=frame.duration or 0, field_order=order)

    def _planes_of(self, frame: VideoFrame) -> tuple[Plane, ...]:
        assert self._layout is not None
        return planes_of(frame, self._layout)

    def _number(
        self, planes: tuple[Plane, ...], pts: int, *, duration: int, field_order: FieldOrder = FieldOrder.PROGRESSIVE
    ) -> Frame:
        """The next frame of the source."""
        assert self._format is not None
        frame = Frame(
            planes=planes,
            format=self._format,
            pts=pts,
            time_base=self._time_base,
            duration=duration,
            index=self._index + self.frames_in,
            field_order=field_order,
            side_data=self._side_data,
        )
        self.frames_in += 1
        return frame

    def _adopt(self, frame: VideoFrame, shape: tuple[int, int, str]) -> None:
        """Take the format of the first frame as that of the stream."""
        self._shape = shape
        self._layout = layout_of(frame.format.name)
        if self._layout.drops_alpha or self._source.has_hidden_alpha:
            self._lost["transparency (the alpha plane)"] = None
        aspect = self._source.video.sample_aspect_ratio
        self._format = VideoFormat(
            width=frame.width,
            height=frame.height,
            pixel_format=self._layout.pixel_format,
            color=color_of(frame, self._layout, self._source.chroma_location),
            sample_aspect_ratio=aspect or Fraction(1),
            frame_rate=self._source.frame_rate,
        )

    def _note_side_data(self, frame: VideoFrame) -> None:
        items: Iterable[Any] = frame.side_data  # PyAV's stubs call it a dict; it iterates over its items
        for data in items:
            name = data.type.name
            if name in KEPT_SIDE_DATA and name not in self._side_data:
                self._side_data = {**self._side_data, name: bytes(data)}
            elif name in LOST_SIDE_DATA:
                self._lost[LOST_SIDE_DATA[name]] = None

    def _raise_changed(self, shape: tuple[int, int, str]) -> None:
        assert self._shape is not None
        before, after = (f"{w}x{h} {name}" for w, h, name in (self._shape, shape))
        number = self._index + self.frames_in
        raise InputError(
            f"{self._source.name}: the picture changes from {before} to {after} at frame {number}; "
            "cut the file there with --start and --duration"
        )

    def _raise_nothing(self) -> None:
        name = self._source.name
        if self._span.start_s is not None and not self._errors:
            raise InputError(f"{name} has no frame from {float(self._span.start_s):g} s on; start earlier")
        if self._errors:
            raise InputError(f"{name}: nothing can be decoded, all {self._errors} packets tried are damaged")
        raise InputError(f"{name} has a video stream without a single frame")

    def _is_past(self, packet: Packet) -> bool:
        """Whether the file is read so far that the copied streams have reached the end of the span too."""
        when = packet.dts if packet.dts is not None else packet.pts
        margin_s = Fraction(2)  # how far a muxer may keep streams apart
        return when is not None and self._span.is_after(when * packet.time_base - self._start_s - margin_s)
