"""NVENC through the real PyNvVideoCodec: what is asked of it, and files that any program reads back as they went in."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
import pytest

from kernels.errors import EncodeSettingsError
from kernels.frame import VideoFormat
from kernels.io.capabilities import EncoderCaps
from kernels.io.encode import EncodeSettings
from kernels.io.nvenc_options import PRESETS, NvencOptions, nvenc_options
from kernels.pixel_format import pixel_format
from tests.kernels.io.clips import X264_B_FRAMES, Clip, make
from tests.kernels.nv.streams import write_stream

if TYPE_CHECKING:
    from pathlib import Path

    from tests.kernels.nv.conftest import Machine

HDR_COLOR: Final = {"color_range": 1, "colorspace": 9, "color_trc": 16, "color_primaries": 9}
HDR_DISPLAY: Final = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
HDR_PARAMS: Final = f"log-level=none:max-cll=1000,400:master-display={HDR_DISPLAY}"
CLIPS: Final = {
    "plain": Clip(size=(64, 48)),
    "not a multiple of 16": Clip(size=(82, 50)),
    "b_frames": Clip(options=X264_B_FRAMES, frames=30),
    "variable_rate": Clip(frames=12, pts=[0, 1, 5, 6, 7, 20, 21, 40, 41, 43, 50, 99], time_base=Fraction(1, 90)),
    "full_chroma": Clip(pixel_format="yuv444p"),
    "tagged": Clip(color=HDR_COLOR, sample_aspect_ratio=Fraction(4, 3)),
    "full range": Clip(color={**HDR_COLOR, "color_range": 2}),
    "one_frame": Clip(frames=1),
}
TAGS: Final = ("color_primaries", "color_trc", "colorspace", "color_range")
CAPS: Final = EncoderCaps(
    engines=1, max_b_frames=4, has_10_bit=True, has_444=True, min_size=(33, 33), max_size=(4096, 4096)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A file read back with libav."""

    times: list[Fraction]
    frames: list[Any]
    packets: list[tuple[Fraction, Fraction, bool]]
    """Seconds of pts and dts (of pts again where Matroska has no other), and whether it is a keyframe."""
    tags: dict[str, int]
    sample_aspect_ratio: Fraction | None
    codec_tag: str


def read(path: Path | bytes) -> Read:
    file = io.BytesIO(path) if isinstance(path, bytes) else str(path)
    with av.open(file) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        dts = [packet.pts if packet.dts is None else packet.dts for packet in packets]
        frames = [frame for packet in [*packets, None] for frame in stream.codec_context.decode(packet)]
        base = stream.time_base
        return Read(
            times=[Fraction(frame.pts * base) for frame in frames],
            frames=frames,
            packets=[
                (Fraction(packet.pts * base), Fraction(when * base), packet.is_keyframe)
                for packet, when in zip(packets, dts, strict=True)
            ],
            tags={name: int(getattr(frames[0], name)) for name in TAGS},
            sample_aspect_ratio=stream.sample_aspect_ratio,
            codec_tag=stream.codec_context.codec_tag,
        )


def encode(machine: Machine, clip: bytes, suffix: str = "mp4", where: str = "host", **settings: Any) -> Path:
    """The file that NVENC makes of `clip`."""
    path, target = machine.work / "in", machine.work / f"out.{suffix}"
    path.write_bytes(clip)
    said = run(machine, path, target, where, settings)
    assert "error" not in said, said["error"]
    assert said["unread"] == 0, "a frame is let go of before the encoder has read it"
    return target


def run(machine: Machine, path: Path, target: Path, where: str, settings: dict[str, Any]) -> dict[str, Any]:
    arguments = (str(path), str(target), where, json.dumps(settings))
    ended = machine.run("-W", "error", "-m", "tests.kernels.nv.encode_clip", *arguments)
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return said


def samples(frame: Any) -> list[np.ndarray]:
    return [np.from_dlpack(plane) for plane in frame.planes]


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(samples(one), samples(other), strict=True))


