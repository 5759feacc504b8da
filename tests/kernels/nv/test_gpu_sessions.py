"""On a real GPU: many sessions of NVDEC and NVENC, in turn and at once, and what NVENC does with its options."""

from __future__ import annotations

import json
from contextlib import suppress
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest

from kernels.errors import UnavailableError
from kernels.frame import Frame, VideoFormat
from kernels.io import nvcaps
from kernels.io.encode import EncodeSettings
from kernels.io.nvdec import NvDecoder
from kernels.io.nvdec_memory import HostMemory as DecodedMemory
from kernels.io.nvenc import HostMemory, NvEncoder
from kernels.io.nvenc_options import NvencOptions
from kernels.io.source import Source
from kernels.pixel_format import pixel_format
from tests.kernels.io.clips import Clip, make
from tests.kernels.nv.test_gpu import SIZE, encodes, said_by
from tests.kernels.nv.test_nvenc import HDR_COLOR, HDR_PARAMS, _rationals, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]

CODECS: Final = ("h264", "hevc", "av1")
CYCLES: Final = 1000
"""Sessions opened and closed, one after the other."""
WARM_UP: Final = 20
"""Of them, after which a driver has what it keeps."""
LEAK_BYTES: Final = 64 << 20
"""What may come and go with other programs; a leak of what a session takes, some MiB, would be far more."""
MANY: Final = 64
"""Sessions at once: more than any GeForce driver allows, few enough for the memory of a card without a limit."""


def encoder(codec: str, size: tuple[int, int] = SIZE) -> NvEncoder:
    return NvEncoder(
        EncodeSettings(codec=codec),
        VideoFormat(width=size[0], height=size[1], pixel_format=pixel_format("yuv420p"), frame_rate=Fraction(25)),
        time_base=Fraction(1, 25),
        side_data={},
        caps=nvcaps.encoder_caps(codec),
        memory=HostMemory(),
    )


def lost_bytes(work: Callable[[], object], times: int) -> int:
    """Of the GPU's memory after `work` was done so often."""
    import cupy

    def free() -> int:
        return int(cupy.cuda.runtime.memGetInfo()[0])

    for _ in range(WARM_UP):
        work()
    before = free()
    for _ in range(times):
        work()
    return before - free()


