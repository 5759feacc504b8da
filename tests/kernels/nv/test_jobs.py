"""Whole jobs beside a driver: who does what, why not the GPU, and the same frames in any case."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
import pytest

from tests.kernels.io.clips import X264_B_FRAMES, Clip, Sound, make
from tests.kernels.nv.pictures import write_pictures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kernels.nv.conftest import Machine

CLIP: Final = Clip(options=X264_B_FRAMES, frames=30, sounds=(Sound(),))
NO_CUPY: Final = (
    "filters run on the CPU: CuPy is not installed (pip install 'framehaul[cuda12]' or 'framehaul[cuda13]')"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A finished `runner run`."""

    decoder: str
    encoder: str
    warnings: list[str]
    """Beside the one about CuPy, which is not installed where tests run."""
    frames_out: int
    output: Path


def prepare(machine: Machine, clip: Clip = CLIP) -> Machine:
    """A machine whose decoder knows the pictures of `clip`, which lies beside it as in.mp4."""
    data = make(clip)
    (machine.work / "in.mp4").write_bytes(data)
    write_pictures(data, machine.work / "pictures")
    return machine.with_(NV_PICTURES=machine.work / "pictures")


def run(machine: Machine, *options: str, suffix: str = "mp4") -> Ran:
    target = machine.work / f"result.{suffix}"
    ended = machine.runner("run", str(machine.work / "in.mp4"), str(target), "-y", "-q", "--json", *options)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    return Ran(
        decoder=said["decoder"],
        encoder=said["encoder"],
        warnings=[warning for warning in said["warnings"] if not warning.startswith(NO_CUPY)],
        frames_out=said["frames_out"],
        output=target,
    )


