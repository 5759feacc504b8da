"""NVDEC through the real PyNvVideoCodec: the frames that software decodes, whatever the driver does."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.kernels.io.clips import X264_B_FRAMES, X264_OPEN_GOP, Clip, Sound, make
from tests.kernels.nv.pictures import write_pictures

if TYPE_CHECKING:
    from tests.kernels.nv.conftest import Machine

CLIPS: Final = {
    "plain": Clip(),
    "b_frames": Clip(options=X264_B_FRAMES, frames=30),
    "open_gop": Clip(options=X264_OPEN_GOP, frames=30),
    "variable_rate": Clip(
        options=X264_B_FRAMES, frames=12, pts=[0, 1, 5, 6, 7, 20, 21, 40, 41, 43, 50, 99], time_base=Fraction(1, 90)
    ),
    "mkv": Clip(container="mkv", options=X264_B_FRAMES, frames=20, sounds=(Sound(),)),
    "ts": Clip(container="ts", options=X264_B_FRAMES, frames=20, sounds=(Sound(),), time_base=Fraction(1, 25)),
    "hevc": Clip(codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none"}, frames=12),
    "hevc_10_bit": Clip(
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": "log-level=none"},
        pixel_format="yuv420p10le",
        frames=9,
    ),
    "hevc_12_bit": Clip(
        codec="libx265",
        options={"preset": "ultrafast", "x265-params": "log-level=none"},
        pixel_format="yuv420p12le",
        frames=9,
    ),
    "full_chroma": Clip(pixel_format="yuv444p"),
    "full_chroma_10_bit": Clip(pixel_format="yuv444p10le"),
    "half_chroma": Clip(pixel_format="yuv422p"),
    "half_chroma_10_bit": Clip(pixel_format="yuv422p10le"),
    "odd_width": Clip(codec="libvpx-vp9", container="mkv", options={"cpu-used": "8"}, size=(65, 48)),
    "vp9": Clip(codec="libvpx-vp9", container="mkv", options={"cpu-used": "8"}),
    "av1": Clip(codec="libsvtav1", options={"preset": "12"}, size=(64, 64), frames=9),
    "av1_mkv": Clip(codec="libsvtav1", container="mkv", options={"preset": "12"}, size=(64, 64), frames=9),
    "color": Clip(color={"color_range": 2, "colorspace": 1, "color_trc": 1, "color_primaries": 1}),
    "one_frame": Clip(frames=1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What `decode_both` said."""

    frames: int
    differences: list[str]
    warnings: list[str]
    missing: list[int]
    contiguous: bool
    pixel_formats: list[str]
    pitches: list[int]


def decode(machine: Machine, clip: Clip | bytes, where: str = "host", **options: Any) -> Decoded:
    data = make(clip) if isinstance(clip, Clip) else clip
    path = machine.work / "clip"
    path.write_bytes(data)
    write_pictures(data, machine.work / "pictures")
    machine = machine.with_(NV_PICTURES=machine.work / "pictures")
    ended = machine.run("-W", "error", "-m", "tests.kernels.nv.decode_both", str(path), where, json.dumps(options))
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said["frames"] == said["expected"]
    assert said["other_packets"][0] == said["other_packets"][1]
    names = Decoded.__slots__
    return Decoded(**{name: said[name] for name in names})


DEEP: Final = {
    "h264": replace(CLIPS["b_frames"], pixel_format="yuv420p10le"),
    "full chroma": replace(CLIPS["open_gop"], pixel_format="yuv444p10le"),
    "hevc, 12 bits": replace(CLIPS["hevc_12_bit"], frames=30),
}


def form_of(clip: Clip, *, shifted: bool) -> str:
    """How frames hold the samples of `clip`."""
    pixel = clip.pixel_format.removesuffix("le")
    return f"{pixel}<<{16 - int(pixel[-2:])}" if shifted else pixel


