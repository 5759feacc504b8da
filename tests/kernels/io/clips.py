"""Small clips with every feature that files in the wild have, made with libav alone, and how to read them back."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.subtitles.subtitle import SubtitleSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.container.core import Chapter

X264_FAST = {"preset": "ultrafast", "crf": "20"}
X264_B_FRAMES = {"preset": "veryfast", "bf": "3", "x264-params": "b-adapt=0:keyint=12:scenecut=0", "crf": "20"}
X264_OPEN_GOP = {
    "preset": "veryfast",
    "bf": "3",
    "x264-params": "b-adapt=0:keyint=8:min-keyint=8:scenecut=0:open-gop=1",
    "crf": "20",
}


@dataclass(frozen=True, kw_only=True)
class Sound:
    """One audio track: a tone."""

    codec: str = "aac"
    rate: int = 48_000
    start_s: Fraction = Fraction(0)
    language: str | None = None


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What to make. The defaults give twelve progressive frames at 25 per second."""

    container: str = "mp4"
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: dict(X264_FAST))
    frames: int = 12
    pts: Sequence[int] | None = None
    """Ticks of each frame; None counts frames."""
    time_base: Fraction = Fraction(1, 25)
    rate: Fraction = Fraction(25)
    size: tuple[int, int] = (64, 48)
    pixel_format: str = "yuv420p"
    color: dict[str, int] = field(default_factory=dict)
    """color_range, colorspace, color_trc, color_primaries."""
    sample_aspect_ratio: Fraction = Fraction(1)
    rotation: int | None = None
    """Counter-clockwise degrees of the display matrix."""
    sounds: tuple[Sound, ...] = ()
    sound_s: Fraction | None = None
    """Length of the sound; None is the length of the picture."""
    subtitles: tuple[tuple[int, int, str], ...] = ()
    """(start ms, end ms, text)."""
    subtitle_codec: str = "mov_text"
    chapters: tuple[tuple[int, int, str], ...] = ()
    """(start ms, end ms, title)."""
    attachments: tuple[tuple[str, str, bytes], ...] = ()
    """(name, type, content)."""
    cover: bool = False
    noise: int = 0
    """Largest code of the noise on the luma: what no encoder can foresee."""
    metadata: dict[str, str] = field(default_factory=dict)
    video_metadata: dict[str, str] = field(default_factory=dict)


def make(clip: Clip) -> bytes:
    """The finished file."""
    target = io.BytesIO()
    with av.open(target, "w", format={"mkv": "matroska", "ts": "mpegts"}.get(clip.container, clip.container)) as out:
        out.metadata.update(clip.metadata)
        video = _add_video(out, clip)
        sounds = [_add_sound(out, sound) for sound in clip.sounds]
        texts = _add_subtitles(out, clip) if clip.subtitles else None
        for name, kind, content in clip.attachments:
            out.add_attachment(name, kind, content)
        cover = _add_cover(out) if clip.cover else None
        if clip.chapters:
            out.set_chapters([_chapter(i, *chapter) for i, chapter in enumerate(clip.chapters)])
        _write(out, clip, video, sounds, texts, cover)
    return target.getvalue()


def picture(n: int, size: tuple[int, int], pixel_format: str, *, noise: int = 0) -> av.VideoFrame:
    """Frame `n`: a ramp that moves, with `n` as its first luma code."""
    width, height = size
    ramp = (np.add.outer(np.arange(height), np.arange(width)) * 3 + 5 * n) % 220 + 16
    if noise:
        grain = np.random.default_rng(n).integers(-noise, noise + 1, ramp.shape)
        ramp = np.clip(ramp + grain, 16, 235)
    ramp[:8, :8] = 16 + n % 220
    frame = av.VideoFrame.from_ndarray(ramp.astype(np.uint8), format="gray")
    return frame.reformat(format=pixel_format) if pixel_format != "gray" else frame


def times(clip: Clip) -> list[Fraction]:
    """When each frame is shown, seconds."""
    pts = clip.pts if clip.pts is not None else range(clip.frames)
    return [n * clip.time_base for n in pts]


def _add_video(out: Any, clip: Clip) -> Any:
    stream = out.add_stream(clip.codec, rate=clip.rate, options=dict(clip.options), time_base=clip.time_base)
    stream.width, stream.height = clip.size
    stream.pix_fmt = clip.pixel_format
    stream.codec_context.sample_aspect_ratio = clip.sample_aspect_ratio
    for name, code in clip.color.items():
        setattr(stream.codec_context, name, code)
    if clip.rotation is not None:
        stream.set_display_rotation(clip.rotation)
    stream.metadata.update(clip.video_metadata)
    return stream


def _add_sound(out: Any, sound: Sound) -> tuple[Any, Sound]:
    stream = out.add_stream(sound.codec, rate=sound.rate)
    stream.codec_context.layout = "stereo"
    stream.codec_context.time_base = Fraction(1, sound.rate)
    if sound.language:
        stream.metadata["language"] = sound.language
    return stream, sound