def content(path: Path) -> tuple[list[Any], list[np.ndarray], list[bytes]]:
    """Times, luma planes, and the packets of the sound."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        start = frames[0].pts
        times = [(frame.pts - start) * frame.time_base for frame in frames]
        luma = [np.from_dlpack(frame.planes[0]).copy() for frame in frames]
    with av.open(str(path)) as container:
        sound = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    return times, luma, sound


def test_a_job_uses_both_engines(machine: Machine) -> None:
    machine = prepare(machine)
    ran = run(machine)
    assert (ran.decoder, ran.encoder, ran.warnings) == ("NVDEC", "NVENC", [])
    wanted, found = content(machine.work / "in.mp4"), content(ran.output)
    assert found[0] == wanted[0]
    assert all(np.array_equal(*pair) for pair in zip(found[1], wanted[1], strict=True))
    assert found[2] == wanted[2]


TURNS: Final[dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "": lambda plane: plane,
    "hflip": lambda plane: plane[:, ::-1],
    "vflip,transpose=clock": lambda plane: plane.T,
}


@pytest.mark.parametrize("chain", TURNS)
@pytest.mark.parametrize("lost", ["", "17"])
def test_deep_frames_pass_between_the_engines_and_the_cpu(machine: Machine, chain: str, lost: str) -> None:
    clip = replace(CLIP, pixel_format="yuv420p10le")
    machine = prepare(machine, clip).with_(NV_H264_BITS=10, NV_DROP=lost)
    ran = run(machine, *(("--vf", chain) if chain else ()))
    assert (ran.decoder, ran.encoder) == ("NVDEC", "NVENC")
    wanted, found = frames_of(machine.work / "in.mp4"), frames_of(ran.output)
    assert len(found) == 30
    for one, other in zip(found, wanted, strict=True):
        assert all(np.array_equal(a, TURNS[chain](b)) for a, b in zip(one, other, strict=True))


def test_filters_between_the_engines_change_the_frames(machine: Machine) -> None:
    machine = prepare(machine)
    ran = run(machine, "--vf", "hflip")
    assert (ran.decoder, ran.encoder) == ("NVDEC", "NVENC")
    wanted, found = content(machine.work / "in.mp4"), content(ran.output)
    assert all(np.array_equal(one, other[:, ::-1]) for one, other in zip(found[1], wanted[1], strict=True))


WORK: Final = {
    "no NVENC": (
        {"NV_ENCODERS": "none"},
        (),
        ("NVDEC", "software"),
        ["encoding in software: this GPU has no encoder (NVENC)"],
    ),
    "no decoder for it": (
        {"NV_UNSUPPORTED": "4:1:8"},
        (),
        ("software", "NVENC"),
        ["decoding in software: this GPU cannot decode 8-bit 4:2:0 h264"],
    ),
    "no AV1 encoder": (
        {"NV_ENCODERS": "h264,hevc"},
        ("--codec", "av1", "--preset", "12"),
        ("NVDEC", "software"),
        ["encoding in software: this GPU cannot encode av1"],
    ),
    "too large for both": (
        {"NV_MAX_SIDE": "60"},
        (),
        ("software", "software"),
        [
            "decoding in software: this GPU decodes h264 from 48x16 to 60x60, not 64x48",
            "encoding in software: this GPU encodes h264 from 33x33 to 60x60, not 64x48",
        ],
    ),
    "no session": (
        {"NV_OPEN": "10"},
        (),
        ("NVDEC", "software"),
        [
            "encoding in software: NVENC opens no further session: other programs hold all that the driver allows",
        ],
    ),
    "all damage wanted": (
        {},
        ("--strict",),
        ("software", "NVENC"),
        ["decoding in software: only software reports all damage, as --strict asks"],
    ),
    "half chroma": (
        {},
        ("--vf", "format=yuv422p"),
        ("NVDEC", "software"),
        ["encoding in software: NVENC encodes no yuv422p as h264"],
    ),
    "software wanted": ({}, ("--backend", "cpu"), ("software", "software"), []),
}


@pytest.mark.long
@pytest.mark.parametrize("name", WORK)
def test_each_direction_goes_its_own_way(machine: Machine, name: str) -> None:
    switches, options, who, warnings = WORK[name]
    ran = run(prepare(machine).with_(**switches), *options)
    assert (ran.decoder, ran.encoder) == who
    assert ran.warnings == warnings
    assert ran.frames_out == 30


def test_software_asked_for_leaves_the_driver_alone(machine: Machine) -> None:
    machine = prepare(machine)
    run(machine, "--backend", "cpu")
    assert not machine.log("decoder")
    assert not machine.log("encoder")


def test_a_container_without_the_video_capability_is_told_how_to_get_it(machine: Machine) -> None:
    ran = run(prepare(machine).without("libnvcuvid.so.1", "libnvidia-encode.so.1"))
    assert (ran.decoder, ran.encoder) == ("software", "software")
    why = "the driver's libnvcuvid.so.1 is not here (in a container, start it with NVIDIA_DRIVER_CAPABILITIES="
    assert [warning.split(": ", 1)[0] for warning in ran.warnings] == ["decoding in software", "encoding in software"]
    assert all(why in warning for warning in ran.warnings)


def test_a_machine_without_a_driver_says_nothing(machine: Machine) -> None:
    machine = prepare(machine).without("libcuda.so.1")
    ran = run(machine)
    assert (ran.decoder, ran.encoder, ran.warnings) == ("software", "software", [])


def test_interlaced_video_stays_with_software(machine: Machine) -> None:
    options = {"preset": "ultrafast", "x264-params": "tff=1"}
    ran = run(prepare(machine, replace(CLIP, options=options, frames=30)))
    assert ran.decoder == "software"
    assert "decoding in software: NVDEC would deinterlace the frames" in ran.warnings


def test_a_job_survives_a_decoder_that_loses_a_picture(machine: Machine) -> None:
    machine = prepare(machine).with_(NV_DROP="17")
    ran = run(machine)
    assert ran.warnings == ["software decoded instead of NVDEC: it shows no picture for a packet"]
    wanted, found = content(machine.work / "in.mp4"), content(ran.output)
    assert found[0] == wanted[0]
    assert all(np.array_equal(*pair) for pair in zip(found[1], wanted[1], strict=True))
    assert found[2] == wanted[2]


@pytest.mark.parametrize("library", ["libcuda.so.1", None])
def test_who_insists_on_the_gpu_gets_exit_7(machine: Machine, library: str | None) -> None:
    machine = prepare(machine)
    machine = machine.without(library) if library else machine
    target = machine.work / "out.mp4"
    ended = machine.runner("run", str(machine.work / "in.mp4"), str(target), "-q", "--backend", "cuda")
    assert ended.returncode == 7
    lacking = "no NVIDIA driver library (libcuda.so.1)" if library else "CuPy is not installed"
    assert f"filters were to run on the GPU, which cannot: {lacking}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not target.exists()


INSIST: Final = """
import io, json, sys
from pathlib import Path
from kernels.backends import Backend
from kernels.choice import Choice, Wishes
from kernels.errors import UnavailableError
from kernels.frame import VideoFormat
from kernels.io.encode import EncodeSettings
from kernels.io.source import Source
from kernels.pixel_format import pixel_format
from fractions import Fraction
wishes = Wishes(decode=Backend.CUDA, filters=Backend.CPU, encode=Backend.CUDA)
said = []
with Source(sys.argv[1]) as source:
    choice = Choice(wishes)
    format_ = VideoFormat(width=64, height=48, pixel_format=pixel_format("yuv420p"))
    for ask in (
        lambda: choice.decoder(source),
        lambda: choice.prepare_encoder(EncodeSettings(), format_, time_base=Fraction(1, 25), side_data={}),
    ):
        try:
            ask()
            said.append("")
        except UnavailableError as error:
            said.append(str(error))
