"""Tiny clips that the tests of the command line make for themselves."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.audio.frame import AudioFrame

if TYPE_CHECKING:
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream

RATE = 25
SOUND_RATE = 48_000


def write_clip(
    path: Path,
    *,
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    codec: str = "mpeg4",
    audio: str | None = None,
    pixel_format: str = "yuv420p",
    gop: int = 6,
) -> Path:
    """A moving gradient of `frames` pictures, with a tone when `audio` names an encoder; returns `path`."""
    with av.open(path, "w") as container:
        video = cast("VideoStream", container.add_stream(codec, rate=RATE))
        video.width, video.height = size
        video.pix_fmt = pixel_format
        video.gop_size = gop
        sound = _add_sound(container, audio) if audio else None
        for n in range(frames):
            container.mux(video.encode(picture(n, size).reformat(format=pixel_format)))
        container.mux(video.encode(None))
        if sound is not None:
            _write_tone(container, sound, Fraction(frames, RATE))
    return path


def picture(n: int, size: tuple[int, int]) -> av.VideoFrame:
    """Picture `n` of the clip, RGB."""
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    planes = [(x * 3 + n * 5) % 256, (y * 4 + n * 3) % 256, (x + y + n * 7) % 256]
    frame = av.VideoFrame.from_ndarray(np.stack(planes, axis=2).astype(np.uint8), format="rgb24")
    frame.pts, frame.time_base = n, Fraction(1, RATE)
    return frame


def write_audio(path: Path) -> Path:
    """A second of sound and no picture."""
    with av.open(path, "w") as container:
        _write_tone(container, _add_sound(container, "aac"), Fraction(1))
    return path


def count_frames(path: Path) -> int:
    """Frames that decode from the first video stream."""
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def _add_sound(container: OutputContainer, encoder: str) -> AudioStream:
    return cast("AudioStream", container.add_stream(encoder, rate=SOUND_RATE, layout="mono"))


def _write_tone(container: OutputContainer, stream: AudioStream, seconds: Fraction) -> None:
    count = int(seconds * SOUND_RATE)
    wave = 0.3 * np.sin(np.arange(count) * 2 * np.pi * 440 / SOUND_RATE)
    for first in range(0, count, 1024):
        chunk = wave[first : first + 1024].astype(np.float32).reshape(1, -1)
        frame = AudioFrame.from_ndarray(chunk, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, first, Fraction(1, SOUND_RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
