"""Everything that a probe tells, on a file that has it."""

from __future__ import annotations

import io
import json
from fractions import Fraction

import pytest

from kernels.io.info import probe, read_format
from tests.kernels.io.clips import X264_B_FRAMES, Clip, Sound, make


def test_a_rich_file() -> None:
    clip = Clip(
        container="mkv",
        frames=50,
        options=X264_B_FRAMES,
        color={"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1},
        sample_aspect_ratio=Fraction(4, 3),
        sounds=(Sound(language="eng"), Sound(codec="flac", rate=44100, language="deu")),
        subtitles=((0, 300, "words"),),
        subtitle_codec="subrip",
        chapters=((0, 1000, "first"), (1000, 2000, "second")),
        attachments=(("font.ttf", "font/ttf", b"letters"),),
        metadata={"title": "A title"},
    )
    info = probe(io.BytesIO(make(clip)))
    video = info.video
    assert (video.codec, video.frames, video.keyframes) == ("h264", 50, 5)
    assert video.is_variable_rate is False
    assert video.format.frame_rate == 25
    assert video.format.sample_aspect_ratio == Fraction(4, 3)
    assert [stream.kind for stream in info.others] == ["audio", "audio", "subtitle", "attachment"]
    assert [stream.language for stream in info.of_kind("audio")] == ["eng", "deu"]
    assert [stream.sample_rate for stream in info.of_kind("audio")] == [48000, 44100]
    assert info.of_kind("attachment")[0].file_name == "font.ttf"
    assert [chapter.title for chapter in info.chapters] == ["first", "second"]
    assert info.metadata["title"] == "A title"
    told = json.loads(json.dumps(info.to_json()))
    assert told["video"]["color"]["transfer"] == "pq"
    assert told["video"]["sample_aspect_ratio"] == "4/3"
    assert told["streams"][0]["layout"] == "stereo"


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (Clip(time_base=Fraction(1001, 30000), rate=Fraction(30000, 1001), container="mkv"), False),
        (Clip(pts=[0, 1, 2, 4, 5], rate=Fraction(25)), True),
        (Clip(frames=1), None),
    ],
)
def test_variable_rate(clip: Clip, *, expected: bool | None) -> None:
    assert probe(io.BytesIO(make(clip))).video.is_variable_rate is expected


@pytest.mark.parametrize(("rotation", "clockwise"), [(90, 270), (180, 180), (-90, 90), (None, 0)])
def test_rotation(rotation: int | None, clockwise: int) -> None:
    assert probe(io.BytesIO(make(Clip(rotation=rotation)))).video.rotation == clockwise


def test_hdr10() -> None:
    master = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    options = {"preset": "ultrafast", "x265-params": f"{master}:max-cll=1000,400:log-level=none"}
    info = probe(io.BytesIO(make(Clip(codec="libx265", options=options, pixel_format="yuv420p10le"))))
    assert info.video.content_light is not None
    assert info.video.content_light.to_json() == {"max_cll": 1000, "max_fall": 400}
    assert info.video.mastering_display is not None
    told = info.video.mastering_display.to_json()
    assert told["red"] == [0.68, 0.32]
    assert (told["min_luminance"], told["max_luminance"]) == (0.005, 1000)


def test_timecode() -> None:
    clip = Clip(container="mov", video_metadata={"timecode": "01:02:03:04"})
    assert probe(io.BytesIO(make(clip))).video.timecode == "01:02:03:04"


def test_a_cover_picture_is_told_as_such() -> None:
    info = probe(io.BytesIO(make(Clip(cover=True))))
    assert [stream.kind for stream in info.others] == ["cover"]


def test_read_format_gives_the_chain_that_turns_it_upright() -> None:
    form, chain = read_format(io.BytesIO(make(Clip(rotation=-90))))
    assert (form.width, form.height, chain) == (64, 48, "transpose=dir=clock")
