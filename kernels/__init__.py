"""Restore video with fused kernels: frames in, better frames out.

>>> import kernels
>>> sharper = kernels.unsharp(picture, luma_amount=0.8)  # any operation of `runner ops`, on arrays
>>> larger = kernels.apply("scale=iw*2:-2:flags=lanczos,cas=0.4", planes, pixel_format="yuv420p")
>>> with kernels.open("reel1.mkv") as video:  # the frames of a file
...     for frame in video:
...         print(frame.time_s, kernels.apply("nlmeans=s=3", frame).planes[0].mean())
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from kernels import compile_cache

compile_cache.prepare()

# Public name -> module that has it (and the name there, where it differs); loaded on first use, since Numba and
# PyAV take their time.
_LAZY: Final = {
    "apply": "kernels.arrays",
    "open": "kernels.io.reader:open_video",
    "process": "kernels.pipeline",
    "CATALOGUE": "kernels.catalogue",
    "Frame": "kernels.frame",
    "VideoFormat": "kernels.frame",
    "Color": "kernels.color",
    "EncodeSettings": "kernels.io.encode",
}

__all__ = ["CATALOGUE", "Color", "EncodeSettings", "Frame", "VideoFormat", "apply", "open", "process"]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    if name in _LAZY:
        module, _, given_name = _LAZY[name].partition(":")
        return getattr(import_module(module), given_name or name)
    return import_module("kernels.arrays").function_of(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *import_module("kernels.catalogue").CATALOGUE})
