"""The streams beside the video: copied packet by packet, re-encoded when asked, or attached."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol, cast

from kernels.io.containers import Action, describe
from kernels.io.convert import AudioConverter, SubtitleConverter
from kernels.io.source import is_cover

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

# Written by the muxer for the new file; those of the old one would be false.
_OWN_TAGS = frozenset(
    {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
        "duration",
        "handler_name",
        "vendor_id",
        "number_of_frames",
        "number_of_bytes",
        "bps",
        "filename",
        "mimetype",
    }
)


def kept_tags(metadata: dict[str, str]) -> dict[str, str]:
    """`metadata` without the entries that describe the old file's bytes."""
    return {key: value for key, value in metadata.items() if _plain(key) not in _OWN_TAGS}


def _plain(key: str) -> str:
    """Matroska repeats statistics per language: `BPS-eng`; those tags start with an underscore or end so."""
    name = key.lower()
    return "encoder" if name.startswith("_statistics") else re.sub("-[a-z]{3}$", "", name)


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
            output = container.add_stream_from_template(stream, opaque=True)
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
        output.metadata.update(kept_tags(stream.metadata))
        output.disposition = stream.disposition
        self._outputs[stream.index] = output, copier

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
