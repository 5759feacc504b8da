"""What else is installed on a GPU machine, doing the same work on frames that are there already.

Torch and what is built on it works on float planes, one frame at a time, as its users write it; VapourSynth's filters
read a frame from host memory and write one there, which is how they are used. NPP works on planes of 8 bits, a call
each (see `runner.bench.npp`). `how_timed` says whose time is taken, which results repeat.
"""

from __future__ import annotations

import statistics
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from runner.bench import gpu, npp

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS: Final = 20
_HOW: Final = {
    "torch": "CUDA events around calls from Python: where those take longer than the GPU, their time",
    "vapoursynth": "wall clock from host memory to host memory, copies included: no kernel's time",
    npp.PACKAGE: "CUDA events around a graph of calls",
}
"""Package -> what its time is."""


def time_peer(name: str, width: int, height: int) -> float | str:
    """Seconds of one frame of `width` x `height`, or why they are not measured."""
    package, work = _PEERS[name]
    if not (npp.is_installed() if package == npp.PACKAGE else find_spec(package)):
        return f"{package} is not installed"
    try:
        return work(width, height)
    except Exception as error:  # noqa: BLE001 - somebody else's library, in whatever state
        return f"fails here: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def how_timed(name: str) -> str:
    """What the time of a peer is."""
    return _HOW.get(_PEERS[name][0], _HOW["torch"])


def _torch_frames(width: int, height: int) -> list[Any]:
    """4:2:0 pictures of 8 bits: (luma, both chroma planes) each; so many that none is in the cache at its next turn."""
    import torch

    with gpu.Gpu() as device:
        turns = gpu.turns_of(device.attribute(gpu.L2_CACHE_SIZE), width * height * 3 // 2)

    def plane(*size: int) -> Any:
        return torch.randint(0, 256, size, dtype=torch.uint8, device="cuda")

    return [(plane(1, 1, height, width), plane(1, 2, height // 2, width // 2)) for _ in range(turns)]


def _time_torch(step: Callable[[Any], object], width: int, height: int) -> float:
    """Median seconds of `step` on a picture, by CUDA events."""
    import torch

    frames = _torch_frames(width, height)
    for frame in frames:
        step(frame)
    found: list[float] = []
    for _ in range(ROUNDS):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for frame in frames:
            step(frame)
        end.record()
        end.synchronize()
        found.append(begin.elapsed_time(end) / 1000 / len(frames))
    return statistics.median(found)


def _stored(value: Any) -> Any:
    return value.round().clamp(0, 255).byte()


def _torch_resize(factor: float) -> Callable[[int, int], float]:
    def work(width: int, height: int) -> float:
        from torch.nn.functional import interpolate

        def step(frame: Any) -> object:
            return [
                _stored(interpolate(plane.float(), scale_factor=factor, mode="bicubic", antialias=True))
                for plane in frame
            ]

        return _time_torch(step, width, height)

    return work


def _torch_five_steps(width: int, height: int) -> float:
    """Contrast, brightness, range, saturation and gamma, each as the line that says it."""

    def step(frame: Any) -> object:
        luma, chroma = (plane.float() / 255 for plane in frame)
        luma = (1.1 * (luma - 0.5) + 0.5).clamp(0, 1)
        luma = (luma + 0.02).clamp(0, 1)
        luma, chroma = (luma - 16 / 255) * (255 / 219), (chroma - 128 / 255) * (255 / 224) + 128 / 255
        chroma = (1.2 * (chroma - 128 / 255) + 128 / 255).clamp(0, 1)
        luma = luma.clamp(0, 1) ** (1 / 1.1)
        return _stored(luma * 255), _stored(chroma * 255)

    return _time_torch(step, width, height)


def _kornia_unsharp(width: int, height: int) -> float:
    from kornia.filters import unsharp_mask

    def step(frame: Any) -> object:
        return _stored(unsharp_mask(frame[0].float(), (5, 5), (1.0, 1.0)))

    return _time_torch(step, width, height)


def _torchvision_blur(width: int, height: int) -> float:
    from torchvision.transforms.functional import gaussian_blur

    def step(frame: Any) -> object:
        luma = frame[0].float()
        return _stored(2 * luma - gaussian_blur(luma, [5, 5], [1.0, 1.0]))

    return _time_torch(step, width, height)


def _nlm_cuda(width: int, height: int) -> float:
    """Seconds of one frame with several under way, host to host."""
    import vapoursynth as vs

    clip = vs.core.std.BlankClip(width=width, height=height, format=vs.GRAYS, length=64, keep=True)
    filtered = vs.core.nlm_cuda.NLMeans(clip, d=0, a=4, s=3, h=1.2)
    filtered.get_frame(0)
    begin = time.perf_counter()
    for _ in filtered.frames(close=True):
        pass
    return (time.perf_counter() - begin) / int(filtered.num_frames)


_PEERS: Final[dict[str, tuple[str, Callable[[int, int], float]]]] = {
    "torch bicubic 2x": ("torch", _torch_resize(2.0)),
    "torch bicubic 1/2": ("torch", _torch_resize(0.5)),
    "torch five steps": ("torch", _torch_five_steps),
    "kornia unsharp": ("kornia", _kornia_unsharp),
    "torchvision blur": ("torchvision", _torchvision_blur),
    "vapoursynth nlm_cuda, host to host": ("vapoursynth", _nlm_cuda),
    "NPP lanczos 2x": (npp.PACKAGE, npp.resize(npp.Mode.LANCZOS, 2)),
    "NPP cubic 1/2": (npp.PACKAGE, npp.resize(npp.Mode.CUBIC, 1, 2)),
    "NPP super sampling 1/2": (npp.PACKAGE, npp.resize(npp.Mode.SUPER, 1, 2)),
    "NPP NV12 to RGB": (npp.PACKAGE, npp.nv12_to_rgb),
    "NPP 4:2:0 to RGB planes": (npp.PACKAGE, npp.yuv420_to_rgb),
}
