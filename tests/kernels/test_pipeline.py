"""Whole jobs: what goes in comes out, on time, with everything beside the picture untouched."""

from __future__ import annotations

import io
import random
import subprocess
import threading
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import pytest
from av.stream import AttachmentStream

from kernels.color import ChromaLocation
from kernels.errors import ContainerError, FormatError, InputError, StoppedError
from kernels.io.containers import StreamChoices
from kernels.io.encode import EncodeSettings
from kernels.io.info import probe
from kernels.pipeline import Progress, Result, process
from tests.kernels.io.clips import (
    X264_B_FRAMES,
    X264_OPEN_GOP,
    Clip,
    Sound,
    from_first,
    make,
    of_kind,
    read,
    shown_times,
    times,
)

if TYPE_CHECKING:
    from pathlib import Path

FAST = EncodeSettings(codec="h264", preset="ultrafast")
LOSSLESS = EncodeSettings(codec="ffv1")
UNEVEN = (0, 900, 1800, 4500, 5400, 5490, 9000, 20000, 21001, 21002, 30000, 33333)
"""Ticks of 1/90000 s with no rhythm at all."""


def run(data: bytes, container: str = "mp4", **options: Any) -> tuple[bytes, Result]:
    target = io.BytesIO()
    options.setdefault("encode", FAST)
    result = process(io.BytesIO(data), target, container=container, **options)
    return target.getvalue(), result


CLIPS = {
    "constant rate": Clip(),
    "ntsc": Clip(time_base=Fraction(1001, 30000), rate=Fraction(30000, 1001)),
    "b frames": Clip(options=X264_B_FRAMES, frames=30),
    "open groups": Clip(options=X264_OPEN_GOP, frames=30),
    "variable rate": Clip(pts=UNEVEN, time_base=Fraction(1, 90000)),
    "variable rate, b frames": Clip(pts=UNEVEN, time_base=Fraction(1, 90000), options=X264_B_FRAMES),
    "matroska": Clip(container="mkv", options=X264_B_FRAMES, frames=30),
    "transport stream": Clip(container="ts", options=X264_B_FRAMES, frames=30),
    "starts late": Clip(pts=[n + 50 for n in range(12)]),
    "odd size": Clip(codec="ffv1", options={}, container="mkv", size=(61, 37)),
    "ten bits": Clip(pixel_format="yuv422p10le"),
    "gray": Clip(pixel_format="gray"),
}


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_comes_out_at_its_time(name: str, container: str) -> None:
    clip = CLIPS[name]
    encode = FAST if name != "odd size" else replace(FAST, pixel_format=None)
    chain = "pad=62:38" if name == "odd size" else ""
    data = make(clip)
    out, result = run(data, container, encode=encode, chain=chain)
    expected = from_first(shown_times(data))
    got = from_first(shown_times(out))
    assert result.frames_in == result.frames_out == len(expected) == len(got)
    limit_s = Fraction(0) if container in ("mp4", "mov") else Fraction(1, 2000)
    assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) <= limit_s
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("container", "encode"),
    [
        ("mp4", EncodeSettings(codec="hevc", preset="ultrafast")),
        ("mp4", EncodeSettings(codec="av1", preset="12")),
        ("webm", EncodeSettings(codec="av1", preset="12")),
        ("webm", EncodeSettings(codec="vp9", preset="8")),
        ("mkv", EncodeSettings(codec="ffv1")),
        ("mov", EncodeSettings(codec="h264", preset="veryfast")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.codec,
)
def test_every_codec_keeps_variable_times(container: str, encode: EncodeSettings) -> None:
    clip = Clip(pts=UNEVEN, time_base=Fraction(1, 90000), options=X264_B_FRAMES)
    out, result = run(make(clip), container, encode=encode)
    got, expected = from_first(shown_times(out)), from_first(times(clip))
    limit_s = Fraction(0) if container in ("mp4", "mov") else Fraction(1, 2000)
    assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) <= limit_s
    assert result.frames_out == len(UNEVEN)


def test_lossless_output_holds_the_decoded_samples() -> None:
    data = make(Clip(options=X264_B_FRAMES, frames=20))
    out, _ = run(data, "mkv", encode=LOSSLESS)
    assert _samples(out) == _samples(data)


def _samples(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data)) as opened:
        return [frame.to_ndarray().tobytes() for frame in opened.decode(video=0)]


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


def offsets(data: bytes) -> list[Fraction]:
    """How much later than the first picture the first packet of every sound track is."""
    first_picture = min(shown_times(data))
    return [track.pts[0] - first_picture for track in of_kind(data, "audio") if track.pts[0] is not None]


def tick(*files: bytes) -> Fraction:
    return max(stream.tick_s for data in files for stream in read(data) if stream.kind in ("audio", "video"))


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


