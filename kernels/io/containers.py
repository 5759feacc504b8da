"""What each container carries, and the check that refuses before the first frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from kernels.errors import ContainerError, nearest
from kernels.io.source import codec_name, is_cover

if TYPE_CHECKING:
    from collections.abc import Sequence

    from av.stream import Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One row of the table."""

    muxer: str
    """libav's name of the format."""
    video: frozenset[str]
    audio: frozenset[str]
    subtitles: frozenset[str]
    text_subtitles: str | None
    """The text subtitle format to convert to; None when text subtitles cannot be kept."""
    attachments: bool
    """Fonts and other files."""
    cover: bool
    is_mp4: bool


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_PCM: Final = "pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_f64le pcm_f64be"

CONTAINERS: Final[dict[str, Container]] = {
    "mp4": Container(
        muxer="mp4",
        video=_set("h264 hevc av1 vp9 ffv1 mpeg4 mpeg2video mpeg1video mjpeg png vvc"),
        audio=_set(f"aac mp3 mp2 ac3 eac3 dts opus flac alac vorbis {_PCM}"),
        subtitles=_set("mov_text"),
        text_subtitles="mov_text",
        attachments=False,
        cover=True,
        is_mp4=True,
    ),
    "mov": Container(
        muxer="mov",
        video=_set("h264 hevc mpeg4 mpeg2video mpeg1video mjpeg png prores dnxhd"),
        audio=_set(f"aac mp3 mp2 ac3 eac3 dts alac pcm_mulaw pcm_alaw pcm_u8 {_PCM}"),
        subtitles=_set("mov_text"),
        text_subtitles="mov_text",
        attachments=False,
        cover=False,
        is_mp4=True,
    ),
    "mkv": Container(
        muxer="matroska",
        video=_set("h264 hevc av1 vp9 vp8 ffv1 mpeg4 mpeg2video mpeg1video mjpeg prores theora vvc"),
        audio=_set(
            "aac mp3 mp2 ac3 eac3 dts truehd mlp opus vorbis flac alac tta wavpack "
            "pcm_s16le pcm_s24le pcm_s32le pcm_f32le pcm_f64le pcm_u8 pcm_s16be pcm_s24be pcm_s32be"
        ),
        subtitles=_set("subrip ass ssa webvtt text hdmv_pgs_subtitle dvd_subtitle dvb_subtitle"),
        text_subtitles="srt",
        attachments=True,
        cover=True,
        is_mp4=False,
    ),
    "webm": Container(
        muxer="webm",
        video=_set("av1 vp9"),
        audio=_set("opus"),
        subtitles=_set("webvtt"),
        text_subtitles=None,
        attachments=False,
        cover=False,
        is_mp4=False,
    ),
}
"""By the file name ending."""

AUDIO_CODECS: Final = {"aac": "aac", "opus": "libopus", "flac": "flac", "mp3": "libmp3lame", "ac3": "ac3"}
"""Codecs that `--audio-codec` re-encodes to, and libav's encoder for each."""
SUBTITLE_CODECS: Final = {"mov_text": "mov_text", "srt": "subrip", "ass": "ass"}
"""Formats that `--subtitles` converts to, and the codec each gives."""
TEXT_SUBTITLES: Final = _set("subrip srt ass ssa mov_text webvtt text")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamChoices:
    """What to do with the streams beside the video."""

    audio_codec: str = "copy"
    """copy, or one of `AUDIO_CODECS`."""
    subtitles: str = "copy"
    """copy, drop, or one of `SUBTITLE_CODECS`."""
    drop_unsupported: bool = False
    """Leave out, with a warning, what the container cannot carry."""

    def __post_init__(self) -> None:
        if self.audio_codec not in ("copy", *AUDIO_CODECS):
            hint = nearest(self.audio_codec, ("copy", *AUDIO_CODECS))
            raise ContainerError(f"unknown audio codec {self.audio_codec!r}{hint}")
        if self.subtitles not in ("copy", "drop", *SUBTITLE_CODECS):
            hint = nearest(self.subtitles, ("copy", "drop", *SUBTITLE_CODECS))
            raise ContainerError(f"unknown subtitle choice {self.subtitles!r}{hint}")


class Action(Enum):
    """What becomes of one input stream."""

    COPY = "copied"
    CONVERT = "re-encoded"
    ATTACH = "copied as an attachment"
    DROP = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One input stream beside the video, and its fate."""

    stream: Stream
    action: Action
    encoder: str | None = None
    """libav's encoder, for CONVERT."""
    reason: str | None = None
    """Why it is dropped, when the user should know."""


def container_of(name: str) -> Container:
    """The row for a file name ending such as `mkv`. Raises `ContainerError` with the nearest one."""
    found = CONTAINERS.get(name.lower().removeprefix("."))
    if found is None:
        raise ContainerError(f"unknown container {name!r}{nearest(name, CONTAINERS)}")
    return found


