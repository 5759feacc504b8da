"""On a real GPU: what the stand-in cannot show about NVDEC and NVENC."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
import pytest

from kernels.errors import UnavailableError
from kernels.io.nvcaps import decoder_caps, encoder_caps
from tests.kernels.io.clips import X264_B_FRAMES, X264_OPEN_GOP, Clip, make

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.gpu

SIZE: Final = (320, 240)
DEEP: Final = "yuv420p10le"
X265: Final = {"preset": "ultrafast", "x265-params": "log-level=none"}
DECODED: Final = {
    "h264": (Clip(options=X264_B_FRAMES, frames=60, size=SIZE), ("h264", "420", 8)),
    "open_gop": (Clip(options=X264_OPEN_GOP, frames=60, size=SIZE), ("h264", "420", 8)),
    "854 wide": (Clip(options=X264_B_FRAMES, frames=20, size=(854, 480)), ("h264", "420", 8)),
    "1080 rows": (Clip(frames=8, size=(1920, 1080)), ("h264", "420", 8)),
    "hevc": (Clip(codec="libx265", options=X265, frames=60, size=SIZE), ("hevc", "420", 8)),
    "hevc_10_bit": (
        Clip(codec="libx265", options=X265, frames=60, size=SIZE, pixel_format=DEEP),
        ("hevc", "420", 10),
    ),
    "1366 wide, 10 bits": (
        Clip(codec="libx265", options=X265, frames=20, size=(1366, 768), pixel_format=DEEP),
        ("hevc", "420", 10),
    ),
    "hevc_12_bit": (
        Clip(codec="libx265", options=X265, frames=20, size=SIZE, pixel_format="yuv420p12le"),
        ("hevc", "420", 12),
    ),
    "hevc_444": (Clip(codec="libx265", options=X265, frames=20, size=SIZE, pixel_format="yuv444p"), ("hevc", "444", 8)),
    "vp9": (
        Clip(codec="libvpx-vp9", container="mkv", options={"cpu-used": "8"}, frames=30, size=SIZE),
        ("vp9", "420", 8),
    ),
    "odd width": (
        Clip(codec="libvpx-vp9", container="mkv", options={"cpu-used": "8"}, frames=9, size=(321, 240)),
        ("vp9", "420", 8),
    ),
    "av1": (Clip(codec="libsvtav1", options={"preset": "12"}, frames=30, size=SIZE), ("av1", "420", 8)),
    "av1_10_bit": (
        Clip(codec="libsvtav1", options={"preset": "12"}, frames=20, size=SIZE, pixel_format=DEEP),
        ("av1", "420", 10),
    ),
}


def said_by(module: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"tests.kernels.nv.{module}", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize("where", ["host", "gpu", "late"])
@pytest.mark.parametrize("name", DECODED)
def test_nvdec_gives_the_samples_of_software(tmp_path: Path, name: str, where: str) -> None:
    clip, (codec, chroma, depth) = DECODED[name]
    if not decoder_caps(codec, chroma, depth).is_supported:
        return  # the pipeline does not use it then; that choice is tested beside the stand-in driver
    (tmp_path / "clip").write_bytes(make(clip))
    said = said_by("decode_both", str(tmp_path / "clip"), where, "{}")
    assert said["frames"] == said["expected"] == clip.frames
    assert said["differences"] == []
    assert said["warnings"] == []


@pytest.mark.parametrize("where", ["host", "gpu", "late"])
def test_nvdec_gives_the_samples_of_software_for_deep_vp9(tmp_path: Path, where: str, ffmpeg: str) -> None:
    """PyAV's libvpx codes 8 bits alone; that of the `ffmpeg` program codes 10."""
    if not decoder_caps("vp9", "420", 10).is_supported:
        return  # as above
    source = ["-f", "lavfi", "-i", f"testsrc2=size={SIZE[0]}x{SIZE[1]}:rate=25:duration=0.8"]
    command = [ffmpeg, "-v", "error", *source, "-pix_fmt", DEEP, "-c:v", "libvpx-vp9", "-cpu-used", "8"]
    subprocess.run([*command, str(tmp_path / "clip.mkv")], check=True)
    said = said_by("decode_both", str(tmp_path / "clip.mkv"), where, "{}")
    assert said["frames"] == said["expected"] == 20
    assert said["differences"] == []
    assert said["warnings"] == []


