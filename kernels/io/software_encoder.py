"""Encoding with libav's software encoders."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

import av
from av.codec.context import Flags, ThreadType

from kernels.color import Range
from kernels.errors import EncodeSettingsError, UnavailableError
from kernels.io.encode import ENCODERS, check_size, encoder_options
from kernels.io.picture import to_av
from kernels.pixel_format import Family

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from av import Packet
    from av.container import OutputContainer
    from av.video.stream import VideoStream

    from kernels.frame import Frame, VideoFormat
    from kernels.io.encode import EncodeSettings

FALLBACK_RATE: Final = Fraction(25)
"""Told to encoders when the input has no rate: it only steers rate control, times stay exact."""


# A library reads its variable once, when anything in the process first uses it: so before anything can.
for _encoder in ENCODERS.values():
    _name, _, _level = (_encoder.quiet or "").partition("=")
    if _name.isupper():
        os.environ.setdefault(_name, _level)


class SoftwareEncoder:
    """Encodes frames of `format_` into a new stream of `container`; timestamps keep the input's time base.

    Raises `EncodeSettingsError` when the encoder refuses its settings, `FormatError` for a size it cannot take,
    `UnavailableError` when this libav lacks it.
    """

    def __init__(
        self,
        container: OutputContainer,
        settings: EncodeSettings,
        format_: VideoFormat,
        *,
        time_base: Fraction,
        side_data: Mapping[str, bytes],
    ) -> None:
        check_size(settings, format_)
        self._format = format_
        self._time_base = time_base
        options, self.warnings = encoder_options(settings, format_, side_data)
        try:
            added = container.add_stream(
                settings.encoder.name,
                rate=format_.frame_rate or FALLBACK_RATE,
                options=options,
                time_base=time_base,
                width=format_.width,
                height=format_.height,
            )
        except (av.FFmpegError, ValueError) as error:
            raise UnavailableError(f"no {settings.encoder.name} encoder here for {settings.codec}: {error}") from error
        self.stream = stream = cast("VideoStream", added)
        self._describe(settings)
        try:
            stream.codec_context.open()
        except av.FFmpegError as error:
            raise EncodeSettingsError(
                f"{settings.encoder.name} refuses {format_} with {_text(options)}: {error.strerror}"
            ) from error
        unknown = [name for name in stream.codec_context.options if name in settings.options]
        if unknown:
            raise EncodeSettingsError(f"{settings.encoder.name} has no option {unknown[0]!r}")

    def _describe(self, settings: EncodeSettings) -> None:
        """Size aside, all that the stream says about its picture."""
        context = self.stream.codec_context
        format_, color = self._format, self._format.color
        pixel = format_.pixel_format
        context.pix_fmt = pixel.name if pixel.depth == 8 else f"{pixel.name}le"
        context.sample_aspect_ratio = format_.sample_aspect_ratio
        context.colorspace = int(color.matrix)
        context.color_trc = int(color.transfer)
        context.color_primaries = int(color.primaries)
        context.color_range = int(Range.FULL if pixel.family is Family.GBR and not color.range else color.range)
        context.flags |= Flags.frame_duration
        context.thread_count = settings.threads or 0
        # libx264 takes SLICE alone as its own slow mode of threads within a frame. libav's own encoder must have
        # it: with frame threads its workers would let go of a frame's memory, which takes the interpreter's lock,
        # a deadlock once the encoder is freed under that lock.
        context.thread_type = ThreadType.SLICE if settings.codec == "ffv1" else ThreadType.AUTO
        if settings.codec == "hevc" and self.stream.container.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # Apple's players refuse hev1

    def encode(self, frame: Frame) -> Iterator[Packet]:
        picture = to_av(frame.planes, frame.format)
        picture.pts = frame.pts
        picture.time_base = self._time_base
        picture.duration = frame.duration
        color = self._format.color
        picture.colorspace = int(color.matrix)
        picture.color_range = int(color.range)
        picture.color_trc = int(color.transfer)
        picture.color_primaries = int(color.primaries)
        return self.stream.encode_lazy(picture)

    def flush(self) -> Iterator[Packet]:
        return self.stream.encode_lazy(None)


def _text(options: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in options.items())