BT2020_PQ = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}
BT601 = {"color_primaries": 6, "color_trc": 6, "colorspace": 6, "color_range": 1}
FULL = {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 2}


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("color", [BT2020_PQ, BT601, FULL], ids=["pq", "601", "full"])
def test_colour_tags_and_aspect_are_kept(color: dict[str, int], container: str) -> None:
    data = make(Clip(color=color, sample_aspect_ratio=Fraction(16, 11)))
    out, _ = run(data, container)
    with av.open(io.BytesIO(out)) as opened:
        stream = opened.streams.video[0]
        frame = next(opened.decode(stream))
        assert {name: int(getattr(frame, name)) for name in color} == color
        assert {name: int(getattr(stream.codec_context, name)) for name in color} == color
        assert stream.sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_chroma_location_is_kept(codec: str) -> None:
    options = {"preset": "ultrafast", "chroma_sample_location": "topleft"}
    out, _ = run(make(Clip(options=options)), encode=EncodeSettings(codec=codec, preset="ultrafast"))
    assert probe(io.BytesIO(out)).video.format.color.chroma_location is ChromaLocation.TOPLEFT


def test_untagged_video_gets_tags() -> None:
    out, _ = run(make(Clip()))
    with av.open(io.BytesIO(out)) as opened:
        frame = next(opened.decode(video=0))
    assert (int(frame.colorspace), int(frame.color_range)) == (6, 1)


MASTERING = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
HDR_CLIP = Clip(
    codec="libx265",
    pixel_format="yuv420p10le",
    color=BT2020_PQ,
    frames=6,
    options={"preset": "ultrafast", "x265-params": f"{MASTERING}:max-cll=1000,400:hdr10=1:log-level=none"},
)


@pytest.mark.parametrize(
    "encode",
    [
        EncodeSettings(codec="hevc", preset="ultrafast"),
        EncodeSettings(codec="h264", preset="ultrafast"),
        EncodeSettings(codec="av1", preset="12"),
    ],
    ids=lambda encode: encode.codec,
)
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_hdr10_metadata_is_kept(encode: EncodeSettings, container: str) -> None:
    out, result = run(make(HDR_CLIP), container, encode=encode)
    assert result.warnings == ()
    before, after = _side_data(make(HDR_CLIP)), _side_data(out)
    assert before["CONTENT_LIGHT_LEVEL"] == after["CONTENT_LIGHT_LEVEL"]
    assert _rationals(after["MASTERING_DISPLAY_METADATA"]) == pytest.approx(
        _rationals(before["MASTERING_DISPLAY_METADATA"]), abs=1e-4
    )


def test_hdr10_metadata_that_cannot_be_kept_is_named() -> None:
    _, result = run(make(HDR_CLIP), "mkv", encode=LOSSLESS)
    assert any("ffv1 cannot carry HDR10" in warning for warning in result.warnings)


def _side_data(data: bytes) -> dict[str, bytes]:
    with av.open(io.BytesIO(data)) as opened:
        frame = next(opened.decode(opened.streams.video[0]))
        items: list[Any] = list(frame.side_data)
        return {item.type.name: bytes(item) for item in items}


def _rationals(data: bytes) -> list[float]:
    numbers = memoryview(data).cast("i")[:20].tolist()
    return [numbers[i] / numbers[i + 1] for i in range(0, 20, 2)]


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_input_is_turned_upright(rotation: int) -> None:
    data = make(Clip(rotation=rotation))
    out, _ = run(data)
    with av.open(io.BytesIO(out)) as opened:
        frame = next(opened.decode(video=0))
    assert (frame.width, frame.height) == ((64, 48) if rotation == 180 else (48, 64))
    assert frame.rotation == 0


@pytest.mark.parametrize("rotation", [90, 180, -90])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_without_autorotation_pixels_and_tag_stay(rotation: int, container: str) -> None:
    data = make(Clip(rotation=rotation))
    out, _ = run(data, container, autorotate=False)
    with av.open(io.BytesIO(out)) as opened:
        frame = next(opened.decode(video=0))
    assert (frame.width, frame.height) == (64, 48)
    assert abs(frame.rotation) == abs(rotation)
    assert rotation == 180 or frame.rotation == rotation


def test_a_chain_changes_size_and_the_encoder_gets_what_it_takes() -> None:
    out, _ = run(make(Clip(pixel_format="yuv444p")), chain="crop=32:24", encode=replace(FAST, pixel_format=None))
    with av.open(io.BytesIO(out)) as opened:
        frame = next(opened.decode(video=0))
    assert (frame.width, frame.height, frame.format.name) == (32, 24, "yuv444p")


