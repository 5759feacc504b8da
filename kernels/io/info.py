"""What an input holds: all that the pipeline will use, as plain values."""

from __future__ import annotations

import itertools
import os
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from kernels.io.hdr import ContentLight, MasteringDisplay, content_light, mastering_display
from kernels.io.orientation import degrees, display_matrix
from kernels.io.software import SoftwareDecoder
from kernels.io.source import Source, codec_name, is_cover

if TYPE_CHECKING:
    from av.stream import Stream

    from kernels.frame import FieldOrder, Frame, VideoFormat
    from kernels.io.source import InputLike


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """One stream beside the video."""

    index: int
    kind: str
    """audio, subtitle, attachment, cover, data or video."""
    codec: str
    language: str | None
    title: str | None
    start_s: float | None
    duration_s: float | None
    dispositions: tuple[str, ...]
    sample_rate: int | None = None
    """Hz; audio only."""
    channels: int | None = None
    layout: str | None = None
    """libav's name of the channel layout, such as 5.1(side)."""
    file_name: str | None = None
    """Attachments only."""
    mime_type: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Only what applies to this kind of stream."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        optional = ("sample_rate", "channels", "layout", "file_name", "mime_type")
        kept = {name: value for name, value in values.items() if value is not None or name not in optional}
        return {**kept, "dispositions": list(self.dispositions)}


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """The video stream that a job would process."""

    index: int
    codec: str
    profile: str | None
    format: VideoFormat
    """Of decoded frames, before rotation."""
    native_pixel_format: str
    """What the decoder gives, by libav's name."""
    time_base: Fraction
    start_s: float | None
    duration_s: float | None
    frames: int
    """Packets that will be shown, counted; 0 when they were not."""
    keyframes: int
    is_variable_rate: bool | None
    """Whether frame times differ by more than a tick; None when packets were not scanned or have no times."""
    field_order: FieldOrder
    rotation: int | None
    """Clockwise degrees that a player turns it by; None for other display matrices."""
    mastering_display: MasteringDisplay | None
    content_light: ContentLight | None
    dropped: tuple[str, ...]
    """Side data that no changed picture can keep: Dolby Vision, HDR10+, captions."""
    timecode: str | None

    def to_json(self) -> dict[str, Any]:
        format_, color = self.format, self.format.color
        rate = format_.frame_rate
        return {
            "index": self.index,
            "codec": self.codec,
            "profile": self.profile,
            "width": format_.width,
            "height": format_.height,
            "pixel_format": format_.pixel_format.name,
            "native_pixel_format": self.native_pixel_format,
            "sample_aspect_ratio": str(format_.sample_aspect_ratio),
            "frame_rate": None if rate is None else str(rate),
            "is_variable_rate": self.is_variable_rate,
            "time_base": str(self.time_base),
            "start_s": self.start_s,
            "duration_s": self.duration_s,
            "frames": self.frames,
            "keyframes": self.keyframes,
            "field_order": self.field_order.value,
            "rotation": self.rotation,
            "color": {
                "matrix": color.matrix.name.lower(),
                "transfer": color.transfer.name.lower(),
                "primaries": color.primaries.name.lower(),
                "range": color.range.name.lower(),
                "chroma_location": color.chroma_location.name.lower(),
            },
            "mastering_display": self.mastering_display and self.mastering_display.to_json(),
            "content_light": self.content_light and self.content_light.to_json(),
            "dropped": list(self.dropped),
            "timecode": self.timecode,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChapterInfo:
    start_s: float
    end_s: float
    title: str | None

    def to_json(self) -> dict[str, Any]:
        return {"start_s": self.start_s, "end_s": self.end_s, "title": self.title}


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """A whole input."""

    name: str
    container: str
    """libav's name of the demuxer, such as mov,mp4,m4a,3gp,3g2,mj2."""
    duration_s: float | None
    video: VideoInfo
    others: tuple[StreamInfo, ...]
    chapters: tuple[ChapterInfo, ...]
    metadata: dict[str, str]

    def of_kind(self, kind: str) -> tuple[StreamInfo, ...]:
        return tuple(stream for stream in self.others if stream.kind == kind)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "container": self.container,
            "duration_s": self.duration_s,
            "video": self.video.to_json(),
            "streams": [stream.to_json() for stream in self.others],
            "chapters": [chapter.to_json() for chapter in self.chapters],
            "metadata": self.metadata,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    frames: int = 0
    keyframes: int = 0
    is_variable_rate: bool | None = None


def probe(given: InputLike, *, scan: bool = True) -> MediaInfo:
    """Everything about `given`. `scan` reads all packets, without decoding, to count frames and judge their times.

    Raises `InputError` for what cannot be opened, has no video or not one frame that can be decoded.
    """
    with Source(given) as source:
        decoder = SoftwareDecoder(source, threads=1)
        frame = first_frame(decoder)
        video = _video_info(source, frame, decoder, _Scan())
        others = tuple(map(_stream_info, source.others))
        chapters = tuple(map(_chapter_info, source.container.chapters()))
        duration = source.container.duration
        info = MediaInfo(
            name=source.name,
            container=source.container.format.name,
            duration_s=None if duration is None else duration / av.time_base,
            video=video,
            others=others,
            chapters=chapters,
            metadata=dict(source.container.metadata),
        )
    return _with_scan(info, given) if scan else info


def first_frame(decoder: SoftwareDecoder) -> Frame:
    """The first frame `decoder` gives; it raises `InputError` itself when there is none."""
    from kernels.frame import Frame

    with closing(iter(decoder)) as events:
        return next(event for event in events if isinstance(event, Frame))


def read_format(given: InputLike) -> tuple[VideoFormat, str]:
    """The format of the frames in `given`, and the chain that `process` puts before the user's to turn them upright."""
    from kernels.io.orientation import rotation_chain

    with Source(given) as source:
        frame = first_frame(SoftwareDecoder(source, threads=1))
        return frame.format, rotation_chain(display_matrix(frame.side_data))


def _with_scan(info: MediaInfo, given: InputLike) -> MediaInfo:
    from dataclasses import replace

    if not isinstance(given, str | os.PathLike):
        given.seek(0)
    with Source(given) as source:
        scan = _scan_packets(source)
    video = replace(info.video, frames=scan.frames, keyframes=scan.keyframes, is_variable_rate=scan.is_variable_rate)
    return replace(info, video=video)


def _scan_packets(source: Source) -> _Scan:
    times: list[int] = []
    frames = keyframes = 0
    try:
        for packet in source.container.demux(source.video):
            if not packet.size or packet.is_discard:
                continue
            frames += 1
            keyframes += packet.is_keyframe
            if packet.pts is not None:
                times.append(packet.pts)
    except av.FFmpegError:
        pass  # what was read up to the damage counts
    times.sort()
    steps = [after - before for before, after in itertools.pairwise(times)]
    # A tick that does not divide the frame's length makes even steps of a constant rate differ by one.
    variable = max(steps) - min(steps) > 1 if steps else None
    return _Scan(frames=frames, keyframes=keyframes, is_variable_rate=variable)


def _video_info(source: Source, frame: Frame, decoder: SoftwareDecoder, scan: _Scan) -> VideoInfo:
    stream = source.video
    seconds = source.duration_s
    dropped = list(decoder.lost_side_data)
    if source.has_dolby_vision and "Dolby Vision metadata" not in dropped:
        dropped.append("Dolby Vision metadata")
    return VideoInfo(
        index=stream.index,
        codec=codec_name(stream),
        profile=stream.codec_context.profile,
        format=frame.format,
        native_pixel_format=str(stream.codec_context.pix_fmt),
        time_base=source.time_base,
        start_s=_seconds(stream.start_time, stream),
        duration_s=None if seconds is None else float(seconds),
        frames=scan.frames,
        keyframes=scan.keyframes,
        is_variable_rate=scan.is_variable_rate,
        field_order=source.field_order,
        rotation=degrees(display_matrix(frame.side_data)) if "DISPLAYMATRIX" in frame.side_data else 0,
        mastering_display=mastering_display(frame.side_data),
        content_light=content_light(frame.side_data),
        dropped=tuple(dropped),
        timecode=timecode(source),
    )


def timecode(source: Source) -> str | None:
    """The timecode of the first frame, wherever the container keeps it."""
    holders = [source.video.metadata, source.container.metadata, *(s.metadata for s in source.others)]
    found = (metadata.get("timecode") or metadata.get("TIMECODE") for metadata in holders)
    return next(filter(None, found), None)


def _stream_info(stream: Stream) -> StreamInfo:
    context: Any = stream.codec_context
    is_audio = stream.type == "audio" and context is not None
    is_file = stream.type == "attachment"
    return StreamInfo(
        index=stream.index,
        kind="cover" if is_cover(stream) else stream.type,
        codec=codec_name(stream),
        language=stream.language,
        title=stream.metadata.get("title"),
        start_s=_seconds(stream.start_time, stream),
        duration_s=_seconds(stream.duration, stream),
        dispositions=tuple(flag.name or "" for flag in av.stream.Disposition if flag & stream.disposition),
        sample_rate=context.sample_rate if is_audio else None,
        channels=context.layout.nb_channels if is_audio else None,
        layout=context.layout.name if is_audio else None,
        file_name=stream.metadata.get("filename") if is_file else None,
        mime_type=stream.metadata.get("mimetype") if is_file else None,
    )


def _chapter_info(chapter: Any) -> ChapterInfo:
    base = chapter["time_base"] or Fraction(1, 1000)
    return ChapterInfo(
        start_s=float(chapter["start"] * base),
        end_s=float(chapter["end"] * base),
        title=chapter["metadata"].get("title"),
    )


def _seconds(ticks: int | None, stream: Stream) -> float | None:
    return None if ticks is None or stream.time_base is None else float(ticks * stream.time_base)