@pytest.mark.parametrize("where", ["host", "device"])
@pytest.mark.parametrize("name", CLIPS)
def test_frames_are_those_of_software(machine: Machine, name: str, where: str) -> None:
    decoded = decode(machine, CLIPS[name], where)
    assert decoded.frames == CLIPS[name].frames
    assert decoded.differences == []
    assert decoded.warnings == []
    assert decoded.missing == [0, 0]
    assert decoded.contiguous or where == "device"
    assert machine.log("decoder"), "NVDEC was used"
    assert len(machine.log("packet")) == decoded.frames


@pytest.mark.parametrize("name", DEEP)
def test_deep_frames_keep_the_form_of_surfaces_on_the_device_alone(machine: Machine, name: str) -> None:
    """Nothing but a copy is made of them there; what reads them takes codes from the top of 16 bits."""
    for where in ("device", "left", "host"):
        decoded = decode(machine, DEEP[name], where)
        assert decoded.differences == []
        assert decoded.warnings == []
        assert decoded.pixel_formats == [form_of(DEEP[name], shifted=where != "host")]


@pytest.mark.parametrize(
    "clip",
    [
        Clip(size=(854, 32), frames=3),
        replace(DEEP["h264"], size=(1366, 32), frames=3),
        replace(CLIPS["odd_width"], frames=3),
        Clip(size=(66, 48), pixel_format="yuv444p", frames=3),
    ],
    ids=lambda clip: f"{clip.size[0]} {clip.pixel_format}",
)
def test_rows_on_the_device_begin_where_long_words_do(machine: Machine, clip: Clip) -> None:
    decoded = decode(machine, clip, "device")
    assert decoded.differences == []
    assert all(pitch % 64 == 0 for pitch in decoded.pitches)


def test_packets_reach_nvdec_as_units_behind_start_codes(machine: Machine) -> None:
    decode(machine, CLIPS["b_frames"])
    packets = machine.log("packet")
    assert all(packet["starts"][:4] == [0, 0, 0, 1] or packet["starts"][:3] == [0, 0, 1] for packet in packets)
    assert packets[0]["starts"][4] & 0x1F == 7, "the first one brings the parameter sets"
    assert [packet["time"] for packet in packets] != sorted(packet["time"] for packet in packets)


@pytest.mark.parametrize("where", ["host", "device"])
@pytest.mark.parametrize("name", ["b_frames", "open_gop", "ts", "mkv"])
def test_a_span_begins_and_ends_where_software_does(machine: Machine, name: str, where: str) -> None:
    decoded = decode(machine, replace(CLIPS[name], frames=30), where, start=0.4, end=0.9)
    assert decoded.frames in (12, 13)
    assert decoded.differences == []
    assert decoded.warnings == []


FAULTS: Final = {
    "the first picture is lost": {"NV_DROP": "0"},
    "a picture is lost": {"NV_DROP": "13"},
    "pictures are lost": {"NV_DROP": "5,6,20"},
    "the last picture is lost": {"NV_DROP": "29"},
    "a picture is shown twice": {"NV_REPEAT": "7"},
    "parsing fails": {"NV_PARSE_FAIL": "17"},
    "nothing works": {"NV_PARSE_FAIL": "0"},
    "pictures come out of order": {"NV_DELAY": "0"},
}


@pytest.mark.parametrize("name", ["b_frames", "open_gop", "ts"])
@pytest.mark.parametrize("fault", FAULTS)
def test_software_takes_over_without_losing_a_frame(machine: Machine, name: str, fault: str) -> None:
    decoded = decode(machine.with_(**FAULTS[fault]), replace(CLIPS[name], frames=30))
    assert decoded.frames == 30
    assert decoded.differences == []
    assert decoded.warnings[-1].startswith("software decoded instead of NVDEC: it ")


@pytest.mark.parametrize("where", ["device", "left", "host"])
@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("fault", ["a picture is lost", "parsing fails", "the first picture is lost", "nothing works"])
@pytest.mark.long
def test_software_takes_over_with_deep_frames_as_they_were(machine: Machine, name: str, fault: str, where: str) -> None:
    """Every frame has the format that the first one told, which the whole job was planned for."""
    decoded = decode(machine.with_(**FAULTS[fault]), DEEP[name], where)
    assert decoded.frames == 30
    assert decoded.differences == []
    assert decoded.warnings[-1].startswith("software decoded instead of NVDEC: it ")
    shifted = where != "host" and fault in ("a picture is lost", "parsing fails")
    assert decoded.pixel_formats == [form_of(DEEP[name], shifted=shifted)]


