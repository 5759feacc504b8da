"""The NVIDIA driver of this machine, asked through its own libraries: no CUDA package is met here."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from typing import Final

IS_WINDOWS: Final = os.name == "nt"
DRIVER_LIBRARY: Final = "nvcuda.dll" if IS_WINDOWS else "libcuda.so.1"
VIDEO_LIBRARIES: Final = (
    ("nvcuvid.dll", "nvEncodeAPI64.dll") if IS_WINDOWS else ("libnvcuvid.so.1", "libnvidia-encode.so.1")
)
"""Decoder and encoder; a container gets them from the host when its `video` capability is asked for."""

_NO_DEVICE: Final = 100  # CUDA_ERROR_NO_DEVICE: also where CUDA_VISIBLE_DEVICES is empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What the driver says about itself."""

    cuda: tuple[int, int] = (0, 0)
    """The CUDA version it speaks: major, minor; (0, 0) without a driver."""
    devices: tuple[str, ...] = ()
    """Names of the GPUs it sees."""
    problem: str = ""
    """Why no GPU can be used; empty when one can."""
    advice: str = ""
    """What to do about it."""

    @property
    def is_installed(self) -> bool:
        return self.cuda != (0, 0)


def find_driver() -> Driver:
    """Ask the driver. Never raises; takes a moment the first time in a process, as the driver starts up."""
    try:
        library = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        return Driver(
            problem=f"no NVIDIA driver library ({DRIVER_LIBRARY})",
            advice="needs an NVIDIA GPU and its driver; without them everything runs on the CPU",
        )
    spoken, count = ctypes.c_int(), ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(spoken))
    cuda = (spoken.value // 1000, spoken.value % 1000 // 10)
    status = library.cuInit(0)
    if status not in (0, _NO_DEVICE):
        return Driver(
            cuda=cuda,
            problem=f"the driver is there but cuInit fails with {status}",
            advice="check that `nvidia-smi` lists a GPU, and in a container that it was started with --gpus all",
        )
    if not status:
        library.cuDeviceGetCount(ctypes.byref(count))
    devices = tuple(_device_name(library, i) for i in range(count.value))
    if not devices:
        advice = "check `nvidia-smi` and CUDA_VISIBLE_DEVICES, and that a container was started with --gpus all"
        return Driver(cuda=cuda, problem="the NVIDIA driver sees no GPU", advice=advice)
    return Driver(cuda=cuda, devices=devices)


def missing_video_library() -> str | None:
    """The first of the driver's codec libraries that is not there; None when all are."""
    for name in VIDEO_LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            return name
    return None


def _device_name(library: ctypes.CDLL, index: int) -> str:
    device, text = ctypes.c_int(), ctypes.create_string_buffer(256)
    if library.cuDeviceGet(ctypes.byref(device), index) or library.cuDeviceGetName(text, len(text), device):
        return f"device {index}"
    return text.value.decode(errors="replace")
