"""What a failing call of PyNvVideoCodec's leaves of CUDA on the thread that made it: nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.kernels.nv.test_jobs import prepare, run

if TYPE_CHECKING:
    from tests.kernels.nv.conftest import Machine

BEGIN: Final = """
import ctypes, json, os, sys
from fractions import Fraction
from kernels.errors import UnavailableError
from kernels.frame import VideoFormat
from kernels.io.capabilities import EncoderCaps
from kernels.io.encode import EncodeSettings
from kernels.io.nvcaps import decoder_caps, encoder_caps
from kernels.io.nvenc import HostMemory, NvEncoder
from kernels.pixel_format import pixel_format

driver, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_void_p()
if sys.argv[1] == "primary":
    driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    driver.cuCtxPushCurrent_v2(context)

def current():
    driver.cuCtxGetCurrent(ctypes.byref(context))
    return context.value

def ask():
    return encoder_caps("av1")

def create():
    caps = EncoderCaps(
        engines=1, max_b_frames=0, has_10_bit=True, has_444=True, min_size=(33, 33), max_size=(4096, 4096)
    )
    format_ = VideoFormat(width=64, height=64, pixel_format=pixel_format("yuv420p"))
    memory, base = HostMemory(), Fraction(1, 25)
    return NvEncoder(EncodeSettings(codec="av1"), format_, time_base=base, side_data={}, caps=caps, memory=memory)

def refused(work):
    try:
        work()
    except UnavailableError as error:
        return str(error)
"""
FAIL: Final = """
before = current()
said = [refused(work) for work in (ask, create, ask, create)]
print(json.dumps([said, before, current()]))
"""
WORKS: Final = """
before = current()
decoder_caps("h264", "420", 8)
ask()
create()
print(json.dumps([before, current()]))
"""
PRIMARY: Final = 0x1000
"""The stand-in's."""
REFUSALS: Final[dict[str, dict[str, object]]] = {
    "no device": {"NV_OPEN": 1},
    "no encoder": {"NV_ENCODERS": "none"},
    "not this codec": {"NV_ENCODERS": "h264,hevc"},
    "bad parameter": {"NV_OPEN": 8},
    "too many sessions": {"NV_OPEN": 10},
}


def contexts(machine: Machine) -> tuple[list[Any], list[Any]]:
    """Those made in the last run, and those destroyed."""
    noted = machine.log("context")
    return [entry["made"] for entry in noted if "made" in entry], [
        entry["destroyed"] for entry in noted if "destroyed" in entry
    ]


@pytest.mark.parametrize("current", ["none", "primary"])
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_leaves_no_context(machine: Machine, name: str, current: str) -> None:
    said, before, after = machine.with_(**REFUSALS[name]).python(BEGIN + FAIL, current)
    assert all(said)
    assert before == after == (PRIMARY if current == "primary" else None)
    made, destroyed = contexts(machine)
    assert made
    assert sorted(destroyed) == made


@pytest.mark.parametrize("current", ["none", "primary"])
def test_what_works_is_balanced_by_itself(machine: Machine, current: str) -> None:
    before, after = machine.python(BEGIN + WORKS, current)
    assert before == after == (PRIMARY if current == "primary" else None)
    made, destroyed = contexts(machine)
    assert destroyed == made
    assert len(made) == 3


def test_a_job_that_encodes_in_software_leaves_none(machine: Machine) -> None:
    lacking = prepare(machine).with_(NV_ENCODERS="none")
    assert run(lacking, "--vf", "hflip").encoder == "software"
    made, destroyed = contexts(lacking)
    assert made
    assert sorted(destroyed) == made


def test_a_codec_that_is_lacking_is_asked_for_once(machine: Machine) -> None:
    lacking = machine.with_(NV_ENCODERS="none")
    lacking.python(BEGIN + "print(json.dumps([refused(ask) for _ in range(3)]))", "none")
    assert len(contexts(lacking)[0]) == 1


def test_a_session_that_others_hold_is_asked_for_again(machine: Machine) -> None:
    code = "first = refused(ask); os.environ['NV_OPEN'] = '0'; print(json.dumps([first, refused(ask)]))"
    first, second = machine.with_(NV_OPEN=10).python(BEGIN + code, "none")
    assert first.startswith("NVENC opens no further session")
    assert second is None
