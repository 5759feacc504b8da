"""Decoded frames: their samples, times, order and side data."""

from __future__ import annotations

import gc
import io
import resource
import subprocess
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from kernels.color import ChromaLocation, Matrix, Range
from kernels.errors import InputError
from kernels.frame import FieldOrder, Frame
from kernels.io.reader import open_video
from tests.kernels.io.clips import (
    X264_B_FRAMES,
    X264_OPEN_GOP,
    Clip,
    Sound,
    make,
    of_kind,
    picture,
    shown_times,
)


def frames_of(data: bytes, **options: Any) -> list[Frame]:
    with open_video(io.BytesIO(data), **options) as video:
        return list(video)


# Pixel format of the file, container, codec -> the planar format it comes in.
FORMATS = {
    "yuv420p": ("ffv1", "yuv420p"),
    "yuv422p": ("ffv1", "yuv422p"),
    "yuv444p": ("ffv1", "yuv444p"),
    "yuv440p": ("ffv1", "yuv440p"),
    "yuv411p": ("ffv1", "yuv411p"),
    "yuv420p10le": ("ffv1", "yuv420p10"),
    "yuv422p12le": ("ffv1", "yuv422p12"),
    "yuv444p16le": ("ffv1", "yuv444p16"),
    "gray": ("ffv1", "gray"),
    "gray10le": ("ffv1", "gray10"),
    "gbrp10le": ("ffv1", "gbrp10"),
    "yuva420p": ("ffv1", "yuv420p"),
    "bgr0": ("ffv1", "gbrp"),
    "rgb24": ("png", "gbrp"),
    "rgba": ("png", "gbrp"),
    "rgb48be": ("png", "gbrp16"),
    "gray16be": ("png", "gray16"),
    "yuyv422": ("rawvideo", "yuv422p"),
    "nv12": ("rawvideo", "yuv420p"),
    "yuvj420p": ("mjpeg", "yuv420p"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_pixel_format_comes_in_planes_with_its_own_values(name: str) -> None:
    codec, expected = FORMATS[name]
    container = {"rawvideo": "nut", "png": "mov"}.get(codec, "mkv")
    data = make(Clip(container=container, codec=codec, options={}, frames=3, pixel_format=name))
    frames = frames_of(data)
    assert [frame.format.pixel_format.name for frame in frames] == [expected] * 3
    with av.open(io.BytesIO(data)) as opened:
        for ours, theirs in zip(frames, opened.decode(video=0), strict=True):
            assert theirs.format.name == name
            reference = _reference(theirs, expected)
            for plane, wanted in zip(ours.planes, reference, strict=True):
                np.testing.assert_array_equal(plane, wanted)


def _reference(frame: Any, expected: str) -> list[np.ndarray]:
    """The planes that libav's own formats give: unpacked by hand where it is a matter of order alone."""
    name = frame.format.name
    if name in ("rgb24", "rgba", "bgr0"):
        rgb = frame.to_ndarray(format="rgb24")
        return [rgb[..., 1], rgb[..., 2], rgb[..., 0]]
    if name == "rgb48be":
        rgb = frame.to_ndarray(format="rgb48le")
        return [rgb[..., 1], rgb[..., 2], rgb[..., 0]]
    if name == "yuyv422":
        packed = np.frombuffer(frame.planes[0], np.uint8).reshape(frame.height, -1)[:, : frame.width * 2]
        return [packed[:, 0::2], packed[:, 1::4], packed[:, 3::4]]
    if name == "nv12":
        luma, chroma = (np.frombuffer(p, np.uint8).reshape(p.height, -1) for p in frame.planes)
        return [luma[:, : frame.width], chroma[:, 0 : frame.width : 2], chroma[:, 1 : frame.width : 2]]
    if name == "gray16be":
        return [np.frombuffer(frame.planes[0], ">u2").reshape(frame.height, -1)[:, : frame.width]]
    dtype = np.dtype(np.uint8) if frame.format.components[0].bits == 8 else np.dtype("<u2")
    count = 1 if expected.startswith("gray") else 3
    planes = []
    for plane in frame.planes[:count]:
        rows = np.frombuffer(plane, dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
        planes.append(rows[:, : plane.width])
    return planes


def test_planes_are_read_only_and_outlive_the_reader() -> None:
    frames = frames_of(make(Clip(options=X264_B_FRAMES, frames=30)))
    again = frames_of(make(Clip(options=X264_B_FRAMES, frames=30)))
    assert not any(plane.flags.writeable for frame in frames for plane in frame.planes)
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(frames, again, strict=True))


def test_full_range_is_told_by_the_format_name() -> None:
    frame = frames_of(make(Clip(container="mkv", codec="mjpeg", options={}, pixel_format="yuvj420p")))[0]
    assert frame.format.color.range is Range.FULL


def test_rgb_is_tagged_as_rgb() -> None:
    frame = frames_of(make(Clip(container="mov", codec="png", options={}, pixel_format="rgb24")))[0]
    assert (frame.format.color.matrix, frame.format.color.range) == (Matrix.GBR, Range.FULL)


@pytest.mark.parametrize("location", ["left", "topleft", "center"])
def test_chroma_location_is_read(location: str) -> None:
    options = {"preset": "ultrafast", "chroma_sample_location": location}
    frame = frames_of(make(Clip(options=options)))[0]
    assert frame.format.color.chroma_location is ChromaLocation[location.upper()]


@pytest.mark.parametrize(("flag", "expected"), [("tff", FieldOrder.TOP_FIRST), ("bff", FieldOrder.BOTTOM_FIRST)])
def test_field_order_is_read(flag: str, expected: FieldOrder) -> None:
    options = {"preset": "ultrafast", "flags": "+ildct+ilme", "x264-params": f"{flag}=1"}
    assert frames_of(make(Clip(options=options, size=(64, 64))))[0].field_order is expected


def test_transparency_is_dropped_with_a_warning() -> None:
    from kernels.io.software import SoftwareDecoder
    from kernels.io.source import Source

    data = make(Clip(container="mkv", codec="ffv1", options={}, pixel_format="yuva420p", frames=2))
    with Source(io.BytesIO(data)) as source:
        decoder = SoftwareDecoder(source)
        assert sum(isinstance(event, Frame) for event in decoder) == 2
        assert any("alpha" in warning for warning in decoder.warnings())


@pytest.mark.parametrize("options", [X264_B_FRAMES, X264_OPEN_GOP], ids=["closed", "open"])
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("first", [0, 1, 7, 8, 9, 12, 13, 23, 24, 39])
def test_decoding_from_any_frame_gives_the_same_frames(container: str, options: dict[str, str], first: int) -> None:
    data = make(Clip(container=container, frames=40, options=options))
    whole = frames_of(data)
    start = (whole[first].pts - whole[0].pts) * whole[0].time_base
    part = frames_of(data, start=start)
    assert [f.index for f in part] == list(range(first, 40))
    assert [f.pts for f in part] == [f.pts for f in whole[first:]]
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(part, whole[first:], strict=True))


def test_a_start_behind_the_end_is_refused() -> None:
    with pytest.raises(InputError, match="start earlier"):
        frames_of(make(Clip()), start=60)


def test_frames_without_times_are_spaced_by_the_rate() -> None:
    elementary = b"".join(of_kind(make(Clip(container="ts", options=X264_B_FRAMES, frames=20)), "video")[0].data)
    frames = frames_of(elementary)
    assert len(frames) == 20
    steps = {after.pts - before.pts for before, after in pairwise(frames)}
    assert steps == {round(Fraction(1, 25) / frames[0].time_base)}


def test_frames_without_times_at_the_start_leave_the_others_theirs(ffmpeg: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mkv"
    whole.write_bytes(make(Clip(options=X264_B_FRAMES, frames=40, sounds=(Sound(),))))
    command = [ffmpeg, "-v", "error", "-ss", "0.7", "-i", str(whole), "-c", "copy", "-avoid_negative_ts", "disabled"]
    subprocess.run([*command, str(cut)], check=True, timeout=60)
    with av.open(str(cut)) as opened:
        given = [frame.pts for frame in opened.decode(video=0)]
    assert given[0] is None
    frames = frames_of(cut.read_bytes())
    assert [frame.pts for frame, pts in zip(frames, given, strict=True) if pts is not None] == [
        pts for pts in given if pts is not None
    ]
    assert {after.pts - before.pts for before, after in pairwise(frames)} == {40}


def test_index_and_time_of_every_frame() -> None:
    data = make(Clip(pts=[3, 4, 9, 11], time_base=Fraction(1, 30)))
    frames = frames_of(data)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert [frame.pts * frame.time_base for frame in frames] == shown_times(data)


def test_nothing_decodable_is_refused() -> None:
    data = bytearray(make(Clip(frames=6, size=(160, 120))))
    with av.open(io.BytesIO(bytes(data))) as opened:
        places = [(p.pos, p.size) for p in opened.demux(video=0) if p.size and p.pos is not None]
    for position, size in places:
        data[position : position + size] = bytes(size)
    with pytest.raises(InputError, match="nothing can be decoded"):
        frames_of(bytes(data))


def test_the_format_is_known_before_the_first_frame_is_taken() -> None:
    clip = Clip(frames=5, sample_aspect_ratio=Fraction(4, 3))
    with open_video(io.BytesIO(make(clip))) as video:
        assert (video.format.width, video.format.height) == (64, 48)
        assert video.format.sample_aspect_ratio == Fraction(4, 3)
        assert sum(1 for _ in video) == 5


def test_the_pictures_are_the_ones_that_were_written() -> None:
    clip = Clip(container="mkv", codec="ffv1", options={}, frames=6)
    for n, frame in enumerate(frames_of(make(replace(clip, pixel_format="yuv420p")))):
        expected = picture(n, clip.size, "yuv420p")
        plane = expected.to_ndarray()[:48]
        np.testing.assert_array_equal(frame.planes[0], plane)


def test_memory_stays_flat_without_the_garbage_collector() -> None:
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("no /proc to read the memory of this process from")

    def resident_bytes() -> int:
        return int(status.read_text().split()[1]) * resource.getpagesize()

    data = make(Clip(frames=160, size=(640, 480)))
    gc.collect()
    gc.disable()
    try:
        with open_video(io.BytesIO(data), threads=2) as video:
            readings = [resident_bytes() for frame in video]
    finally:
        gc.enable()
    frame_bytes = 640 * 480 * 3 // 2
    assert readings[-1] - readings[60] < 20 * frame_bytes, "frames are kept"