def _add_subtitles(out: Any, clip: Clip) -> Any:
    stream = out.add_stream(clip.subtitle_codec)
    stream.codec_context.subtitle_header = ASS_HEADER
    stream.codec_context.time_base = Fraction(1, 1000)
    stream.metadata["language"] = "fra"
    return stream


def _add_cover(out: Any) -> Any:
    stream = out.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _chapter(number: int, start: int, end: int, title: str) -> Chapter:
    return {"id": number, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}


ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, \
MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def _write(out: Any, clip: Clip, video: Any, sounds: list[Any], texts: Any, cover: Any) -> None:
    """All packets, in the order of their times."""
    packets = list(_encode_video(clip, video))
    shown = times(clip)
    length_s = clip.sound_s or shown[-1] - shown[0] + Fraction(1) / clip.rate
    for stream, sound in sounds:
        packets += _encode_sound(stream, sound, length_s, origin_s=max(Fraction(0), shown[0]))
    if texts is not None:
        packets += _encode_subtitles(clip, texts)
    packets.sort(key=lambda packet: packet[0])
    if cover is not None:
        frame = picture(3, (32, 32), "yuvj420p")
        frame.pts = 0
        packets[:0] = [(Fraction(0), cover, packet) for packet in [*cover.encode(frame), *cover.encode(None)]]
    for _, stream, packet in packets:
        packet.stream = stream
        out.mux(packet)


def _encode_video(clip: Clip, stream: Any) -> Any:
    pts = clip.pts if clip.pts is not None else range(clip.frames)
    for n, ticks in enumerate(pts):
        frame = picture(n, clip.size, clip.pixel_format, noise=clip.noise)
        for name, code in clip.color.items():
            setattr(frame, name, code)
        frame.pts, frame.time_base = ticks, clip.time_base
        yield from _timed(stream, stream.encode(frame))
    yield from _timed(stream, stream.encode(None))


def _encode_sound(stream: Any, sound: Sound, length_s: Fraction, origin_s: Fraction) -> Any:
    count = math.ceil(length_s * sound.rate)
    tone = (np.sin(np.arange(count) * (2 * np.pi * 440 / sound.rate)) * 8000).astype(np.int16)
    first = round((sound.start_s + origin_s) * sound.rate)
    for at in range(0, count, 1024):
        part = np.repeat(tone[at : at + 1024], 2)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(part, format="s16", layout="stereo")
        frame.sample_rate = sound.rate
        frame.pts, frame.time_base = first + at, Fraction(1, sound.rate)
        yield from _timed(stream, stream.encode(frame))
    yield from _timed(stream, stream.encode(None))


def _encode_subtitles(clip: Clip, stream: Any) -> Any:
    for n, (start, end, text) in enumerate(clip.subtitles):
        line = f"{n},0,Default,,0,0,0,,{text}".encode()
        event = SubtitleSet.create(text=line, start=0, end=end - start, pts=0)
        packet = stream.codec_context.encode_subtitle(event)
        packet.time_base = Fraction(1, 1000)
        packet.pts = packet.dts = start
        packet.duration = end - start
        packet.is_keyframe = True
        yield Fraction(start, 1000), stream, packet


def _timed(stream: Any, packets: Any) -> Any:
    for packet in packets:
        yield packet.dts * packet.time_base, stream, packet


@dataclass(frozen=True, kw_only=True)
class Read:
    """One stream of a finished file, as its packets tell it."""

    kind: str
    codec: str
    pts: tuple[Fraction | None, ...]
    """Seconds, in the order of the file."""
    data: tuple[bytes, ...]
    tick_s: Fraction
    language: str | None


def read(data: bytes) -> list[Read]:
    """Every stream of `data`."""
    streams = []
    with av.open(io.BytesIO(data)) as opened:
        found: dict[int, list[Any]] = {stream.index: [] for stream in opened.streams}
        for packet in opened.demux():
            if packet.size:
                found[packet.stream_index].append((packet.pts, bytes(packet)))
        for stream in opened.streams:
            base = stream.time_base or Fraction(1)
            streams.append(
                Read(
                    kind=stream.type,
                    codec=stream.codec_context.codec.canonical_name if stream.codec_context else "",
                    pts=tuple(None if pts is None else pts * base for pts, _ in found[stream.index]),
                    data=tuple(content for _, content in found[stream.index]),
                    tick_s=base,
                    language=None if stream.language == "und" else stream.language,
                )
            )
    return streams


def of_kind(data: bytes, kind: str) -> list[Read]:
    return [stream for stream in read(data) if stream.kind == kind]


def shown_times(data: bytes) -> list[Fraction]:
    """When each decoded frame of the first video stream is shown, seconds."""
    with av.open(io.BytesIO(data)) as opened:
        stream = opened.streams.video[0]
        base = stream.time_base or Fraction(1)
        return [frame.pts * base for frame in opened.decode(stream) if frame.pts is not None]


def from_first(values: Sequence[Fraction]) -> list[Fraction]:
    return [value - values[0] for value in values]
