"""What the driver's engines are found to do, and what is said when one is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from kernels.frame import VideoFormat
from kernels.io.capabilities import (
    DecoderCaps,
    EncoderCaps,
    refuse_decode,
    refuse_encode,
    refuse_settings,
    refuse_stream,
)
from kernels.io.encode import EncodeSettings
from kernels.pixel_format import pixel_format

if TYPE_CHECKING:
    from tests.kernels.nv.conftest import Machine

ASK: Final = """
import json, sys
from kernels.errors import UnavailableError
from kernels.io.nvcaps import decoder_caps, encoder_caps
said = []
for ask in (lambda: decoder_caps("h264", "420", 8), lambda: encoder_caps(*sys.argv[1:] or ["h264"])):
    try:
        said.append("supported" if getattr(ask(), "is_supported", True) else "refused")
    except UnavailableError as error:
        said.append(str(error))
print(json.dumps(said))
"""
HIDE_WHEEL: Final = "import sys; sys.modules['PyNvVideoCodec'] = None\n"

DECODER: Final = DecoderCaps(
    is_supported=True, engines=1, min_size=(48, 16), max_size=(4096, 4096), max_macroblocks=65536
)
ENCODER: Final = EncoderCaps(
    engines=1, max_b_frames=4, has_10_bit=True, has_444=True, min_size=(33, 33), max_size=(4096, 4096)
)


def of(name: str, width: int = 1920, height: int = 1080) -> VideoFormat:
    return VideoFormat(width=width, height=height, pixel_format=pixel_format(name))


def test_a_whole_driver_has_both_engines(machine: Machine) -> None:
    assert machine.python(ASK) == ["supported", "supported"]


@pytest.mark.parametrize(
    ("library", "said"),
    [
        ("libcuda.so.1", "no NVIDIA driver library (libcuda.so.1)"),
        ("libnvcuvid.so.1", "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"),
        ("libnvidia-encode.so.1", "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"),
    ],
)
def test_a_missing_library_is_named(machine: Machine, library: str, said: str) -> None:
    found = machine.without(library).python(ASK)
    assert all(library in text and said in text for text in found)


def test_a_missing_wheel_is_named(machine: Machine) -> None:
    found = machine.python(HIDE_WHEEL + ASK)
    assert all(text.startswith("PyNvVideoCodec is not installed (pip install ") for text in found)


def test_this_process_says_what_it_lacks() -> None:
    """Without any driver, as continuous integration is."""
    ended = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert not ended.stderr
    assert len(json.loads(ended.stdout)) == 2


@pytest.mark.parametrize(
    ("switches", "decoder", "encoder"),
    [
        ({"NV_ENCODERS": "none"}, "supported", "this GPU has no encoder (NVENC)"),
        ({"NV_OPEN": 10}, "supported", "NVENC opens no further session: other programs hold all"),
        ({"NV_UNSUPPORTED": "4:1:8"}, "refused", "supported"),
        ({"NV_API": 0xC0}, "the NVIDIA driver is too old", "the NVIDIA driver is too old"),
        ({"NV_DEVICES": 0}, "the NVIDIA driver sees no GPU", "the NVIDIA driver sees no GPU"),
        ({"NV_CUINIT": 100}, "the NVIDIA driver sees no GPU", "the NVIDIA driver sees no GPU"),
        ({"NV_CUINIT": 999}, "cuInit fails with 999", "cuInit fails with 999"),
    ],
)
def test_a_lack_is_said_for_its_direction(
    machine: Machine, switches: dict[str, object], decoder: str, encoder: str
) -> None:
    said = machine.with_(**switches).python(ASK)
    assert decoder in said[0]
    assert encoder in said[1]
    assert not any("\n" in text for text in said)


def test_an_older_driver_is_spoken_to_in_its_own_version(machine: Machine) -> None:
    assert machine.with_(NV_API=0xC1).python(ASK) == ["supported", "supported"]


def test_a_codec_that_the_encoder_lacks_is_named(machine: Machine) -> None:
    before_ada = machine.with_(NV_ENCODERS="h264,hevc")
    assert before_ada.python(ASK, "av1") == ["supported", "this GPU cannot encode av1"]
    assert before_ada.python(ASK, "hevc") == ["supported", "supported"]
    assert _doctor(before_ada)["NVENC"]["found"].endswith("hevc 4:2:0/8 4:2:0/10 4:4:4/8, 1 engine")


def test_doctor_shows_the_engines(machine: Machine) -> None:
    checks = _doctor(machine.with_(NV_UNSUPPORTED="4:1:10,11:1:8,11:1:10,4:2:8,4:2:10,4:3:8,4:3:10", NV_NVDECS=7))
    assert checks["CUDA driver"]["found"] == "CUDA 13.0, Stand-in 0"
    assert checks["NVDEC"]["ok"]
    assert checks["NVDEC"]["found"].startswith("h264 4:2:0/8, hevc 4:2:0/8 4:2:0/10 ")
    assert checks["NVDEC"]["found"].endswith(", 7 engines")
    assert checks["NVENC"]["found"] == (
        "h264 4:2:0/8 4:4:4/8, hevc 4:2:0/8 4:2:0/10 4:4:4/8, av1 4:2:0/8 4:2:0/10, 1 engine"
    )


def test_doctor_says_why_an_engine_is_not_used(machine: Machine) -> None:
    checks = _doctor(machine.with_(NV_ENCODERS="none"))
    assert checks["NVDEC"]["ok"]
    assert not checks["NVENC"]["ok"]
    assert checks["NVENC"]["found"] == "this GPU has no encoder (NVENC)"
    assert checks["NVENC"]["advice"] == "nothing to do: encoding runs on the CPU"
    assert not checks["NVENC"]["required"]


def _doctor(machine: Machine) -> dict[str, dict[str, str]]:
    ended = machine.runner("doctor", "--json")
    assert ended.returncode == 0, ended.stderr
    return {check["name"]: check for check in json.loads(ended.stdout)["checks"]}


@pytest.mark.parametrize(
    ("codec", "name", "size", "said"),
    [
        ("mpeg2video", "yuv420p", (64, 64), "not for mpeg2video"),
        ("h264", "gbrp", (64, 64), "NVDEC gives no gbrp frames"),
        ("vp9", "yuv440p", (64, 64), "NVDEC gives no yuv440p frames"),
        ("h264", "yuv420p", (64, 63), "odd height (63)"),
        ("hevc", "yuv420p10", (64, 64), ""),
    ],
)
def test_streams_that_are_never_asked_about(codec: str, name: str, size: tuple[int, int], said: str) -> None:
    found = refuse_stream(codec, of(name, *size))
    assert found.endswith(said) if said else not found


def test_a_decoder_refuses_by_depth_size_and_area() -> None:
    assert refuse_decode("hevc", of("yuv420p10"), DECODER) == ""
    refused = refuse_decode("h264", of("yuv420p10"), replace(DECODER, is_supported=False))
    assert refused == "this GPU cannot decode 10-bit 4:2:0 h264"
    too_large = "this GPU decodes h264 from 48x16 to 4096x4096, not "
    assert refuse_decode("h264", of("yuv420p", 4098, 16), DECODER) == f"{too_large}4098x16"
    assert refuse_decode("h264", of("yuv420p", 46, 16), DECODER) == f"{too_large}46x16"
    small_area = replace(DECODER, max_macroblocks=8159)
    assert refuse_decode("h264", of("yuv420p"), DECODER) == ""
    assert refuse_decode("h264", of("yuv420p"), small_area) == f"{too_large}1920x1080"


@pytest.mark.parametrize(
    ("settings", "format_", "said"),
    [
        (EncodeSettings(codec="vp9"), of("yuv420p"), "NVENC encodes h264, hevc, av1, not vp9"),
        (EncodeSettings(codec="h264"), of("yuv422p"), "NVENC encodes no yuv422p as h264"),
        (EncodeSettings(codec="av1"), of("yuv444p"), "NVENC encodes no yuv444p as av1"),
        (EncodeSettings(codec="h264"), of("yuv444p", 65, 64), "NVENC takes even sides only, not 65x64"),
        (EncodeSettings(options={"tune": "film"}), of("yuv420p"), "options for libx264 were given"),
        (EncodeSettings(codec="hevc"), of("yuv444p10"), ""),
    ],
)
def test_outputs_that_are_never_asked_about(settings: EncodeSettings, format_: VideoFormat, said: str) -> None:
    found = refuse_settings(settings, format_)
    assert said in found if said else not found


def test_an_encoder_refuses_by_codec_depth_chroma_and_size() -> None:
    hevc = EncodeSettings(codec="hevc")
    assert refuse_encode(hevc, of("yuv420p10"), ENCODER) == ""
    refused = refuse_encode(hevc, of("yuv420p10"), replace(ENCODER, has_10_bit=False))
    assert refused == "this GPU cannot encode 10-bit 4:2:0 hevc"
    refused = refuse_encode(hevc, of("yuv444p"), replace(ENCODER, has_444=False))
    assert refused == "this GPU cannot encode 8-bit 4:4:4 hevc"
    refused = refuse_encode(hevc, of("yuv420p", 32, 64), ENCODER)
    assert refused == "this GPU encodes hevc from 33x33 to 4096x4096, not 32x64"
