"""Writing a container: the one muxing path that every sink uses."""

from __future__ import annotations

import heapq
import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import av

from kernels.errors import InputError, OutputError
from kernels.io.containers import container_of
from kernels.io.display_size import ANNOUNCED, DisplaySize
from kernels.io.sink import HeadSink
from kernels.io.tags import file_tags, needs_key_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from av import Packet
    from av.container import OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

    from kernels.io.containers import Container

BUFFER_BYTES: Final = 1 << 20
MAX_INTERLEAVE_US: Final = 4_000_000
"""How much encoded video libav may hold while it waits for a packet of every other stream: longer than any
file keeps its streams apart, short enough that a sparse subtitle stream costs little memory."""
MAX_MOVIE_TIMESCALE: Final = 1_000_000
"""Ticks a second of edit lists: a common multiple of the tracks' own, so that no offset is rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """How much is expected in the file, for the space kept at its head; None where it is not known."""

    video_packets: int | None = None
    other_packets: int | None = None
    subtitle_packets: int = 0
    intra_only: bool = False

    MOOV_BYTES_PER_PACKET = 32
    """Largest measured: 20 bytes a packet for variable rate with B-frames; the rest is margin."""
    CUE_BYTES = 40
    """A Matroska cue point is at most 25 bytes for files below 4 GiB, 33 beyond."""
    FRAMES_PER_CUE = 8
    """Fewest frames between keyframes to count on: scene cuts are rarely closer."""
    FIXED_BYTES = 64 * 1024
    UNKNOWN_BYTES = 1 << 20

    def moov_bytes(self) -> int:
        """Twice what the index should need."""
        if self.video_packets is None:
            return self.UNKNOWN_BYTES
        packets = self.video_packets + (self.other_packets or 0)
        return self.FIXED_BYTES + 2 * self.MOOV_BYTES_PER_PACKET * packets

    def cue_bytes(self) -> int:
        if self.video_packets is None:
            return self.FIXED_BYTES
        cues = self.video_packets if self.intra_only else self.video_packets // self.FRAMES_PER_CUE
        return 1024 + 2 * self.CUE_BYTES * (cues + self.subtitle_packets)


class Muxer:
    """Writes `container` into `sink`, a binary object with write, seek and tell.

    Add streams, `start`, then `write_video` from one thread and `offer` from any; `finish` or `abandon` ends it.
    Packets come out in the order of their decode times. Raises `OutputError` for what libav refuses.
    """

    def __init__(
        self,
        sink: BinaryIO,
        container: str | Container,
        *,
        reserve: Reserve,
        origin_s: Fraction,
        timescales: tuple[int, ...] = (),
        reserve_bytes: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self.rules = container_of(container) if isinstance(container, str) else container
        self._metadata = dict(metadata or {})
        self._sink = HeadSink(sink)
        self._origin_s = origin_s
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, int, int, Packet]] = []
        self._order = 0
        self._video: Stream | None = None
        self._video_base: tuple[int, int] | None = None
        self.refused_packets = 0
        """Packets beside the video that the container does not take: their times make no sense."""
        options = self._options(reserve, timescales, reserve_bytes)
        self.container: OutputContainer = av.open(
            self._sink, "w", format=self.rules.muxer, options=options, buffer_size=BUFFER_BYTES
        )

    def _options(self, reserve: Reserve, timescales: tuple[int, ...], reserve_bytes: int | None) -> dict[str, str]:
        options = {"max_interleave_delta": str(MAX_INTERLEAVE_US)}
        if self.rules.is_mp4:
            options["moov_size"] = str(reserve.moov_bytes() if reserve_bytes is None else reserve_bytes)
            if needs_key_table(self._metadata):
                options["movflags"] = "+use_metadata_tags"
            ticks = math.lcm(*timescales) if timescales else 1000
            options["movie_timescale"] = str(ticks if ticks <= MAX_MOVIE_TIMESCALE else max(timescales))
        else:
            options["reserve_index_space"] = str(reserve.cue_bytes() if reserve_bytes is None else reserve_bytes)
            options["fflags"] = "+bitexact"  # else every file gets a random segment UID: no two runs were equal
        return options

    def set_video(self, stream: VideoStream, sample_aspect_ratio: Fraction) -> None:
        """Which of the added streams `write_video` writes, and the shape of its pixels."""
        self._video = stream
        if not self.rules.is_mp4 and "stereo_mode" not in {key.lower() for key in stream.metadata}:
            stream.metadata.update(ANNOUNCED)
            self._sink.edit = DisplaySize(
                width=stream.codec_context.width,
                height=stream.codec_context.height,
                sample_aspect_ratio=sample_aspect_ratio,
            )

    def start(self) -> None:
        """Open everything and write the header."""
        self.container.metadata.update(file_tags(self._metadata, self.rules))
        try:
            self.container.start_encoding()
        except av.ArgumentError as error:
            # The encoder's own stream is always sound: a copied one has parameters that make no sense.
            message = f"a stream to be copied is too damaged for {self.rules.muxer}, which refuses its header"
            raise InputError(f"{message}; try another container, or repair the input first") from error
        except av.FFmpegError as error:
            raise OutputError(f"the container header cannot be written: {error.strerror}") from error

    def offer(self, stream: Stream, packet: Packet) -> None:
        """A packet of a stream that is not the video, with times of the input; written in its turn."""
        when = packet.dts if packet.dts is not None else packet.pts
        if when is None or packet.time_base is None:
            when_s = -math.inf
        else:
            when_s = float(when * packet.time_base - self._origin_s)
        with self._lock:
            heapq.heappush(self._waiting, (when_s, self._order, stream.index, packet))
            self._order += 1

    def write_video(self, packet: Packet) -> None:
        """An encoded packet, with times in the input's ticks."""
        if self._video is None or packet.pts is None:
            raise OutputError("an encoded packet without a time cannot be written")
        source, target = packet.time_base, _ticks(self._video)
        if self._video_base is None:
            # The first packet out of an encoder is its first frame. All others keep their exact distance to it.
            self._video_base = packet.pts, round((packet.pts * source - self._origin_s) / target)
        first, first_out = self._video_base
        ratio = source / target
        dts = packet.pts if packet.dts is None else packet.dts
        packet.pts = first_out + round((packet.pts - first) * ratio)
        packet.dts = first_out + round((dts - first) * ratio)
        packet.duration = round((packet.duration or 0) * ratio)
        packet.time_base = target
        self._write_waiting(float(packet.dts * target))
        self._write(self._video, packet)

    def finish(self) -> tuple[str, ...]:
        """Write what is left and the index. Returns warnings."""
        self._write_waiting(math.inf)
        try:
            self.container.close()
        except av.ArgumentError:
            # libav's answer to an index larger than its reserve. MP4's is written by then, Matroska's left out.
            if self.rules.is_mp4:
                self._sink.settle_at_end()
                return ("the space kept for the index was too small, so it stands at the end of the file",)
            self._sink.settle()
            return ("the space kept for the index was too small, so there is none: seeking in the file is slow",)
        except av.FFmpegError as error:
            raise OutputError(f"the container cannot be finished: {error.strerror}") from error
        self._sink.settle()
        return ()

    def abandon(self) -> None:
        """End without a usable file: nothing more reaches the sink."""
        self._sink.abandon()
        try:
            self.container.close()
        except (av.FFmpegError, OSError, ValueError):
            return  # it was to be thrown away

    def _write_waiting(self, until_s: float) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._waiting[0][0] > until_s:
                    return
                _, _, index, packet = heapq.heappop(self._waiting)
            stream = self.container.streams[index]
            self._rebase(packet, stream)
            try:
                self._write(stream, packet)
            except InputError:
                self.refused_packets += 1

    def _rebase(self, packet: Packet, stream: Stream) -> None:
        """From the input's time to the container's ticks, rounded once."""
        source, target = packet.time_base, _ticks(stream)
        if packet.pts is not None:
            packet.pts = round((packet.pts * source - self._origin_s) / target)
        if packet.dts is not None:
            packet.dts = round((packet.dts * source - self._origin_s) / target)
        packet.duration = round((packet.duration or 0) * source / target)
        packet.time_base = target

    def _write(self, stream: Any, packet: Packet) -> None:
        packet.stream = stream
        try:
            self.container.mux_one(packet)
        except av.ArgumentError as error:
            raise InputError(f"a packet of {stream.type} stream {stream.index} has times that make no sense") from error
        except av.FFmpegError as error:
            raise OutputError(
                f"a packet of {stream.type} stream {stream.index} cannot be written: {error.strerror}"
            ) from error


def _ticks(stream: Stream) -> Fraction:
    """Seconds per tick that the muxer chose for `stream`."""
    if stream.time_base is None:
        raise OutputError(f"the muxer gave {stream.type} stream {stream.index} no time base")
    return stream.time_base
