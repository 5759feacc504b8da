"""The table of containers: true to libav, and every refusal names the stream and what solves it."""

from __future__ import annotations

import io
from typing import Any

import av
import pytest

from kernels.errors import ContainerError
from kernels.io.containers import (
    AUDIO_CODECS,
    CONTAINERS,
    SUBTITLE_CODECS,
    Action,
    StreamChoices,
    check_codec,
    container_of,
    plan_tracks,
)
from kernels.io.encode import ENCODERS
from kernels.io.source import Source
from tests.kernels.io.clips import Clip, Sound, make


@pytest.mark.parametrize("name", CONTAINERS)
def test_libav_writes_all_that_the_table_promises(name: str) -> None:
    rules = container_of(name)
    out = av.open(io.BytesIO(), "w", format=rules.muxer)
    accepted = set()
    for codec in out.supported_codecs:
        for mode in ("w", "r"):
            try:
                accepted.add(av.Codec(codec, mode).canonical_name)
            except (av.FFmpegError, ValueError):
                continue
    assert rules.video | rules.audio | rules.subtitles <= accepted | {"ssa", "text"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_sound_of_the_table_gets_into_a_header(name: str) -> None:
    """The list that libav gives of a container's codecs is longer than what its muxer takes."""
    rules = container_of(name)
    tried = 0
    for codec in sorted(rules.audio):
        try:
            encoder = av.Codec({"opus": "libopus", "mp3": "libmp3lame"}.get(codec, codec), "w").name
        except ValueError:
            continue  # can be copied only
        if encoder in ("vorbis", "dca", "truehd", "mlp"):
            continue  # experimental
        with av.open(io.BytesIO(), "w", format=rules.muxer) as out:
            out.add_stream(encoder, rate=48_000, layout="mono" if "pcm" in codec else "stereo")
            out.start_encoding()
        tried += 1
    assert tried


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_video_codec_of_the_table_gets_into_a_header(name: str) -> None:
    rules = container_of(name)
    for codec in rules.video & set(ENCODERS):
        with av.open(io.BytesIO(), "w", format=rules.muxer) as out:
            stream: Any = out.add_stream(ENCODERS[codec].name, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            out.start_encoding()


def test_what_can_be_asked_for_exists() -> None:
    for encoder in (*AUDIO_CODECS.values(), *SUBTITLE_CODECS.values()):
        assert av.Codec(encoder, "w").is_encoder


@pytest.mark.parametrize(
    ("container", "codec", "allowed"),
    [
        ("mp4", "h264", True),
        ("mov", "hevc", True),
        ("mkv", "ffv1", True),
        ("webm", "av1", True),
        ("webm", "vp9", True),
        ("webm", "h264", False),
        ("webm", "ffv1", False),
        ("mov", "ffv1", False),
        ("mov", "av1", False),
        ("mov", "vp9", False),
    ],
)
def test_video_codecs(container: str, codec: str, *, allowed: bool) -> None:
    if allowed:
        check_codec(container, codec)
    else:
        with pytest.raises(ContainerError, match=f"{container} carries .*, not {codec}; choose one with --codec"):
            check_codec(container, codec)


RICH = Clip(
    container="mkv",
    sounds=(Sound(codec="flac", language="eng"), Sound(codec="libopus", language="deu")),
    subtitles=((0, 300, "words"),),
    subtitle_codec="subrip",
    attachments=(("font.ttf", "font/ttf", b"letters"),),
)


def plan(clip: Clip, container: str, **choices: Any) -> dict[str, Action]:
    with Source(io.BytesIO(make(clip))) as source:
        tracks = plan_tracks(container, source.others, StreamChoices(**choices))
        return {f"{track.stream.type} {track.stream.index}": track.action for track in tracks}


def test_matroska_takes_everything() -> None:
    assert set(plan(RICH, "mkv").values()) == {Action.COPY, Action.ATTACH}


REFUSALS = [
    (RICH, "webm", {}, r"audio stream 1 \(flac, eng\); add --audio-codec opus"),
    (RICH, "webm", {"audio_codec": "opus"}, r"subtitle stream 3 \(subrip, fra\); add --subtitles drop"),
    (RICH, "mp4", {}, r"subtitle stream 3 \(subrip, fra\); add --subtitles mov_text"),
    (RICH, "mp4", {"subtitles": "mov_text"}, r"attachment stream 4 \(font.ttf\); add --drop-unsupported"),
    (RICH, "mp4", {"audio_codec": "opus", "subtitles": "srt"}, "mp4 cannot carry srt subtitles"),
    (RICH, "webm", {"audio_codec": "aac"}, "webm cannot carry aac audio; use --audio-codec opus"),
    (Clip(cover=True), "webm", {}, "cover picture 1 .mjpeg.; add --drop-unsupported"),
    (Clip(cover=True), "mov", {}, "cover picture 1 .mjpeg.; add --drop-unsupported"),
    (Clip(sounds=(Sound(),)), "webm", {}, "audio stream 1 .aac.*--audio-codec opus"),
    (Clip(subtitles=((0, 300, "words"),)), "mkv", {}, r"subtitle stream 1 \(mov_text, fra\); add --subtitles srt"),
]


@pytest.mark.parametrize(("clip", "container", "choices", "message"), REFUSALS, ids=range(len(REFUSALS)))
def test_refusals(clip: Clip, container: str, choices: dict[str, str], message: str) -> None:
    with pytest.raises(ContainerError, match=message) as caught:
        plan(clip, container, **choices)
    assert "\n" not in str(caught.value)


def test_dropping_is_a_choice() -> None:
    actions = plan(RICH, "webm", drop_unsupported=True)
    assert actions == {
        "audio 1": Action.DROP,
        "audio 2": Action.COPY,
        "subtitle 3": Action.DROP,
        "attachment 4": Action.DROP,
    }


def test_subtitles_of_the_wanted_format_are_copied_not_converted() -> None:
    assert plan(RICH, "mkv", subtitles="srt")["subtitle 3"] is Action.COPY
    assert plan(RICH, "mkv", subtitles="ass")["subtitle 3"] is Action.CONVERT


@pytest.mark.parametrize("wrong", [{"audio_codec": "opuss"}, {"subtitles": "movtext"}])
def test_an_unknown_choice_names_the_nearest(wrong: dict[str, str]) -> None:
    with pytest.raises(ContainerError, match=r"did you mean '(opus|mov_text)'"):
        StreamChoices(**wrong)  # type: ignore[arg-type]


def test_an_unknown_container_names_the_nearest() -> None:
    with pytest.raises(ContainerError, match="did you mean 'mkv'"):
        container_of("mkvv")