@pytest.mark.parametrize(("start", "duration"), [(0.5, None), (None, 0.4), (0.52, 0.4), (1, 0.04)])
@pytest.mark.parametrize("options", [X264_B_FRAMES, X264_OPEN_GOP], ids=["closed", "open"])
def test_a_span_is_exact_to_the_frame(start: float | None, duration: float | None, options: dict[str, str]) -> None:
    data = make(Clip(frames=40, options=options, sounds=(Sound(),)))
    begin = Fraction(start or 0).limit_denominator(1000)
    end = begin + Fraction(duration).limit_denominator(1000) if duration else Fraction(100)
    out, result = run(data, "mkv", encode=LOSSLESS, start=begin, duration=end - begin if duration else None)
    chosen = [n for n, when in enumerate(shown_times(data)) if begin <= when < end]
    whole = _samples(data)
    assert _samples(out) == [whole[n] for n in chosen]
    assert result.frames_out == len(chosen)
    assert result.warnings == ()
    sound, cut = of_kind(data, "audio")[0], of_kind(out, "audio")[0]
    first = begin if start else Fraction(-1)  # the priming of the encoder lies before the first picture
    inside = [
        data for when, data in zip(sound.pts, sound.data, strict=True) if when is not None and first <= when < end
    ]
    assert list(cut.data) == inside


def test_a_span_moves_chapters() -> None:
    clip = Clip(container="mkv", frames=50, chapters=((0, 500, "a"), (500, 1500, "b"), (1500, 2000, "c")))
    out, _ = run(make(clip), "mkv", start=1, duration=0.4)
    with av.open(io.BytesIO(out)) as opened:
        found = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in opened.chapters()]
    assert found == [(0, Fraction(2, 5))]


def test_the_index_comes_first_in_mp4() -> None:
    out, _ = run(make(Clip(sounds=(Sound(),))))
    assert _boxes(out)[:3] == ["ftyp", "moov", "free"]
    assert _boxes(out)[-1] == "mdat"


@pytest.mark.parametrize("reserve", [16, 200, 1200, 2000])
def test_a_reserve_too_small_costs_nothing_but_a_warning(reserve: int) -> None:
    clip = Clip(frames=60, sounds=(Sound(),), options=X264_B_FRAMES)
    data = make(clip)
    out, result = run(data, index_reserve_bytes=reserve)
    assert any("index" in warning for warning in result.warnings)
    assert [box for box in _boxes(out) if box != "free"] == ["ftyp", "mdat", "moov"]
    assert from_first(shown_times(out)) == from_first(times(clip))
    assert of_kind(out, "audio")[0].data == of_kind(data, "audio")[0].data


def test_matroska_survives_a_reserve_too_small() -> None:
    data = make(Clip(frames=60, sounds=(Sound(),)))
    out, result = run(data, "mkv", index_reserve_bytes=40, encode=LOSSLESS)
    assert any("seeking" in warning for warning in result.warnings)
    assert len(shown_times(out)) == 60
    assert of_kind(out, "audio")[0].data == of_kind(data, "audio")[0].data
    with av.open(io.BytesIO(out)) as opened:
        assert opened.duration is not None
        assert opened.duration >= 2_400_000


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1"])
def test_encoders_write_nothing_to_the_terminal(codec: str, capfd: pytest.CaptureFixture[str]) -> None:
    presets = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12", "vp9": "8"}
    run(make(Clip(frames=3)), "mkv", encode=EncodeSettings(codec=codec, preset=presets.get(codec)))
    assert capfd.readouterr() == ("", "")


def test_matroska_has_its_cues_in_front() -> None:
    out, _ = run(make(Clip(frames=40)), "mkv")
    assert 0 < out.find(bytes.fromhex("1c53bb6b")) < out.find(bytes.fromhex("1f43b675"))


def _boxes(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 8].decode())
        assert size >= 8
        at += size
    assert at == len(data)
    return found


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


def test_an_odd_size_that_the_encoder_cannot_take_is_refused() -> None:
    with pytest.raises(FormatError, match="crop=60:36"):
        run(make(CLIPS["odd size"]))


def test_stop_ends_the_job_at_once() -> None:
    stop = threading.Event()

    def stop_at_the_third_report(progress: Progress) -> None:
        if progress.phase == "processing":
            stop.set()

    target = io.BytesIO()
    with pytest.raises(StoppedError):
        process(
            io.BytesIO(make(Clip(frames=200, size=(320, 240)))),
            target,
            container="mp4",
            encode=EncodeSettings(codec="hevc", preset="veryslow"),
            on_progress=stop_at_the_third_report,
            stop=stop,
        )
    assert not any(thread.name in ("decode", "filter", "encode") for thread in threading.enumerate())