@pytest.mark.parametrize("lookahead", [0, 16])
@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("codec", CODECS)
def test_packets_come_in_an_order_that_is_foreseen(codec: str, b_frames: int, lookahead: int) -> None:
    """Every picture once, none by more places early than is said to the container."""
    if not encodes(codec):
        return  # the pipeline does not use it then; that choice is tested beside the stand-in driver
    b_frames = min(b_frames, nvcaps.encoder_caps(codec).max_b_frames)
    options = NvencOptions(
        codec=codec, surface="NV12", preset=5, quality=23, b_frames=b_frames, gop_frames=25, rate=Fraction(25)
    )
    arguments: dict[str, Any] = {**options.arguments(), "gpu_id": nvcaps.DEVICE}
    if lookahead:
        arguments["lookahead"] = lookahead
    nvenc = nvcaps.load().CreateEncoder(*SIZE, "NV12", True, **arguments)
    rng = np.random.default_rng(1)
    shades = rng.integers(16, 235, (60, 1, 1)) + rng.integers(0, 16, (60, SIZE[1] * 3 // 2, SIZE[0]))
    outputs = [output for picture in shades.astype(np.uint8) for output in nvenc.Encode(picture)]
    outputs += nvenc.EndEncode()
    numbers = [output["timestamp"] for output in outputs]
    assert sorted(numbers) == list(range(60))
    assert max(place - number for place, number in enumerate(numbers)) <= options.reorder_frames


@pytest.mark.parametrize("where", ["host", "gpu"])
@pytest.mark.parametrize("width", [850, 852, 854, 1366])
@pytest.mark.parametrize("codec", CODECS)
def test_rows_of_any_width_are_encoded(tmp_path: Path, codec: str, width: int, where: str) -> None:
    """Rows that begin at no multiple of 16."""
    if not encodes(codec):
        return  # as above
    clip = make(Clip(frames=6, size=(width, 480)))
    (tmp_path / "clip").write_bytes(clip)
    settings = json.dumps({"codec": codec})
    said_by("encode_clip", str(tmp_path / "clip"), str(tmp_path / "out.mkv"), where, settings)
    before, after = read(clip).frames, read(tmp_path / "out.mkv").frames
    assert len(after) == len(before)
    for one, other in zip(before, after, strict=True):
        assert (other.width, other.height) == (width, 480)
        planes = [np.from_dlpack(frame.planes[0]).astype(int) for frame in (one, other)]
        assert np.abs(planes[0] - planes[1]).mean() < 6


@pytest.mark.parametrize("where", ["host", "gpu"])
@pytest.mark.parametrize("codec", ["hevc", "av1"])
def test_hdr10_metadata_is_in_the_stream(tmp_path: Path, codec: str, where: str) -> None:
    if not encodes(codec) or not nvcaps.encoder_caps(codec).has_10_bit:
        return  # as above
    options = {"preset": "ultrafast", "x265-params": HDR_PARAMS}
    clip = Clip(codec="libx265", options=options, color=HDR_COLOR, size=SIZE, pixel_format="yuv420p10le", frames=6)
    (tmp_path / "clip").write_bytes(make(clip))
    settings = json.dumps({"codec": codec})
    said_by("encode_clip", str(tmp_path / "clip"), str(tmp_path / "out.mkv"), where, settings)
    found = {data.type.name: bytes(data) for data in read(tmp_path / "out.mkv").frames[0].side_data}
    wanted = {data.type.name: bytes(data) for data in read(tmp_path / "clip").frames[0].side_data}
    assert found["CONTENT_LIGHT_LEVEL"] == wanted["CONTENT_LIGHT_LEVEL"]
    display = _rationals(found["MASTERING_DISPLAY_METADATA"])
    assert display == pytest.approx(_rationals(wanted["MASTERING_DISPLAY_METADATA"]), abs=4e-5)


def test_decoders_leave_no_memory_behind(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(make(Clip(frames=3, size=SIZE)))

    def decode() -> None:
        with Source(path) as source:
            decoder = NvDecoder(source, memory=DecodedMemory(), insist=True)
            assert sum(isinstance(event, Frame) for event in decoder) == 3

    assert lost_bytes(decode, CYCLES) < LEAK_BYTES


@pytest.mark.parametrize("codec", CODECS)
def test_encoders_leave_no_memory_behind(codec: str) -> None:
    if not encodes(codec):
        return  # as above
    assert lost_bytes(lambda: encoder(codec), CYCLES // 5) < LEAK_BYTES


@pytest.mark.parametrize("codec", CODECS)
def test_questions_leave_no_memory_behind(codec: str) -> None:
    """Also those that are answered with an error, as on a GPU that has no NVENC."""

    def ask() -> None:
        nvcaps._encoder_caps.cache_clear()
        with suppress(UnavailableError):
            nvcaps.encoder_caps(codec)

    assert lost_bytes(ask, CYCLES // 5) < LEAK_BYTES


def test_the_session_too_many_is_refused_and_a_later_one_is_not() -> None:
    if not encodes("h264"):
        return  # as above
    held: list[NvEncoder] = []
    refusal = ""
    while not refusal and len(held) < MANY:
        try:
            held.append(encoder("h264"))
        except UnavailableError as error:
            refusal = str(error)
    assert held
    assert not refusal or refusal.startswith("NVENC opens no further session")
    held.clear()
    assert encoder("h264").options.codec == "h264"


def test_a_gpu_that_refuses_is_as_it_was_before() -> None:
    """Kernels run in the context that CuPy had, after a question that NVENC refuses."""
    import cupy

    before = cupy.arange(8)
    with suppress(UnavailableError):
        nvcaps.encoder_caps("av1")
    assert (before + cupy.arange(8)).get().tolist() == list(range(0, 16, 2))