def test_software_takes_over_within_a_span(machine: Machine) -> None:
    decoded = decode(machine.with_(NV_DROP="9"), CLIPS["open_gop"], start=0.4, end=1.0)
    assert decoded.differences == []
    assert decoded.warnings[-1] == "software decoded instead of NVDEC: it shows no picture for a packet"


def test_software_takes_over_where_the_device_has_no_memory(machine: Machine) -> None:
    decoded = decode(machine, CLIPS["b_frames"], "full")
    assert decoded.frames == 30
    assert decoded.differences == []
    problem = "its pictures cannot be copied (Out of memory allocating 36,864 bytes)"
    assert decoded.warnings == [f"software decoded instead of NVDEC: {problem}"]


def test_a_lost_picture_that_nobody_wants_is_no_loss(machine: Machine) -> None:
    decoded = decode(machine.with_(NV_DROP="1"), CLIPS["b_frames"], start=0.6)
    assert decoded.differences == []
    assert decoded.warnings == []


def test_a_picture_of_another_size_is_not_scaled(machine: Machine) -> None:
    raw = [make(Clip(container="ts", frames=8, size=size)) for size in ((64, 48), (96, 48))]
    path = machine.work / "clip"
    path.write_bytes(b"".join(raw))
    write_pictures(raw[0], machine.work / "pictures")
    ended = machine.with_(NV_PICTURES=machine.work / "pictures").run(
        "-m", "tests.kernels.nv.decode_both", str(path), "host", "{}"
    )
    assert "the picture changes from 64x48 yuv420p to 96x48 yuv420p at frame 8" in ended.stderr


def test_a_driver_that_decimates_chroma_is_noticed(machine: Machine) -> None:
    clip = make(CLIPS["half_chroma"])
    write_pictures(make(CLIPS["plain"]), machine.work / "other")
    (machine.work / "clip").write_bytes(clip)
    ended = machine.with_(NV_PICTURES=machine.work / "other").run(
        "-m", "tests.kernels.nv.decode_both", str(machine.work / "clip"), "host", "{}"
    )
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said["differences"] == []
    assert said["warnings"] == ["software decoded instead of NVDEC: it gives NV12 surfaces, not NV16"]


def test_who_insists_is_told(machine: Machine) -> None:
    clip = make(CLIPS["b_frames"])
    (machine.work / "clip").write_bytes(clip)
    write_pictures(clip, machine.work / "pictures")
    machine = machine.with_(NV_PICTURES=machine.work / "pictures", NV_DROP="3")
    options = json.dumps({"insist": True})
    ended = machine.run("-m", "tests.kernels.nv.decode_both", str(machine.work / "clip"), "host", options)
    said = json.loads(ended.stdout.splitlines()[-1])["unavailable"]
    assert said.startswith("NVDEC cannot decode ")
    assert said.endswith("it shows no picture for a packet; use --backend cpu")


def test_frames_that_an_edit_list_hides_stay_hidden(machine: Machine, ffmpeg: str) -> None:
    """FFmpeg cuts without encoding: packets before the cut are kept to decode from, and not to be shown."""
    (machine.work / "whole.mp4").write_bytes(make(Clip(options=X264_B_FRAMES, frames=40)))
    cut = ["-ss", "0.7", "-i", str(machine.work / "whole.mp4"), "-c", "copy", str(machine.work / "cut.mp4")]
    subprocess.run([ffmpeg, "-v", "error", *cut], check=True)
    decoded = decode(machine, (machine.work / "cut.mp4").read_bytes())
    assert decoded.frames == 22
    assert len(machine.log("packet")) > 22
    assert decoded.differences == []
    assert decoded.warnings == []


def test_packets_without_times_are_for_software(machine: Machine) -> None:
    decoded = decode(machine, Clip(container="h264", options=X264_B_FRAMES, frames=20))
    assert decoded.differences == []
    assert decoded.warnings[-1] == "software decoded instead of NVDEC: a packet has no time"