@pytest.mark.parametrize("chain", ["null", "hflip"])
@pytest.mark.parametrize("name", ["hevc_10_bit", "1366 wide, 10 bits", "hevc_12_bit", "854 wide"])
def test_a_job_gives_the_frames_of_software(tmp_path: Path, name: str, chain: str) -> None:
    """From NVDEC's surfaces through the GPU's kernels to a lossless encoder: every code is where it was."""
    (tmp_path / "clip").write_bytes(make(DECODED[name][0]))
    command = [sys.executable, "-m", "runner", "run", str(tmp_path / "clip"), str(tmp_path / "out.mkv"), "--json", "-q"]
    options = ["--codec", "ffv1", *(["--vf", chain] if chain != "null" else [])]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    wanted, found = _frames(tmp_path / "clip"), _frames(tmp_path / "out.mkv")
    assert len(found) == len(wanted)
    step = -1 if chain == "hflip" else 1
    assert all(np.array_equal(one[1], other[1][:, ::step]) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("where", ["host", "gpu"])
@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_nvenc_takes_deep_frames(tmp_path: Path, codec: str, where: str) -> None:
    if not encodes(codec) or not encoder_caps(codec).has_10_bit:
        return  # as above
    (tmp_path / "clip").write_bytes(make(DECODED["hevc_10_bit"][0]))
    said_by("encode_clip", str(tmp_path / "clip"), str(tmp_path / "out.mkv"), where, json.dumps({"codec": codec}))
    wanted, found = _frames(tmp_path / "clip"), _frames(tmp_path / "out.mkv")
    assert len(found) == len(wanted)
    assert found[0][1].dtype == np.uint16
    assert max(np.abs(one[1].astype(int) - other[1]).mean() for one, other in zip(found, wanted, strict=True)) < 24


@pytest.mark.parametrize("start", [0.3, 0.52, 1.0])
def test_nvdec_begins_in_the_middle(tmp_path: Path, start: float) -> None:
    clip, _ = DECODED["open_gop"]
    (tmp_path / "clip").write_bytes(make(clip))
    said = said_by("decode_both", str(tmp_path / "clip"), "gpu", json.dumps({"start": start, "end": 1.6}))
    assert said["frames"] == said["expected"]
    assert said["differences"] == []
    assert said["warnings"] == []


def encodes(codec: str) -> bool:
    try:
        encoder_caps(codec)
    except UnavailableError:
        return False
    return True


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("where", ["host", "gpu", "late"])
@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_nvenc_gives_every_frame_at_its_time(tmp_path: Path, codec: str, where: str, suffix: str) -> None:
    if not encodes(codec):
        return  # as above
    clip = Clip(frames=40, size=SIZE, pts=[n * n // 3 + n for n in range(40)], time_base=Fraction(1, 90))
    (tmp_path / "clip").write_bytes(make(clip))
    target = tmp_path / f"out.{suffix}"
    said_by("encode_clip", str(tmp_path / "clip"), str(target), where, json.dumps({"codec": codec}))
    wanted, found = _frames(tmp_path / "clip"), _frames(target)
    assert len(found) == len(wanted)
    exact = 0 if suffix == "mp4" else Fraction(1, 1000)
    assert all(abs(one[0] - other[0]) <= exact for one, other in zip(found, wanted, strict=True))
    assert max(np.abs(one[1].astype(int) - other[1]).mean() for one, other in zip(found, wanted, strict=True)) < 6
    with av.open(str(target)) as container:
        dts = [packet.dts for packet in container.demux(video=0) if packet.size and packet.dts is not None]
    assert all(one < other for one, other in pairwise(dts))


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_nvenc_tags_what_it_codes(tmp_path: Path, codec: str) -> None:
    if not encodes(codec):
        return  # as above
    color = {"color_range": 1, "colorspace": 9, "color_trc": 16, "color_primaries": 9}
    (tmp_path / "clip").write_bytes(make(replace(DECODED["h264"][0], color=color)))
    target = tmp_path / "out.mkv"
    said_by("encode_clip", str(tmp_path / "clip"), str(target), "gpu", json.dumps({"codec": codec}))
    raw = io.BytesIO(target.read_bytes())
    with av.open(raw) as container:
        frame = next(container.decode(video=0))
        assert {name: int(getattr(frame, name)) for name in color} == color


def _frames(path: Path) -> list[tuple[Fraction, np.ndarray]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        start = frames[0].pts
        return [
            (Fraction((frame.pts - start) * frame.time_base), np.from_dlpack(frame.planes[0]).copy())
            for frame in frames
        ]
