"""Write a clip from pictures and sound that exist in memory: for clips that are drawn, not recorded."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, cast

import av
import numpy as np
from av.audio.frame import AudioFrame

from kernels.errors import OutputError
from kernels.io.picture import to_av

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from fractions import Fraction
    from typing import BinaryIO

    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from kernels.frame import Frame, VideoFormat

_SOUND_CHUNK: Final = 4096
"""Samples handed to the sound encoder at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A stereo track."""

    samples: NDArray[np.float32]
    """(2, count) in -1..1."""
    rate: int = 48_000
    """Samples a second."""
    codec: str = "aac"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipCodec:
    """The video encoder by libav's name, with its options."""

    name: str = "libx264"
    options: Mapping[str, str] = field(default_factory=lambda: {"crf": "18", "preset": "veryfast"})


class ClipWriter:
    """A clip being written into a file name, or a seekable file object; a context manager that finishes it.

    The container is `container`, else what the name says. Every frame's pts and duration are kept, so that any
    timing can be written. Methods raise `OutputError` when the file cannot be written.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        video_format: VideoFormat,
        *,
        time_base: Fraction,
        codec: ClipCodec,
        sound: Sound | None = None,
        container: str | None = None,
    ) -> None:
        self._name = getattr(target, "name", target)
        with self._translated():
            self._container: OutputContainer = av.open(target, "w", format=container)
            self._video = _add_video(self._container, video_format, time_base, codec)
            self._sound = _SoundTrack(self._container, sound) if sound is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._translated():
            if kind is None:
                self._container.mux(self._video.encode(None))
                if self._sound is not None:
                    self._sound.finish()
            self._container.close()

    def write(self, frame: Frame) -> None:
        """Add the next picture, and the sound up to its time."""
        picture = to_av(frame.planes, frame.format)
        picture.pts, picture.time_base, picture.duration = frame.pts, frame.time_base, frame.duration
        with self._translated():
            self._container.mux(self._video.encode(picture))
            if self._sound is not None:
                self._sound.write_until(frame.time_s)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self._name}: {error.strerror or error}") from error


def _add_video(
    container: OutputContainer, video_format: VideoFormat, time_base: Fraction, codec: ClipCodec
) -> VideoStream:
    options = dict(codec.options)
    video = cast("VideoStream", container.add_stream(codec.name, rate=video_format.frame_rate, options=options))
    pixel_format, color = video_format.pixel_format, video_format.color
    video.width, video.height = video_format.width, video_format.height
    video.pix_fmt = pixel_format.name if pixel_format.depth == 8 else f"{pixel_format.name}le"
    context = video.codec_context
    context.time_base = video.time_base = time_base
    context.colorspace, context.color_range = int(color.matrix), int(color.range)
    context.color_primaries, context.color_trc = int(color.primaries), int(color.transfer)
    return video


class _SoundTrack:
    """Feeds a sound to its encoder in step with the pictures, so that the file is interleaved."""

    def __init__(self, container: OutputContainer, sound: Sound) -> None:
        self._container = container
        self._sound = sound
        self._done = 0
        self._stream = cast("AudioStream", container.add_stream(sound.codec, rate=sound.rate, layout="stereo"))

    def write_until(self, time_s: float) -> None:
        """Encode what sounds before `time_s`."""
        last = min(self._sound.samples.shape[1], int(time_s * self._sound.rate) + _SOUND_CHUNK)
        while self._done < last:
            chunk = self._sound.samples[:, self._done : self._done + _SOUND_CHUNK]
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(chunk), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = self._sound.rate, self._done
            self._container.mux(self._stream.encode(frame))
            self._done += chunk.shape[1]

    def finish(self) -> None:
        """Encode the rest and flush."""
        self.write_until(self._sound.samples.shape[1] / self._sound.rate)
        self._container.mux(self._stream.encode(None))
