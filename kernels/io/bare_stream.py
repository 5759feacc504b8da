"""Streams that no encoder of libav's stands behind: their packets come ready, and so do their headers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, Protocol

import av

from kernels.color import Range
from kernels.io.damage import LOG_LOCK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction

    from av import Packet
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

    from kernels.frame import Frame, VideoFormat

_RAW_FORMATS: Final = {"h264": "h264", "hevc": "hevc", "av1": "obu"}
"""libav's demuxers of streams without a container."""


class StreamEncoder(Protocol):
    """What the pipeline asks of an encoder, whoever does the encoding."""

    stream: VideoStream
    warnings: tuple[str, ...]

    def encode(self, frame: Frame) -> Iterator[Packet[Any]]: ...

    def flush(self) -> Iterator[Packet[Any]]: ...


class ReadyStream:
    """A stream whose packets were encoded before."""

    def __init__(self, stream: VideoStream) -> None:
        self.stream = stream
        self.warnings: tuple[str, ...] = ()

    def encode(self, frame: Frame) -> Iterator[Packet[Any]]:
        raise NotImplementedError(frame.index)

    def flush(self) -> Iterator[Packet[Any]]:
        return iter(())


def add_bare_stream(
    container: OutputContainer, codec: str, headers: bytes, format_: VideoFormat, *, time_base: Fraction
) -> VideoStream:
    """A new stream of `format_` whose `headers` (parameter sets with start codes, or AV1's) are known already."""
    with _opened(headers, _RAW_FORMATS[codec]) as template:
        stream = container.add_stream_from_template(template.streams.video[0], opaque=True)
    context, pixel, color = stream.codec_context, format_.pixel_format, format_.color
    stream.time_base = time_base
    context.extradata = headers
    context.width, context.height = format_.width, format_.height
    context.pix_fmt = pixel.name if pixel.depth == 8 else f"{pixel.name}le"
    context.sample_aspect_ratio = format_.sample_aspect_ratio
    context.colorspace = int(color.matrix)
    context.color_trc = int(color.transfer)
    context.color_primaries = int(color.primaries)
    context.color_range = int(color.range or Range.LIMITED)
    if codec == "hevc" and container.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # Apple's players refuse hev1
    return stream


def _opened(headers: bytes, format_: str) -> InputContainer:
    """Headers as an input, whose missing pictures libav reports: nobody may take that for damage of theirs."""
    with LOG_LOCK:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.PANIC)
        try:
            return av.open(io.BytesIO(headers), "r", format=format_)
        finally:
            av.logging.set_level(level)
