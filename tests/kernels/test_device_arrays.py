"""`kernels.apply` on arrays that lie on the device, and on what speaks DLPack; the device is the strict engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import kernels
from kernels.errors import FormatError
from tests.kernels.cuda.frames import DeviceArray, StrictFrameEngine

if TYPE_CHECKING:
    from tests.kernels.conftest import FrameMaker


@dataclass(frozen=True, slots=True)
class Tensor:
    """Somebody else's array in host memory: all that is known of it is DLPack."""

    array: np.ndarray[Any, Any]

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


@pytest.fixture
def engine(compiler: str) -> StrictFrameEngine:
    assert compiler
    return StrictFrameEngine()


def on_device(array: np.ndarray[Any, Any], engine: StrictFrameEngine) -> Any:
    memory = engine.empty(array.shape, array.dtype)
    memory[...] = array
    return memory


def test_a_plane_on_the_device_comes_back_there(engine: StrictFrameEngine, rng: np.random.Generator) -> None:
    plane = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    out = kernels.hflip(on_device(plane, engine), engine=engine)
    assert isinstance(out, DeviceArray)
    assert np.array_equal(out, plane[:, ::-1])


def test_rgb_on_the_device(engine: StrictFrameEngine, rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    out = kernels.apply("vflip,cas=0.5", on_device(picture, engine), engine=engine)
    assert np.abs(out.astype(int) - kernels.apply("vflip,cas=0.5", picture)).max() <= 1


def test_planes_and_frames_on_the_device(engine: StrictFrameEngine, make_frame: FrameMaker) -> None:
    frame = make_frame("yuv420p10", 34, 22).replace(pts=7)
    device = tuple(on_device(plane, engine) for plane in frame.planes)
    expected = kernels.unsharp(frame.planes, pixel_format="yuv420p10", luma_amount=0.5)
    out = kernels.unsharp(device, pixel_format="yuv420p10", luma_amount=0.5, engine=engine)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(out, expected, strict=True))
    whole = kernels.apply("unsharp=la=0.5", frame.replace(planes=device), engine=engine)
    assert (whole.pts, whole.width, whole.format.pixel_format) == (7, 34, frame.format.pixel_format)
    assert all(isinstance(plane, DeviceArray) for plane in whole.planes)


def test_results_may_be_kept_forever(engine: StrictFrameEngine, rng: np.random.Generator) -> None:
    planes = [rng.integers(0, 256, (12, 18), dtype=np.uint8) for _ in range(20)]
    kept = [kernels.vflip(on_device(plane, engine), engine=engine) for plane in planes]
    assert all(np.array_equal(a, b[::-1]) for a, b in zip(kept, planes, strict=True))


def test_host_memory_through_dlpack(rng: np.random.Generator) -> None:
    plane = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    assert np.array_equal(kernels.hflip(Tensor(plane)), plane[:, ::-1])
    planes = tuple(Tensor(rng.integers(0, 256, size, dtype=np.uint8)) for size in ((20, 30), (10, 15), (10, 15)))
    out = kernels.vflip(planes, pixel_format="yuv420p")
    assert all(np.array_equal(a, b.array[::-1]) for a, b in zip(out, planes, strict=True))
    assert np.array_equal(np.from_dlpack(out[0]), out[0])


def test_planes_in_two_places_are_refused(engine: StrictFrameEngine, make_frame: FrameMaker) -> None:
    luma, *chroma = make_frame("yuv420p", 34, 22).planes
    with pytest.raises(FormatError, match="some planes lie on the device"):
        kernels.hflip((on_device(luma, engine), *chroma), pixel_format="yuv420p", engine=engine)
