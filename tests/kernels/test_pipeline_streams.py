"""Whole jobs: everything beside the picture is copied, kept in its place, or refused."""

from __future__ import annotations

import io
from fractions import Fraction
from itertools import pairwise

import av
import pytest
from av.stream import AttachmentStream

from kernels.errors import ContainerError
from kernels.io.containers import StreamChoices
from kernels.io.encode import EncodeSettings
from kernels.pipeline import process
from tests.kernels.io.clips import (
    X264_B_FRAMES,
    Clip,
    Sound,
    from_first,
    make,
    of_kind,
    read,
    shown_times,
)
from tests.kernels.io.jobs import offsets, run, tick

SOUNDS = {
    "aac": Clip(sounds=(Sound(),), frames=30),
    "two tracks": Clip(sounds=(Sound(language="eng"), Sound(codec="ac3", language="deu")), frames=30),
    "late sound": Clip(sounds=(Sound(start_s=Fraction(1, 2)),), frames=50),
    "b frames": Clip(sounds=(Sound(rate=44100),), frames=30, options=X264_B_FRAMES),
    "opus": Clip(sounds=(Sound(codec="libopus"),), frames=30),
    "late picture": Clip(pts=[n + 10 for n in range(30)], sounds=(Sound(start_s=Fraction(-2, 5)),)),
    "matroska": Clip(container="mkv", sounds=(Sound(codec="flac"), Sound()), frames=30),
    "first pictures cut by an edit list": Clip(
        pts=[n - 5 for n in range(30)], sounds=(Sound(),), time_base=Fraction(1, 25)
    ),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_sound_stays_in_place_and_untouched_through_mkv_and_back(name: str) -> None:
    data = make(SOUNDS[name])
    middle, _ = run(data, "mkv")
    end, _ = run(middle, "mp4")
    original = of_kind(data, "audio")
    for out in (middle, end):
        copied = of_kind(out, "audio")
        assert [track.data for track in copied] == [track.data for track in original]
        assert [track.language for track in copied] == [track.language for track in original]
    # Ticks of the two files that a job stands between: a Matroska tick is a millisecond.
    for before, after in ((data, middle), (middle, end)):
        limit_s = max(Fraction(1, 1000), tick(after))
        moved = [abs(a - b) for a, b in zip(offsets(before), offsets(after), strict=True)]
        assert max(moved) <= limit_s, [float(m) for m in moved]


def test_sound_in_mp4_keeps_its_exact_place() -> None:
    data = make(Clip(sounds=(Sound(start_s=Fraction(1, 3)),), frames=50, options=X264_B_FRAMES))
    out, _ = run(data, "mp4")
    assert abs(offsets(out)[0] - offsets(data)[0]) <= Fraction(1, 48000)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_frames_hidden_by_an_edit_list_stay_hidden(container: str) -> None:
    data = make(SOUNDS["first pictures cut by an edit list"])
    out, result = run(data, container)
    assert result.frames_out == len(shown_times(data)) == 25
    assert len(shown_times(out)) == 25


def test_packets_of_all_tracks_are_interleaved() -> None:
    data = make(Clip(frames=100, sounds=(Sound(),), options=X264_B_FRAMES))
    out, _ = run(data, "mkv", encode=EncodeSettings(codec="h264", preset="medium"))
    with av.open(io.BytesIO(out)) as opened:
        order = [p.dts * p.time_base for p in opened.demux() if p.size and p.dts is not None]
    assert max((a - b for a, b in pairwise(order)), default=Fraction(0)) <= Fraction(1, 10)


def test_subtitles_chapters_attachments_and_tags_are_copied() -> None:
    clip = Clip(
        container="mkv",
        frames=50,
        subtitles=((200, 900, "one"), (1000, 1800, "two")),
        subtitle_codec="subrip",
        chapters=((0, 1000, "first"), (1000, 2000, "second")),
        attachments=(("font.ttf", "font/ttf", b"letters"), ("notes.txt", "text/plain", b"words")),
        metadata={"title": "A title", "artist": "Somebody"},
        video_metadata={"language": "eng", "title": "Main"},
    )
    data = make(clip)
    out, _ = run(data, "mkv")
    before, after = (of_kind(file, "subtitle")[0] for file in (data, out))
    assert after.data == before.data
    assert after.pts == before.pts
    assert after.language == "fra"
    with av.open(io.BytesIO(out)) as opened:
        files = {(s.name, s.mimetype, s.data) for s in opened.streams if isinstance(s, AttachmentStream)}
        assert files == set(clip.attachments)
        assert [(c["start"] * c["time_base"], c["metadata"]["title"]) for c in opened.chapters()] == [
            (0, "first"),
            (1, "second"),
        ]
        assert opened.metadata["title"] == "A title"
        assert {key.lower(): value for key, value in opened.metadata.items()}["artist"] == "Somebody"
        assert opened.streams.video[0].metadata["title"] == "Main"
        assert opened.streams.video[0].language == "eng"


@pytest.mark.parametrize("path", [("mp4", "mp4"), ("mp4", "mkv", "mp4")], ids="-".join)
def test_cover_picture_is_copied_and_never_the_video(path: tuple[str, ...]) -> None:
    data = make(Clip(container=path[0], cover=True, sounds=(Sound(),)))
    picture = next(s.data[0] for s in of_kind(data, "video") if s.codec == "mjpeg")
    for container in path[1:]:
        data, result = run(data, container)
        assert result.frames_out == 12
        with av.open(io.BytesIO(data)) as opened:
            covers = [s for s in opened.streams.video if s.disposition & av.stream.Disposition.attached_pic]
            assert len(covers) == 1
            content = next(bytes(p) for p in opened.demux(covers[0]) if p.size)
        assert content == picture


def test_timecode_is_kept() -> None:
    data = make(Clip(container="mov", video_metadata={"timecode": "01:02:03:04"}, frames=5))
    for container in ("mov", "mp4", "mkv"):
        data, result = run(data, container)
        assert result.warnings == ()
        with av.open(io.BytesIO(data)) as opened:
            tags = [opened.metadata, *(s.metadata for s in opened.streams)]
            found = {value for tag in tags for key, value in tag.items() if key.lower() == "timecode"}
        assert found == {"01:02:03:04"}, container


def test_sound_is_encoded_again_when_asked() -> None:
    data = make(Clip(frames=50, sounds=(Sound(rate=44100, language="eng"),)))
    out, result = run(
        data, "webm", encode=EncodeSettings(codec="vp9", preset="8"), streams=StreamChoices(audio_codec="opus")
    )
    track = of_kind(out, "audio")[0]
    assert (track.codec, track.language) == ("opus", "eng")
    assert abs(offsets(out)[0]) < Fraction(1, 40)
    assert result.warnings == ()
    with av.open(io.BytesIO(out)) as opened:
        counts: list[int] = [frame.samples for frame in opened.decode(opened.streams.audio[0])]
    samples = sum(counts)
    assert abs(samples / 48000 - 2) < 0.05


def test_subtitles_are_converted_when_asked() -> None:
    data = make(Clip(container="mkv", frames=50, subtitles=((200, 900, "Hello"),), subtitle_codec="subrip"))
    out, _ = run(data, "mp4", streams=StreamChoices(subtitles="mov_text"))
    track = of_kind(out, "subtitle")[0]
    texts = [(when, content[2:]) for when, content in zip(track.pts, track.data, strict=True) if len(content) > 2]
    assert texts == [(Fraction(1, 5), b"Hello")]
    assert track.language == "fra"
    back, _ = run(out, "mkv", streams=StreamChoices(subtitles="srt"))
    assert b"Hello" in of_kind(back, "subtitle")[0].data


def test_what_a_container_cannot_carry_is_dropped_only_when_allowed() -> None:
    data = make(Clip(container="mkv", attachments=(("font.ttf", "font/ttf", b"letters"),)))
    with pytest.raises(ContainerError, match=r"attachment.*font\.ttf.*--drop-unsupported"):
        run(data, "mp4")
    out, result = run(data, "mp4", streams=StreamChoices(drop_unsupported=True))
    assert [stream.kind for stream in read(out)] == ["video"]
    assert any("font.ttf" in warning for warning in result.warnings)


def test_nothing_is_written_when_a_stream_is_refused() -> None:
    target = io.BytesIO()
    data = make(Clip(container="mkv", sounds=(Sound(codec="flac"),)))
    with pytest.raises(ContainerError, match="--audio-codec opus"):
        process(io.BytesIO(data), target, container="webm", encode=EncodeSettings(codec="vp9"))
    assert target.getvalue() == b""


SOURCES = {
    "mpeg-2 transport stream": Clip(container="ts", codec="mpeg2video", options={}, sounds=(Sound(codec="mp2"),)),
    "h264 transport stream": Clip(container="ts", options=X264_B_FRAMES, sounds=(Sound(codec="mp2"),), frames=30),
    "avi": Clip(container="avi", codec="mpeg4", options={}, sounds=(Sound(codec="libmp3lame"),), frames=30),
    "avi with b frames": Clip(container="avi", codec="mpeg4", options={"bf": "2"}, frames=30),
    "flash video": Clip(container="flv", options=X264_B_FRAMES, sounds=(Sound(),), frames=30),
    "program stream": Clip(container="mpeg", codec="mpeg1video", options={}, sounds=(Sound(codec="mp2"),)),
    "nut with bare pcm": Clip(container="nut", codec="ffv1", options={}, sounds=(Sound(codec="pcm_s16le"),)),
    "prores": Clip(
        container="mov", codec="prores_ks", options={}, pixel_format="yuv422p10le", sounds=(Sound(codec="pcm_s24le"),)
    ),
}


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("name", SOURCES)
def test_sources_of_every_kind(name: str, container: str) -> None:
    data = make(SOURCES[name])
    out, result = run(data, container)
    expected, got = from_first(shown_times(data)), from_first(shown_times(out))
    limit_s = Fraction(0) if container == "mp4" else Fraction(1, 2000)
    assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) <= limit_s
    assert [track.data for track in of_kind(out, "audio")] == [track.data for track in of_kind(data, "audio")]
    moved = [abs(a - b) for a, b in zip(offsets(data), offsets(out), strict=True)]
    assert max(moved, default=Fraction(0)) <= max(tick(out), Fraction(1, 1000))
    assert result.warnings == ()


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_tags_of_any_name_are_kept(container: str) -> None:
    tags = {"title": "A title", "director": "Somebody", "mood": "calm"}
    data = make(Clip(container="mkv", metadata=tags, sounds=(Sound(language="deu"),), video_metadata={"title": "Main"}))
    out, _ = run(data, container)
    back, _ = run(out, "mkv")
    with av.open(io.BytesIO(back)) as opened:
        found = {key.lower(): value for key, value in opened.metadata.items()}
        assert {key: found.get(key) for key in tags} == tags
        assert opened.streams.video[0].metadata.get("title") == "Main"
        assert opened.streams.audio[0].language in ("deu", "ger")