def check_codec(name: str, codec: str) -> None:
    """Raises `ContainerError` when container `name` cannot carry the video codec."""
    allowed = container_of(name).video & {"h264", "hevc", "av1", "vp9", "ffv1"}
    if codec not in allowed:
        raise ContainerError(f"{name} carries {', '.join(sorted(allowed))}, not {codec}; choose one with --codec")


def plan_tracks(name: str, streams: Sequence[Stream], choices: StreamChoices) -> tuple[Track, ...]:
    """What becomes of every stream beside the video.

    Raises `ContainerError` for the first one that cannot be kept, naming it and the option that solves it.
    """
    container = container_of(name)
    return tuple(_plan_track(name, container, stream, choices) for stream in streams)


def _plan_track(name: str, container: Container, stream: Stream, choices: StreamChoices) -> Track:
    kind = "cover" if is_cover(stream) else stream.type
    if kind == "audio":
        return _plan_audio(name, container, stream, choices)
    if kind == "subtitle":
        return _plan_subtitle(name, container, stream, choices)
    if kind == "cover" and container.cover:
        return Track(stream=stream, action=Action.COPY if container.is_mp4 else Action.ATTACH)
    if kind == "video" and codec_name(stream) in container.video:
        return Track(stream=stream, action=Action.COPY)
    if kind == "attachment" and container.attachments:
        return Track(stream=stream, action=Action.ATTACH)
    if kind == "data" and _is_represented(stream):
        return Track(stream=stream, action=Action.DROP)
    return _refuse(name, stream, choices, "add --drop-unsupported to leave it out")


def _plan_audio(name: str, container: Container, stream: Stream, choices: StreamChoices) -> Track:
    codec = codec_name(stream)
    if choices.audio_codec != "copy":
        wanted = choices.audio_codec
        if wanted not in container.audio:
            able = sorted(set(AUDIO_CODECS) & container.audio)
            raise ContainerError(f"{name} cannot carry {wanted} audio; use --audio-codec {' or '.join(able)}")
        if stream.codec_context is None:
            return _refuse(name, stream, choices, "no decoder for it here; add --drop-unsupported to leave it out")
        return Track(stream=stream, action=Action.CONVERT, encoder=AUDIO_CODECS[wanted])
    if codec in container.audio and stream.codec_context is not None:
        return Track(stream=stream, action=Action.COPY)
    fitting = "aac" if "aac" in container.audio else "opus"
    advice = f"add --audio-codec {fitting} to re-encode it, or --drop-unsupported to leave it out"
    return _refuse(name, stream, choices, advice)


def _plan_subtitle(name: str, container: Container, stream: Stream, choices: StreamChoices) -> Track:
    codec = codec_name(stream)
    if choices.subtitles == "drop":
        return Track(stream=stream, action=Action.DROP, reason="as --subtitles drop asks")
    is_text = codec in TEXT_SUBTITLES and stream.codec_context is not None
    if choices.subtitles != "copy" and is_text:
        wanted = SUBTITLE_CODECS[choices.subtitles]
        if wanted not in container.subtitles:
            raise ContainerError(f"{name} cannot carry {choices.subtitles} subtitles; use --subtitles drop")
        if wanted != codec:
            return Track(stream=stream, action=Action.CONVERT, encoder=wanted)
    if codec in container.subtitles and stream.codec_context is not None:
        return Track(stream=stream, action=Action.COPY)
    if is_text and container.text_subtitles is not None:
        advice = f"add --subtitles {container.text_subtitles} to convert it, or --subtitles drop to leave it out"
    else:
        advice = "add --subtitles drop to leave it out"
    return _refuse(name, stream, choices, advice)


def _is_represented(stream: Stream) -> bool:
    """Whether a data stream says nothing that is not kept otherwise: timecode as metadata, chapter titles."""
    if "timecode" in stream.metadata:
        return True
    return bool(stream.container.chapters()) and codec_name(stream) in ("bin_data", "text")


def _refuse(name: str, stream: Stream, choices: StreamChoices, advice: str) -> Track:
    problem = f"{name} cannot carry {describe(stream)}"
    if choices.drop_unsupported:
        return Track(stream=stream, action=Action.DROP, reason=problem)
    raise ContainerError(f"{problem}; {advice}")


def describe(stream: Stream) -> str:
    """'audio stream 1 (truehd, eng)'."""
    kind = "cover picture" if is_cover(stream) else f"{stream.type} stream"
    facts = [codec_name(stream)] if stream.type != "attachment" else [stream.metadata.get("filename", "a file")]
    if stream.language:
        facts.append(stream.language)
    return f"{kind} {stream.index} ({', '.join(facts)})"
