"""NVIDIA's NPP on frames that are in the GPU's memory, called as a C program calls it: plane by plane, on one stream,
in a graph.

Signatures, structures and codes: NPP's documentation, "Image Resize", "Color Conversion" and "NppStreamContext" (12.4
to 13.2). Only functions that end in _Ctx are used: CUDA 13 has no others.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kernels.errors import UnavailableError
from runner.bench import gpu
from runner.bench.gpu import Gpu

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.bench.gpu import Plane

    Work = Callable[[int, int], float]

PACKAGE: Final = "nvidia-npp"
"""On PyPI, for CUDA 13; nvidia-npp-cu12 for CUDA 12."""


class Mode(IntEnum):
    """NppiInterpolationMode."""

    CUBIC = 4
    SUPER = 8
    LANCZOS = 16


class Size(ctypes.Structure):
    """NppiSize."""

    _fields_ = (("width", ctypes.c_int), ("height", ctypes.c_int))


class Rect(ctypes.Structure):
    """NppiRect."""

    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int), ("width", ctypes.c_int), ("height", ctypes.c_int))


class StreamContext(ctypes.Structure):
    """NppStreamContext: what NPP would otherwise ask the runtime, filled by the caller."""

    _fields_ = (
        ("stream", ctypes.c_void_p),
        ("device_id", ctypes.c_int),
        ("multiprocessor_count", ctypes.c_int),
        ("max_threads_per_multiprocessor", ctypes.c_int),
        ("max_threads_per_block", ctypes.c_int),
        ("shared_bytes_per_block", ctypes.c_size_t),
        ("compute_capability_major", ctypes.c_int),
        ("compute_capability_minor", ctypes.c_int),
        ("stream_flags", ctypes.c_uint),
        ("reserved", ctypes.c_int),
    )


_PLANES: Final = ctypes.POINTER(ctypes.c_void_p)
_STEPS: Final = ctypes.POINTER(ctypes.c_int)
_SIGNATURES: Final[dict[str, tuple[str, tuple[Any, ...]]]] = {
    "nppiResize_8u_C1R_Ctx": ("ig", (*(ctypes.c_void_p, ctypes.c_int, Size, Rect) * 2, ctypes.c_int, StreamContext)),
    "nppiNV12ToRGB_709CSC_8u_P2C3R_Ctx": (
        "icc",
        (_PLANES, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, Size, StreamContext),
    ),
    "nppiYUV420ToRGB_8u_P3R_Ctx": ("icc", (_PLANES, _STEPS, _PLANES, ctypes.c_int, Size, StreamContext)),
}
"""Function -> (the end of its library's name, its arguments)."""


def is_installed() -> bool:
    return _core() is not None


@cache
def function(name: str) -> Any:
    """NPP's `name`, which raises `UnavailableError` with NPP's status where it fails."""
    core = _core()
    if core is None:
        raise UnavailableError(f"{PACKAGE} is not installed: pip install nvidia-npp-cu12, or {PACKAGE} for CUDA 13")
    library, arguments = _SIGNATURES[name]
    # The other libraries need this one, which no path of the system's leads to.
    ctypes.CDLL(str(core), mode=ctypes.RTLD_GLOBAL)
    found = getattr(ctypes.CDLL(str(core.with_name(core.name.replace("nppc", f"npp{library}")))), name)
    found.argtypes = arguments

    def call(*given: Any) -> None:
        status = found(*given)
        if status:  # negative ones are errors; a warning means that it did something else than was asked
            raise UnavailableError(f"{name} fails with status {status}")

    return call


@cache
def _core() -> Path | None:
    """The core library of the newest NPP that is installed."""
    spec = find_spec("nvidia")
    folders = [Path(path) for path in spec.submodule_search_locations or ()] if spec else []
    found = [path for folder in folders for path in folder.glob("*/lib/libnppc.so.*")]
    return max(found, key=lambda path: int(path.suffix[1:]), default=None)


def resize(mode: Mode, numerator: int, denominator: int = 1) -> Work:
    """Seconds to bring all three planes of a 4:2:0 frame to `numerator / denominator` times their size each way."""

    def work(width: int, height: int) -> float:
        scale = function("nppiResize_8u_C1R_Ctx")

        def frame(device: Gpu) -> Callable[[StreamContext], None]:
            pairs = [
                (device.noise(w, h), device.empty(w * numerator // denominator, h * numerator // denominator))
                for w, h in _sizes_420(width, height)
            ]
            calls = [(*_whole(source), *_whole(target), mode) for source, target in pairs]

            def step(context: StreamContext) -> None:
                for arguments in calls:
                    scale(*arguments, context)

            return step

        pixels = width * height + width * numerator // denominator * (height * numerator // denominator)
        return _seconds(frame, pixels * 3 // 2)

    return work


def nv12_to_rgb(width: int, height: int) -> float:
    """Seconds from NV12, BT.709, limited range, to packed RGB."""
    convert = function("nppiNV12ToRGB_709CSC_8u_P2C3R_Ctx")

    def frame(device: Gpu) -> Callable[[StreamContext], None]:
        luma, chroma = device.noise(width, height), device.noise(width, height // 2)
        target = device.empty(3 * width, height)
        arguments = (_addresses(luma, chroma), luma.pitch, target.address, target.pitch, Size(width, height))
        return lambda context: convert(*arguments, context)

    return _seconds(frame, width * height * 9 // 2)


def yuv420_to_rgb(width: int, height: int) -> float:
    """Seconds from three planes to three planes, by NPP's own YUV of full range."""
    convert = function("nppiYUV420ToRGB_8u_P3R_Ctx")

    def frame(device: Gpu) -> Callable[[StreamContext], None]:
        source = [device.noise(*size) for size in _sizes_420(width, height)]
        target = [device.empty(width, height) for _ in range(3)]
        steps = (ctypes.c_int * 3)(*(plane.pitch for plane in source))
        arguments = (_addresses(*source), steps, _addresses(*target), target[0].pitch, Size(width, height))
        return lambda context: convert(*arguments, context)

    return _seconds(frame, width * height * 9 // 2)


def _seconds(frame: Callable[[Gpu], Callable[[StreamContext], None]], frame_bytes: int) -> float:
    """Of one frame; `frame` makes one, and says what is done to it. `frame_bytes` of each, read and written."""
    with Gpu() as device:
        context = _context(device)
        turns = gpu.turns_of(device.attribute(gpu.L2_CACHE_SIZE), frame_bytes)
        steps = [frame(device) for _ in range(turns)]

        def every_turn() -> None:
            for step in steps:
                step(context)

        return device.seconds(every_turn) / turns


def _context(device: Gpu) -> StreamContext:
    return StreamContext(
        stream=device.stream,
        device_id=0,
        multiprocessor_count=device.attribute(gpu.MULTIPROCESSOR_COUNT),
        max_threads_per_multiprocessor=device.attribute(gpu.MAX_THREADS_PER_MULTIPROCESSOR),
        max_threads_per_block=device.attribute(gpu.MAX_THREADS_PER_BLOCK),
        shared_bytes_per_block=device.attribute(gpu.MAX_SHARED_MEMORY_PER_BLOCK),
        compute_capability_major=device.attribute(gpu.COMPUTE_CAPABILITY_MAJOR),
        compute_capability_minor=device.attribute(gpu.COMPUTE_CAPABILITY_MINOR),
        stream_flags=gpu.NON_BLOCKING,
    )


def _sizes_420(width: int, height: int) -> tuple[tuple[int, int], ...]:
    return (width, height), (width // 2, height // 2), (width // 2, height // 2)


def _whole(plane: Plane) -> tuple[int, int, Size, Rect]:
    """A plane and all of it as what is to be worked on, as `nppiResize` takes them."""
    size = (plane.width, plane.height)
    return plane.address, plane.pitch, Size(*size), Rect(0, 0, *size)


def _addresses(*planes: Plane) -> Any:
    return (ctypes.c_void_p * len(planes))(*(plane.address for plane in planes))