@pytest.mark.parametrize("where", ["host", "device"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.long
def test_frames_come_back_as_they_went_in(machine: Machine, name: str, suffix: str, where: str) -> None:
    """The stand-in codes H.264 without loss, so the file must decode to the very frames."""
    clip = make(CLIPS[name])
    before, after = read(clip), read(encode(machine, clip, suffix, where))
    assert len(after.frames) == CLIPS[name].frames
    assert all(same(one, other) for one, other in zip(before.frames, after.frames, strict=True))
    shift = after.times[0] - before.times[0]
    exact = 0 if suffix != "mkv" else Fraction(1, 2000)  # Matroska counts milliseconds
    off = [abs(b - a - shift) for a, b in zip(before.times, after.times, strict=True)]
    assert max(off) <= 2 * exact
    assert all(dts <= pts for pts, dts, _ in after.packets)
    if suffix != "mkv":  # where libav makes decode times up
        assert all(one < other for (_, one, _), (_, other, _) in pairwise(after.packets))
    assert after.packets[0][2]
    if "color_range" in CLIPS[name].color:
        assert after.tags == before.tags
    assert after.sample_aspect_ratio in (before.sample_aspect_ratio, None if suffix == "mkv" else Fraction(1))


@pytest.mark.parametrize("where", ["host", "device"])
def test_deep_frames_come_back_as_they_went_in(machine: Machine, where: str) -> None:
    clip = make(Clip(pixel_format="yuv420p10le", size=(80, 52)))
    after = read(encode(machine.with_(NV_H264_BITS=10), clip, where=where))
    assert after.frames[0].format.name == "yuv420p10le"
    assert all(same(one, other) for one, other in zip(read(clip).frames, after.frames, strict=True))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("codec", ["hevc", "av1"])
@pytest.mark.parametrize("name", ["plain", "variable_rate", "tagged"])
def test_hevc_and_av1_are_muxed_as_well(machine: Machine, name: str, codec: str, suffix: str) -> None:
    clip = make(replace(CLIPS[name], size=(64, 64)))
    machine = machine.with_(**write_stream(clip, codec, machine.work))
    before, after = read(clip), read(encode(machine, clip, suffix, codec=codec))
    assert len(after.frames) == len(before.frames)
    exact = 0 if suffix != "mkv" else Fraction(1, 1000)
    shift = after.times[0] - before.times[0]
    assert max(abs(b - a - shift) for a, b in zip(before.times, after.times, strict=True)) <= exact
    assert all(dts <= pts for pts, dts, _ in after.packets)
    assert any(dts != pts for pts, dts, _ in after.packets) is (codec == "hevc")
    pairs = zip(before.frames, after.frames, strict=True)
    luma = [np.abs(samples(a)[0].astype(int) - samples(b)[0]).mean() for a, b in pairs]
    assert max(luma) < 12, "each picture is at its time"
    if "color_range" in CLIPS[name].color:
        assert after.tags == before.tags
    if suffix == "mp4":
        assert after.codec_tag == {"hevc": "hvc1", "av1": "av01"}[codec]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_hdr10_metadata_stands_before_every_keyframe(machine: Machine, codec: str) -> None:
    source = Clip(
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": HDR_PARAMS},
        color=HDR_COLOR,
        size=(64, 64),
        pixel_format="yuv420p10le",
        frames=6,
    )
    clip = make(source)
    switches = write_stream(clip, codec, machine.work) if codec != "h264" else {"NV_H264_BITS": "10"}
    after = read(encode(machine.with_(**switches), clip, codec=codec))
    wanted = {data.type.name: bytes(data) for data in read(clip).frames[0].side_data if "LEVEL" in data.type.name}
    found = {data.type.name: bytes(data) for data in after.frames[0].side_data}
    assert wanted["CONTENT_LIGHT_LEVEL"] == found["CONTENT_LIGHT_LEVEL"]
    display = _rationals(found["MASTERING_DISPLAY_METADATA"])
    wanted_display = [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.0001, 1000]
    assert display == pytest.approx(wanted_display, abs=4e-5)


def _rationals(data: bytes) -> list[float]:
    numbers = np.frombuffer(data, np.int32)[:20]
    return [int(a) / int(b) for a, b in zip(numbers[0::2], numbers[1::2], strict=True)]


def test_a_device_without_memory_is_an_error_of_ours(machine: Machine) -> None:
    path = machine.work / "in"
    path.write_bytes(make(Clip()))
    said = run(machine, path, machine.work / "out.mp4", "full", {})
    assert said["error"] == "UnavailableError: NVENC fails: Out of memory allocating 4608 bytes; use --backend cpu"


def test_options_reach_the_driver(machine: Machine) -> None:
    clip = make(Clip(rate=Fraction(30000, 1001), time_base=Fraction(1001, 30000)))
    encode(machine, clip, codec="h264", crf=23, preset="slow")
    told = machine.log("encoder")[-1]
    assert told == {
        "call": "encoder",
        "codec": "h264",
        "preset": 6,
        "width": 64,
        "height": 48,
        "rate": [30000, 1001],
        "gop": 250,
        "p_interval": 4,
        "mode": 1,
        "qp": [0, 0, 0],
        "quality": 23,
        "average": 0,
        "max": 0,
        "lookahead": 0,
    }


def test_lossless_asks_for_the_smallest_quantizer(machine: Machine) -> None:
    encode(machine, make(CLIPS["plain"]), crf=0)
    told = machine.log("encoder")[-1]
    assert (told["mode"], told["qp"]) == (0, [0, 0, 0])


@pytest.mark.parametrize("frames", [0, 1, 2, 4])
def test_a_gpu_with_fewer_b_frames_is_asked_for_fewer(machine: Machine, frames: int) -> None:
    clip = make(replace(CLIPS["plain"], frames=13))
    after = read(encode(machine.with_(NV_MAX_BFRAMES=frames), clip))
    assert machine.log("encoder")[-1]["p_interval"] == min(frames, 3) + 1
    assert all(same(one, other) for one, other in zip(read(clip).frames, after.frames, strict=True))
    assert any(dts != pts for pts, dts, _ in after.packets) is (frames > 0)


def test_every_preset_has_its_place() -> None:
    format_ = VideoFormat(width=64, height=64, pixel_format=pixel_format("yuv420p"))
    for codec, table in PRESETS.items():
        assert tuple(table) == EncodeSettings(codec=codec).encoder.presets
        speeds = []
        for preset in table:
            settings = EncodeSettings(codec=codec, preset=preset)
            speeds.append(nvenc_options(settings, format_, CAPS, fallback_rate=Fraction(25)).preset)
        assert speeds == sorted(speeds, reverse=codec == "av1"), "slower in software is slower here"


def test_options_out_of_range_are_refused() -> None:
    good = NvencOptions(codec="h264", surface="NV12", preset=5, quality=20, b_frames=3, rate=Fraction(25))
    assert good.arguments()["fps"] == "25/1"
    wrong: dict[str, Any] = {
        "codec": "vp9",
        "surface": "IYUV",
        "preset": 8,
        "quality": 52,
        "b_frames": 5,
        "gop_frames": 0,
        "rate": Fraction(0),
    }
    for name, value in wrong.items():
        with pytest.raises(EncodeSettingsError):
            replace(good, **{name: value})