def test_an_error_of_the_sink_reaches_the_caller() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() + len(data) > 3000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    with pytest.raises(OSError, match="No space left"):
        process(io.BytesIO(make(Clip(frames=60))), Full(), container="mkv", encode=LOSSLESS)


def test_an_error_of_the_source_reaches_the_caller() -> None:
    class Lost(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > (1 << 20):
                raise TimeoutError("the connection is gone")
            return super().read(size)

    data = make(Clip(container="mkv", codec="rawvideo", options={}, size=(320, 240), frames=40))
    with pytest.raises(TimeoutError, match="the connection is gone"):
        process(Lost(data), io.BytesIO(), container="mkv", encode=FAST)


def test_progress_tells_phases_and_counts() -> None:
    seen: list[Progress] = []
    _, result = run(make(Clip(frames=40)), on_progress=seen.append)
    assert list(dict.fromkeys(p.phase for p in seen)) == ["opening", "compiling kernels", "processing", "finishing"]
    assert seen[-1].frames_out == result.frames_out == 40
    assert all(p.frames_total == 40 for p in seen if p.phase == "processing")


def test_result_has_the_promised_fields() -> None:
    _, result = run(make(Clip()))
    told = result.to_json()
    assert {"frames_in", "frames_out", "damaged_packets", "elapsed_s", "fps", "backend", "stages"} <= set(told)
    assert [stage["name"] for stage in told["stages"]] == ["decode", "filter", "encode"]
    assert all(set(stage) == {"name", "frames", "busy_s", "wait_s"} for stage in told["stages"])
    assert all(stage["frames"] == 12 for stage in told["stages"])


def _damaged(data: bytes) -> bytes:
    """The middle packets of the picture with their insides overwritten."""
    spoiled = bytearray(data)
    with av.open(io.BytesIO(data)) as opened:
        packets = [(p.pos, p.size) for p in opened.demux(video=0) if p.size]
    for position, size in packets[4:7]:
        assert position is not None
        spoiled[position + 12 : position + size - 4] = bytes(size - 16)
    return bytes(spoiled)


def test_damage_is_concealed_and_counted() -> None:
    data = _damaged(make(Clip(frames=24, size=(160, 120), options={"preset": "ultrafast", "g": "30"})))
    out, result = run(data)
    assert result.damaged_packets >= 3
    assert any("damaged" in warning for warning in result.warnings)
    assert result.frames_out == len(shown_times(out))
    with pytest.raises(InputError, match=r"frame \d+ (is damaged|cannot be decoded)"):
        run(data, strict=True)


def test_a_change_of_size_on_the_way_is_named() -> None:
    parts = [
        _elementary(Clip(container="ts", size=size, frames=10, codec="mpeg2video", options={}))
        for size in ((64, 48), (96, 64))
    ]
    with pytest.raises(InputError, match=r"from 64x48 yuv420p to 96x64 yuv420p at frame \d+"):
        run(b"".join(parts))


def _elementary(clip: Clip) -> bytes:
    return b"".join(of_kind(make(clip), "video")[0].data)


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


def test_interlaced_input_is_named() -> None:
    options = {"preset": "ultrafast", "flags": "+ildct+ilme", "x264-params": "tff=1"}
    _, result = run(make(Clip(options=options, size=(64, 64))))
    assert any("interlaced (top field first)" in warning for warning in result.warnings)


@pytest.mark.parametrize("seed", range(6))
def test_as_many_frames_come_out_of_a_damaged_file_as_ffmpeg_shows(seed: int, ffmpeg: str, tmp_path: Path) -> None:
    clip = Clip(frames=40, size=(160, 120), options=X264_B_FRAMES, container="mkv" if seed % 2 else "mp4")
    data = bytearray(make(clip))
    with av.open(io.BytesIO(bytes(data))) as opened:
        packets = [(p.pos, p.size) for p in opened.demux(video=0) if p.size and p.pos is not None]
    dice = random.Random(seed)
    for position, size in dice.sample(packets[1:], 5):
        at = position + 16 + dice.randrange(max(1, size - 24))
        data[at] ^= 1 << dice.randrange(8)
    path = tmp_path / "damaged"
    path.write_bytes(data)
    command = [ffmpeg, "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    expected = sum(not line.startswith("#") for line in shown.splitlines())
    _, result = run(bytes(data), "mkv")
    assert abs(result.frames_out - expected) <= 1
    assert result.frames_out == result.frames_in


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_hevc_and_colour_are_tagged_as_players_want_them(container: str) -> None:
    out, _ = run(make(Clip()), container, encode=EncodeSettings(codec="hevc", preset="ultrafast"))
    assert b"hvc1" in out
    assert b"hev1" not in out
    assert b"colrnclx" in out or b"colrnclc" in out


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
