"""What opens, and what is refused in one line."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels.errors import InputError
from kernels.io.reader import open_video
from kernels.io.source import Source
from tests.kernels.io.clips import X264_B_FRAMES, Clip, Sound, make

if TYPE_CHECKING:
    from pathlib import Path


def test_a_path_and_a_file_object_give_the_same(tmp_path: Path) -> None:
    data = make(Clip())
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    with open_video(path) as by_path, open_video(io.BytesIO(data)) as by_object:
        pairs = list(zip(by_path, by_object, strict=True))
    assert len(pairs) == 12
    assert all(np.array_equal(a.planes[0], b.planes[0]) for a, b in pairs)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty", b"", "empty"),
        ("noise", np.random.default_rng(1).bytes(5000), "noise"),
        ("text", b"These are words and no video at all.\n" * 20, "text"),
    ],
)
def test_what_is_no_video_is_refused_by_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught, Source(path):
        pass
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"), Source(tmp_path / "nothing.mp4"):
        pass
    with pytest.raises(InputError, match="is a folder"), Source(tmp_path):
        pass


def test_sound_without_a_picture_is_refused() -> None:
    import av

    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48000)
        for n in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48000, n * 1024
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    target.seek(0)
    with pytest.raises(InputError, match=r"no video stream .*audio"), Source(target):
        pass


def test_a_cover_picture_is_no_video() -> None:
    data = make(Clip(cover=True, size=(16, 16)))
    with Source(io.BytesIO(data)) as source:
        assert (source.video.codec_context.width, source.video.codec_context.name) == (16, "h264")


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_file_gives_frames_or_one_line(container: str, tenth: int) -> None:
    data = make(Clip(container=container, frames=40, options=X264_B_FRAMES, sounds=(Sound(),)))
    part = data[: len(data) * tenth // 10]
    try:
        with open_video(io.BytesIO(part)) as video:
            count = sum(1 for _ in video)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert 0 < count <= 40


def test_a_stream_without_frames_is_refused() -> None:
    data = make(Clip(container="mkv", frames=1))
    cluster = data.find(bytes.fromhex("1f43b675"))
    with pytest.raises(InputError, match=r"without a single frame|end of file"), open_video(io.BytesIO(data[:cluster])):
        pass


def test_a_file_object_without_seek_can_be_read() -> None:
    class Pipe:
        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def read(self, size: int) -> bytes:
            return self._data.read(size)

    with open_video(Pipe(make(Clip(container="mkv")))) as video:  # type: ignore[arg-type]
        assert sum(1 for _ in video) == 12


def test_the_facts_of_the_video_stream() -> None:
    clip = Clip(time_base=Fraction(1001, 30000), rate=Fraction(30000, 1001), sample_aspect_ratio=Fraction(4, 3))
    with Source(io.BytesIO(make(clip))) as source:
        assert source.frame_rate == Fraction(30000, 1001)
        assert source.time_base == Fraction(1, 30000)
        assert source.frame_count == 12
        assert source.duration_s == Fraction(12 * 1001, 30000)
