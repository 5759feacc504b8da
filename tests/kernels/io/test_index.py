"""The frame index made from packets is exactly what decoding gives."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from kernels.errors import InputError
from kernels.io.frame_index import FrameIndex
from kernels.io.index import read_index
from kernels.io.skeleton import SkeletonFile, media_ranges
from kernels.io.span import Span
from tests.kernels.io.clips import X264_B_FRAMES, X264_OPEN_GOP, Clip, Sound, make, picture

if TYPE_CHECKING:
    from pathlib import Path

UNEVEN = (0, 40, 50, 120, 300, 333, 340, 900)
MILLISECOND = Fraction(1, 1000)
X265_OPEN_GOP = {"preset": "ultrafast", "x265-params": "keyint=8:open-gop=1:log-level=none"}

CLIPS = {
    "mp4": Clip(frames=20),
    "mp4 with B-frames and an edit list": Clip(options=X264_B_FRAMES, frames=30, sounds=(Sound(),)),
    "mp4 with open groups": Clip(options=X264_OPEN_GOP, frames=60),
    "mp4 with a variable rate": Clip(options=X264_B_FRAMES, pts=UNEVEN, time_base=MILLISECOND),
    "mp4 that begins late": Clip(options=X264_B_FRAMES, pts=range(100, 120), sounds=(Sound(),)),
    "mov": Clip(container="mov", options=X264_OPEN_GOP, frames=30),
    "mkv with open groups": Clip(container="mkv", options=X264_OPEN_GOP, frames=60),
    "mkv with a variable rate": Clip(container="mkv", options=X264_B_FRAMES, pts=UNEVEN, time_base=MILLISECOND),
    "mkv that begins late": Clip(container="mkv", options=X264_B_FRAMES, pts=range(100, 120)),
    "ts with open groups": Clip(container="ts", options=X264_OPEN_GOP, frames=60, sounds=(Sound(),)),
    "ts with MPEG-2 fields": Clip(
        container="ts", codec="mpeg2video", options={"bf": "2", "g": "10", "flags": "+ilme+ildct"}, frames=30
    ),
    "webm with VP9": Clip(
        container="webm", codec="libvpx-vp9", options={"deadline": "realtime", "lag-in-frames": "16"}, frames=30
    ),
    "webm with hidden VP8 frames": Clip(
        container="webm", codec="libvpx", options={"lag-in-frames": "16", "auto-alt-ref": "1"}, frames=40
    ),
    "HEVC with open groups": Clip(codec="libx265", options=X265_OPEN_GOP, frames=30),
    "ten bits": Clip(container="mkv", options=X264_OPEN_GOP, frames=30, pixel_format="yuv420p10le"),
    "flv": Clip(container="flv", options=X264_B_FRAMES, frames=30),
    "avi without presentation times": Clip(container="avi", options=X264_B_FRAMES, frames=30),
    "a bare stream without times": Clip(container="h264", options=X264_B_FRAMES, frames=30),
}


def _decoded(data: bytes) -> list[int]:
    with kernels.open(io.BytesIO(data)) as video:
        return [frame.pts for frame in video]


@pytest.mark.parametrize("name", CLIPS)
def test_frames_are_those_that_decoding_gives(name: str, tmp_path: Path) -> None:
    data = make(CLIPS[name])
    path = tmp_path / "clip"
    path.write_bytes(data)
    index = read_index(path)
    assert list(index.pts) == _decoded(data)
    assert index == read_index(io.BytesIO(data))
    with kernels.open(path) as video:
        assert next(iter(video)).time_base == index.time_base


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_keyframes_are_where_decoding_can_begin(container: str) -> None:
    data = make(Clip(container=container, options=X264_OPEN_GOP, frames=30))
    index = read_index(io.BytesIO(data))
    assert index.keyframes == (0, 8, 16, 24)
    assert index.lead_in(23) == 7
    for number, dts in zip(index.keyframes, index.keyframe_dts, strict=True):
        with av.open(io.BytesIO(data)) as opened:
            video = opened.streams.video[0]
            opened.seek(dts, stream=video, backward=True)
            shown = [frame.pts for frame in opened.decode(video)]
            assert set(index.pts[number:]) <= set(shown)


def test_packets_that_no_frame_can_be_made_of_are_no_frames() -> None:
    whole = make(Clip(container="ts", options=X264_OPEN_GOP, frames=40))
    cut = whole[188 * ((len(whole) // 188) // 4) :]  # a recording that begins between two keyframes
    assert list(read_index(io.BytesIO(cut)).pts) == _decoded(cut)


def test_a_span_is_the_frames_that_process_would_take() -> None:
    data = make(Clip(container="ts", options=X264_B_FRAMES, frames=30, sounds=(Sound(),)))
    index = read_index(io.BytesIO(data))
    for start, duration in [(0.2, 0.4), (0.21, 0.39), (None, 0.4), (1, None), (0.4, 60)]:
        with kernels.open(io.BytesIO(data), start=start, duration=duration) as video:
            frames = list(video)
        first, last = index.range_of(Span.of(start, duration))
        assert [frame.pts for frame in frames] == list(index.pts[first:last])
        assert frames[0].index == first


def test_the_last_frame_is_as_long_as_the_source_says() -> None:
    index = read_index(io.BytesIO(make(Clip(frames=5))))
    assert index.duration_s == Fraction(5, 25)


@pytest.mark.parametrize(
    ("pts", "keyframes"), [((), ()), ((0, 0), ()), ((5, 3), ()), ((0, 1), (2,)), ((0, 1), (1, 0)), ((0, 1), (-1,))]
)
def test_what_is_no_index_is_refused(pts: tuple[int, ...], keyframes: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        FrameIndex(
            time_base=Fraction(1, 25),
            start_s=Fraction(0),
            pts=pts,
            last_duration=1,
            keyframes=keyframes,
            keyframe_dts=tuple(0 for _ in keyframes),
        )


class CountingFile(io.BytesIO):
    """Remembers how many bytes were asked of it."""

    asked_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.asked_bytes += len(data)
        return data


@pytest.fixture(scope="module")
def large_clip() -> bytes:
    """Some megabytes with B-frames and open groups, its index at the end."""
    options = {**X264_OPEN_GOP, "preset": "ultrafast", "qp": "0"}
    del options["crf"]
    data = make(Clip(options=options, frames=90, size=(640, 480), sounds=(Sound(),)))
    assert len(data) > 3 << 20
    assert data.index(b"mdat") < data.index(b"moov")
    return data


def test_of_an_mp4_only_the_index_is_read(large_clip: bytes) -> None:
    file = CountingFile(large_clip)
    index = read_index(file)
    assert list(index.pts) == _decoded(large_clip)
    with av.open(io.BytesIO(large_clip)) as opened:
        packets = [p for p in opened.demux(opened.streams.video[0]) if p.size]
    shown = sorted(packet.pts or 0 for packet in packets)
    assert index.keyframes == tuple(shown.index(packet.pts or 0) for packet in packets if packet.is_keyframe)
    assert index.keyframe_dts == tuple(packet.dts for packet in packets if packet.is_keyframe)
    # The beginning is decoded and compared; the rest is left alone.
    assert file.asked_bytes < len(large_clip)


def test_where_the_media_data_of_an_mp4_lies(large_clip: bytes) -> None:
    ((start, stop),) = media_ranges(io.BytesIO(large_clip))
    assert large_clip[start - 4 : start] == b"mdat" or large_clip[start - 12 : start - 8] == b"mdat"
    assert large_clip[stop + 4 : stop + 8] == b"moov"
    file = SkeletonFile(io.BytesIO(large_clip), ((start, stop),), "clip")
    assert file.read(len(large_clip)) == large_clip[:start]
    file.hollow = True
    parts = bytearray()
    file.seek(0)
    while part := file.read(100_000):
        parts += part
    assert bytes(parts) == large_clip[:start] + bytes(stop - start) + large_clip[stop:]


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00\x00\x00\x08ftyp", b"\x00\x00\x00\x04mdat", b"RIFF....AVI ", b"\x1a\x45\xdf\xa3 mkv", b"\x00" * 64],
)
def test_what_is_no_whole_mp4_is_read_as_it_is(data: bytes) -> None:
    assert media_ranges(io.BytesIO(data)) == ()


def test_progress_is_told_up_to_the_end() -> None:
    data = make(Clip(container="mkv", options=X264_OPEN_GOP, frames=30))
    told: list[tuple[int, int]] = []
    read_index(io.BytesIO(data), on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(data), len(data))
    assert all(0 <= done <= total for done, total in told)


def test_fragments_are_read_whole() -> None:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        stream = out.add_stream("libx264", rate=25, options=X264_B_FRAMES)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(40):
            frame = picture(n, (64, 48), "yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    data = target.getvalue()
    assert media_ranges(io.BytesIO(data)) == ()
    assert list(read_index(io.BytesIO(data)).pts) == _decoded(data)


def test_what_can_be_read_only_once_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="can be read only once"):
        read_index(tmp_path / "pipe")
    ends = os.pipe()
    os.close(ends[1])
    with open(ends[0], "rb") as file, pytest.raises(InputError, match="store it as a file"):  # noqa: PTH123 - no path
        read_index(file)


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    """Few frames, if enough for libav to know a transport stream: any groups, B-frames, uneven times, late sound."""
    steps = draw(st.one_of(st.just([40] * 24), st.lists(st.integers(5, 400), min_size=10, max_size=30)))
    x264 = (
        f"b-adapt=0:scenecut=0:keyint={draw(st.integers(1, 12))}:min-keyint=1:"
        f"open-gop={draw(st.integers(0, 1))}:b-pyramid={draw(st.sampled_from(['none', 'normal']))}"
    )
    options = {"preset": "ultrafast", "bf": str(draw(st.integers(0, 3))), "x264-params": x264, "crf": "35"}
    sounds = draw(st.sampled_from([(), (Sound(),), (Sound(start_s=Fraction(1, 3)),)]))
    return Clip(
        container=draw(st.sampled_from(["mp4", "mov", "mkv", "ts", "flv"])),
        options=options,
        pts=list(accumulate(steps, initial=draw(st.sampled_from([0, 40, 5000])))),
        time_base=MILLISECOND,
        size=(32, 32),
        sounds=sounds,
    )


@settings(max_examples=30)
@given(clips())
def test_whatever_the_clip_its_index_is_what_decoding_gives(clip: Clip) -> None:
    data = make(clip)
    index = read_index(io.BytesIO(data))
    assert list(index.pts) == _decoded(data)
    assert index.keyframes[:1] == (0,)
