"""The streams beside the video: copied packet by packet, re-encoded when asked, or attached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import av

from kernels.errors import ContainerError
from kernels.io.containers import Action, describe
from kernels.io.convert import AudioConverter, SubtitleConverter
from kernels.io.source import is_cover
from kernels.io.tags import kept_tags, stream_tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from fractions import Fraction

    from av import Packet
    from av.audio.stream import AudioStream
    from av.stream import AttachmentStream, Stream
    from av.subtitles.stream import SubtitleStream

    from kernels.io.containers import Track
    from kernels.io.mux import Muxer
    from kernels.io.source import Source
    from kernels.io.span import Span

DEFAULT_LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Which speakers are meant where a file only counts channels: MP4 has to name them."""


class Copier(Protocol):
    """What turns the packets of one input stream into packets of one output stream."""

    def feed(self, packet: Packet) -> Iterable[Packet]: ...

    def flush(self) -> Iterable[Packet]: ...


class _Passthrough:
    def feed(self, packet: Packet) -> Iterable[Packet]:
        return (packet,)

    def flush(self) -> Iterable[Packet]:
        return ()


class Copies:
    """All streams beside the video, from `source` into `muxer`.

    `held` are the packets that were read before the first frame; pictures to attach are among them. `feed` takes
    these too.
    """

    def __init__(
        self,
        source: Source,
        tracks: Sequence[Track],
        muxer: Muxer,
        span: Span,
        held: Sequence[Packet],
    ) -> None:
        self._muxer = muxer
        self._span = span
        self._held = held
        self._outputs: dict[int, tuple[Stream, Copier]] = {}
        self._start_s: Fraction = source.start_s
        for track in tracks:
            self._add(track)

    @staticmethod
    def inputs(tracks: Sequence[Track]) -> tuple[Stream, ...]:
        """The input streams whose packets are needed."""
        return tuple(t.stream for t in tracks if t.action is not Action.DROP and t.stream.type != "attachment")

    @staticmethod
    def warnings(tracks: Sequence[Track]) -> tuple[str, ...]:
        return tuple(f"dropped {describe(t.stream)}: {t.reason}" for t in tracks if t.reason)

    def feed(self, packet: Packet) -> None:
        """Pass on one packet of an input stream, unless it lies outside the span."""
        output, copier = self._outputs.get(packet.stream_index, (None, None))
        if output is not None and copier is not None and self._is_wanted(packet):
            for out in copier.feed(packet):
                self._muxer.offer(output, out)

    def flush(self) -> None:
        for output, copier in self._outputs.values():
            for out in copier.flush():
                self._muxer.offer(output, out)

    def _is_wanted(self, packet: Packet) -> bool:
        when = packet.pts if packet.pts is not None else packet.dts
        if when is None or self._span.is_whole or is_cover(packet.stream):
            return True
        return when * packet.time_base - self._start_s in self._span

    def _add(self, track: Track) -> None:
        stream, container = track.stream, self._muxer.container
        if track.action is Action.COPY:
            output = self._add_copy(stream)
            copier: Copier = _Passthrough()
        elif track.action is Action.CONVERT and track.encoder is not None:
            converter: AudioConverter | SubtitleConverter
            if stream.type == "audio":
                converter = AudioConverter(container, cast("AudioStream", stream), track.encoder)
            else:
                converter = SubtitleConverter(container, cast("SubtitleStream", stream), track.encoder)
            copier, output = converter, converter.output
        elif track.action is Action.ATTACH:
            self._attach(stream)
            return
        else:
            return
        output.metadata.update(stream_tags(stream.metadata, self._muxer.rules))
        output.disposition = stream.disposition
        self._outputs[stream.index] = output, copier

    def _add_copy(self, stream: Stream) -> Stream:
        try:
            output = self._muxer.container.add_stream_from_template(stream, opaque=True)
        except (av.FFmpegError, ValueError) as error:
            raise ContainerError(f"{describe(stream)} cannot be copied: {error}") from error
        if stream.type == "audio":
            context: Any = output.codec_context
            name = DEFAULT_LAYOUTS.get(context.layout.nb_channels)
            if name is not None and context.layout.name.endswith(" channels"):
                context.layout = name
        return output

    def _attach(self, stream: Stream) -> None:
        """A file inside the file; Matroska keeps the cover picture as one."""
        if stream.type == "attachment":
            name = stream.metadata.get("filename", "attachment")
            kind = stream.metadata.get("mimetype", "application/octet-stream")
            data = cast("AttachmentStream", stream).data
        else:
            kind = "image/png" if stream.codec_context.name == "png" else "image/jpeg"
            name = stream.metadata.get("filename", "cover.png" if kind.endswith("png") else "cover.jpg")
            data = next((bytes(packet) for packet in self._held if packet.stream_index == stream.index), b"")
        output = self._muxer.container.add_attachment(name, kind, data)
        output.metadata.update(kept_tags(stream.metadata))