@pytest.mark.parametrize("language", ["deu", "fra", "fre", "ell", "zho", "fas", "ron", "rum"])
def test_languages_survive_quicktime_under_one_of_their_codes(language: str) -> None:
    codes = [{"deu", "ger"}, {"fra", "fre"}, {"ell", "gre"}, {"zho", "chi"}, {"fas", "per"}, {"ron", "rum"}]
    out, _ = run(make(Clip(container="mkv", sounds=(Sound(language=language),))), "mov")
    with av.open(io.BytesIO(out)) as opened:
        assert any({language, opened.streams.audio[0].language} <= both for both in codes)


def test_other_video_streams_are_copied_and_the_largest_is_processed() -> None:
    small, large = (of_kind(make(Clip(size=size)), "video")[0] for size in ((64, 48), (96, 64)))
    target = io.BytesIO()
    opened = [av.open(io.BytesIO(make(Clip(size=size)))) for size in ((64, 48), (96, 64))]
    with av.open(target, "w", format="matroska") as joined, opened[0], opened[1]:
        tracks = [joined.add_stream_from_template(clip.streams.video[0], opaque=True) for clip in opened]
        for clip, track in zip(opened, tracks, strict=True):
            for packet in clip.demux(video=0):
                if packet.size:
                    packet.stream = track
                    joined.mux(packet)
    out, result = run(target.getvalue(), "mkv", chain="hflip")
    streams = of_kind(out, "video")
    assert result.frames_out == 12
    assert [len(stream.data) for stream in streams] == [12, 12]
    assert any(stream.data == small.data for stream in streams)
    assert not any(stream.data == large.data for stream in streams)