print(json.dumps(said))
"""


@pytest.mark.parametrize(
    ("switches", "decoding", "encoding"),
    [
        ({}, "", ""),
        ({"NV_ENCODERS": "none"}, "", "this GPU has no encoder (NVENC)"),
        ({"NV_UNSUPPORTED": "4:1:8"}, "this GPU cannot decode 8-bit 4:2:0 h264", ""),
    ],
)
def test_who_insists_is_told_which_direction_cannot(
    machine: Machine, switches: dict[str, object], decoding: str, encoding: str
) -> None:
    said = prepare(machine).with_(**switches).python(INSIST, str(machine.work / "in.mp4"))
    frame = "{} was to run on the GPU, which cannot: {}; see `runner doctor`"
    wanted = [frame.format(*pair) if pair[1] else "" for pair in (("decoding", decoding), ("encoding", encoding))]
    assert said == wanted


SEGMENTS: Final = """
import io, json, sys
from contextlib import contextmanager
from pathlib import Path
from kernels.backends import Backend
from kernels.io.encode import EncodeSettings
from kernels.io.index import read_index
from kernels.io.join import Piece
from kernels.segments import Settings, Window, encode_segment, join_segments, read_segment
path, target = Path(sys.argv[1]), Path(sys.argv[2])
index = read_index(str(path))
settings = Settings(container="mp4", encode=EncodeSettings(), encoder=Backend.CUDA)
pieces, encoders = [], []
for first, last in ((0, 11), (11, 25), (25, 30)):
    file = io.BytesIO()
    encoders.append(encode_segment(str(path), file, Window(first=first, last=last), index, settings).encoder)
    facts = read_segment(io.BytesIO(file.getvalue()), f"piece {first}")

    @contextmanager
    def open_again(data=file.getvalue()):
        yield io.BytesIO(data)

    pieces.append(
        Piece(first=first, last=last, open=open_again, reorder_frames=facts.reorder_frames, name=f"piece {first}")
    )
with target.open("w+b") as sink:
    join_segments(str(path), sink, pieces, index, settings)
