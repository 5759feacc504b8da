"""Re-encoding the sound and converting text subtitles, when the container or the user wants another codec."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

import av
from av.subtitles.subtitle import AssSubtitle, SubtitleSet

from kernels.errors import ContainerError, UnavailableError
from kernels.io.containers import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av import Packet
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.subtitles.stream import SubtitleStream

BIT_RATE_PER_CHANNEL: Final = {"aac": 96_000, "libopus": 64_000, "libmp3lame": 96_000, "ac3": 96_000}
"""Bits a second where nobody hears a difference any more; lossless codecs have none."""
FALLBACK_RATE_HZ: Final = 48_000
"""Every encoder here takes it."""
PLAIN_LAYOUTS: Final = {"5.1(side)": "5.1", "5.0(side)": "5.0"}
"""Layouts that encoders refuse, and the one that differs only in where the rear speakers stand."""
END_OF_EVENT_MS: Final = 4000
"""How long a subtitle without an end stays."""


class AudioConverter:
    """Decodes one audio stream and encodes it again into a new stream of `container`."""

    def __init__(self, container: OutputContainer, stream: AudioStream, encoder: str) -> None:
        self._input = stream
        context = stream.codec_context
        codec = av.Codec(encoder, "w")
        rates = codec.audio_rates
        rate = context.sample_rate if not rates or context.sample_rate in rates else FALLBACK_RATE_HZ
        layout = PLAIN_LAYOUTS.get(context.layout.name, context.layout.name)
        try:
            self.output = cast("AudioStream", container.add_stream(encoder, rate=rate))
            self.output.codec_context.layout = layout
        except (av.FFmpegError, ValueError) as error:
            raise UnavailableError(f"{describe(stream)} cannot be encoded with {encoder}: {error}") from error
        self.output.codec_context.time_base = Fraction(1, rate)
        per_channel = BIT_RATE_PER_CHANNEL.get(encoder)
        if per_channel is not None:
            self.output.codec_context.bit_rate = per_channel * context.layout.nb_channels
        try:
            self.output.codec_context.open()
        except av.FFmpegError as error:
            message = f"{describe(stream)} ({rate} Hz, {layout}) cannot be encoded with {encoder}: {error.strerror}"
            raise ContainerError(f"{message}; choose another --audio-codec") from error

    def feed(self, packet: Packet) -> Iterator[Packet]:
        try:
            frames = self._input.codec_context.decode(packet)
        except av.FFmpegError:
            return  # a damaged packet is silence, as players have it
        for frame in frames:
            if frame.pts is not None:
                frame.time_base = packet.time_base
            yield from self.output.codec_context.encode(frame)

    def flush(self) -> Iterator[Packet]:
        try:
            frames = self._input.codec_context.decode(None)
        except av.FFmpegError:
            frames = []
        for frame in frames:
            frame.time_base = self._input.time_base
            yield from self.output.codec_context.encode(frame)
        yield from self.output.codec_context.encode(None)


class SubtitleConverter:
    """Decodes one text subtitle stream and encodes its events into a new stream of `container`."""

    def __init__(self, container: OutputContainer, stream: SubtitleStream, encoder: str) -> None:
        self._input = stream
        self.output = cast("SubtitleStream", container.add_stream(encoder))
        stream.codec_context.open(strict=False)
        self.output.codec_context.subtitle_header = stream.codec_context.subtitle_header
        self.output.codec_context.time_base = Fraction(1, 1000)

    def feed(self, packet: Packet) -> Iterator[Packet]:
        try:
            events = self._input.codec_context.decode2(packet)
        except av.FFmpegError:
            return  # an event that cannot be read is left out
        for event in events or ():
            if isinstance(event, AssSubtitle) and event.ass:
                yield self._encode(event.ass, packet)

    def flush(self) -> Iterator[Packet]:
        return iter(())

    def _encode(self, text: bytes, packet: Packet) -> Packet:
        ms = round((packet.duration or 0) * packet.time_base * 1000) or END_OF_EVENT_MS
        event = SubtitleSet.create(text=text, start=0, end=ms, pts=0)
        encoded = self.output.codec_context.encode_subtitle(event)
        encoded.pts = encoded.dts = packet.pts
        encoded.duration = packet.duration
        encoded.time_base = packet.time_base
        encoded.is_keyframe = True
        return encoded