print(json.dumps(encoders))
"""


def test_segments_from_nvenc_are_joined(machine: Machine) -> None:
    machine = prepare(machine)
    target = machine.work / "joined.mp4"
    assert machine.python(SEGMENTS, str(machine.work / "in.mp4"), str(target)) == ["NVENC"] * 3
    wanted, found = content(machine.work / "in.mp4"), content(target)
    assert found[0] == wanted[0]
    assert all(np.array_equal(*pair) for pair in zip(found[1], wanted[1], strict=True))
    assert found[2] == wanted[2]
    with av.open(io.BytesIO(target.read_bytes())) as container:
        dts = [packet.dts or 0 for packet in container.demux(video=0) if packet.size]
    assert dts == sorted(set(dts))


ON_DEVICE: Final = {
    "a plane operation": ("cas=0.5", "yuv420p", "NVDEC", "NVENC"),
    "a moved picture": ("hflip", "yuv420p", "NVDEC", "NVENC"),
    "no filter": ("", "yuv420p", "NVDEC", "NVENC"),
    "deep samples": ("hflip,eq=contrast=1.2", "yuv420p10le", "NVDEC", "NVENC"),
    "full chroma": ("cas=0.5", "yuv444p", "NVDEC", "NVENC"),
    "only NVDEC": ("cas=0.5", "yuv420p", "NVDEC", "software"),
    "only NVENC": ("cas=0.5", "yuv420p", "software", "NVENC"),
    "deep samples for software": ("cas=0.5", "yuv420p10le", "NVDEC", "software"),
    "deep samples for NVENC alone": ("unsharp", "yuv420p10le", "software", "NVENC"),
    "deep samples untouched": ("", "yuv420p10le", "NVDEC", "NVENC"),
    "deep samples moved": ("transpose,crop=40:32", "yuv420p10le", "NVDEC", "NVENC"),
    "deep samples moved at the end": ("eq=contrast=1.2,hflip", "yuv420p10le", "NVDEC", "NVENC"),
    "deep colours": ("eq=saturation=1.2,colorspace=all=bt2020", "yuv420p10le", "NVDEC", "NVENC"),
    "deep samples untouched for software": ("", "yuv420p10le", "NVDEC", "software"),
    "deep samples moved for software": ("hflip", "yuv420p10le", "NVDEC", "software"),
    "deep samples untouched for NVENC alone": ("", "yuv420p10le", "software", "NVENC"),
    "deep samples moved for NVENC alone": ("hflip", "yuv420p10le", "software", "NVENC"),
    "deeper": ("format=yuv420p10", "yuv420p", "NVDEC", "NVENC"),
    "shallower": ("format=yuv420p:dither=0", "yuv420p10le", "NVDEC", "NVENC"),
    "deep full chroma": ("cas=0.5", "yuv444p10le", "NVDEC", "NVENC"),
    "deep full chroma untouched": ("", "yuv444p10le", "NVDEC", "NVENC"),
    "12 bits": ("cas=0.5", "yuv420p12le", "NVDEC", "software"),
    "12 bits to 10": ("format=yuv420p10:dither=0", "yuv420p12le", "NVDEC", "NVENC"),
}
MOVES: Final = ("", "hflip", "transpose,crop=40:32")
TAKEN_OVER: Final = ["software decoded instead of NVDEC: it shows no picture for a packet"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "lost"),
    [
        *((name, "") for name in ON_DEVICE),
        *(("a moved picture", "17"), ("only NVDEC", "9")),
        *((name, "17") for name in ("deep samples", "deep samples untouched", "deep samples untouched for software")),
        *(("deep full chroma", "9"), ("12 bits to 10", "9")),
    ],
)
def test_frames_on_the_device_are_those_of_software(machine: Machine, name: str, lost: str) -> None:
    """What software makes of the same chain, within the code that rounding may differ by."""
    chain, pixel_format, decodes, encodes = ON_DEVICE[name]
    clip = replace(CLIP, pixel_format=pixel_format, sounds=())
    if "12" in pixel_format:  # which H.264 has not
        clip = replace(clip, codec="libx265", options={"preset": "ultrafast", "x265-params": "log-level=none"})
    machine = prepare(machine, clip).with_(NV_H264_BITS=10, NV_DROP=lost)
    given, target = machine.work / "in.mp4", machine.work / "out.mkv"
    arguments = (str(given), str(target), chain, decodes, encodes)
    ended = machine.run("-W", "error", "-m", "tests.kernels.nv.device_job", *arguments)
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said["where"] == (["DeviceArray"] if encodes == "NVENC" else ["ndarray"])
    assert said["warnings"] == (TAKEN_OVER if lost else [])
    assert said["shared"] == (30 if encodes == "NVENC" else 0), "no copy where the planes are a surface"
    assert ("<<" in said["source"]) == (decodes == "NVDEC" and pixel_format.endswith("le"))
    assert ("<<" in said["target"]) == (encodes == "NVENC" and "p10" in said["target"])
    reference = run(machine.without("libcuda.so.1"), "--vf", chain, "--codec", "ffv1", suffix="mkv")
    wanted, found = frames_of(reference.output), frames_of(target)
    assert len(found) == 30
    limit = 0 if chain in MOVES else 1
    for one, other in zip(found, wanted, strict=True):
        assert all(np.abs(a.astype(int) - b).max() <= limit for a, b in zip(one, other, strict=True))


def frames_of(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [[np.from_dlpack(plane).copy() for plane in frame.planes] for frame in container.decode(video=0)]
