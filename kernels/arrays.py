"""Operations on arrays and frames in memory: `kernels.apply` and one function per operation.

What lies on the device is worked on there, and comes back there.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kernels.backends.cpu import CpuExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import Step, format_chain, parse_chain, read_params
from kernels.color import Color
from kernels.errors import FormatError, UnavailableError, nearest
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import Family, pixel_format
from kernels.plan import plan_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernels.backends.device import DeviceExecutor
    from kernels.frame import Plane
    from kernels.launch import FrameEngine

    Picture = Any
    """A frame; a (height, width) plane; a (height, width, 3) R'G'B' array; or the planes of a pixel format. Arrays are
    NumPy's, CuPy's, or of whoever else speaks DLPack or has `__cuda_array_interface__`."""

CACHED_PLANS: Final = 16
"""Bound plans kept for the next call with the same format and chain."""
CACHED_DEVICE_PLANS: Final = 4
"""And on the device, where each keeps memory."""
_DLPACK_HOST: Final = (1, 3)  # kDLCPU and kDLCUDAHost of dlpack.h


def apply(
    chain: str | Sequence[Step],
    picture: Picture,
    *,
    pixel_format: str | None = None,
    color: Color | None = None,
    threads: int | None = None,
    engine: FrameEngine | None = None,
) -> Any:
    """`picture` through `chain`, in the form it was given.

    Arrays are uint8 or uint16, in NumPy's memory or on a GPU (CuPy's, or anything that speaks DLPack: what comes back
    is then NumPy's or CuPy's, which speak it too). A (height, width) array is a gray picture and a (height, width, 3)
    one R'G'B', full range, 8 or 16 bits deep; a sequence of planes needs `pixel_format` (FFmpeg's name, such as
    'yuv420p10'). `color` tags what arrays cannot tell; without it the rule of `Color.resolved` holds.

    `threads` are those of the CPU. Results on a GPU are ordered on the caller's current CUDA stream; `engine` is where
    they are made, the first GPU unless given. Returns a `Frame` for a frame, else an array or a tuple of planes.
    Raises `ChainError`, `FormatError`, or `UnavailableError` for what no GPU here can do.
    """
    steps = parse_chain(chain, CATALOGUE) if isinstance(chain, str) else tuple(chain)
    picture, engine = _adopted(picture, engine)
    run = partial(_run, steps=steps, threads=threads) if engine is None else partial(_run_on, engine, steps=steps)
    if isinstance(picture, Frame):
        return run(picture)
    return _like(picture, run(_as_frame(picture, pixel_format, color or Color())))


def function_of(name: str) -> Callable[..., Any]:
    """The operation `name` as a function of a picture and the operation's options.

    Raises `AttributeError` for an unknown name, as a module does.
    """
    operation = CATALOGUE.get(name)
    if operation is None:
        raise AttributeError(f"kernels has no operation {name!r}{nearest(name, CATALOGUE)}")

    def call(
        picture: Picture,
        *,
        pixel_format: str | None = None,
        color: Color | None = None,
        threads: int | None = None,
        engine: FrameEngine | None = None,
        **options: Any,
    ) -> Any:
        step = Step(operation=operation, params=read_params(operation, options))
        return apply((step,), picture, pixel_format=pixel_format, color=color, threads=threads, engine=engine)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{operation.summary.capitalize()}.\n\nOptions: see `runner ops {name}`; pictures: `kernels.apply`."
    return call


def _adopted(picture: Picture, engine: FrameEngine | None) -> tuple[Picture, FrameEngine | None]:
    """`picture` in arrays of NumPy, or of the engine it lies on; and that engine."""
    if isinstance(picture, Frame):
        planes, found = _adopted(picture.planes, engine)
        return (picture if planes is picture.planes else picture.replace(planes=planes)), found
    if isinstance(picture, (tuple, list)):
        pairs = [_adopted_array(plane, engine) for plane in picture]
        engines = {id(found): found for _, found in pairs}
        if len(engines) > 1:
            raise FormatError("some planes lie on the device and some do not: bring them together")
        if all(array is plane for (array, _), plane in zip(pairs, picture, strict=True)):
            return picture, pairs[0][1] if pairs else None
        return tuple(array for array, _ in pairs), pairs[0][1]
    return _adopted_array(picture, engine)


def _adopted_array(array: Any, engine: FrameEngine | None) -> tuple[Any, FrameEngine | None]:
    adopted = None if engine is None else engine.adopt(array)
    if adopted is not None:
        return adopted, engine
    if isinstance(array, np.ndarray):
        return array, None
    device = getattr(array, "__dlpack_device__", None)
    if device is not None and device()[0] in _DLPACK_HOST:
        return np.from_dlpack(array), None
    if device is None and not hasattr(array, "__cuda_array_interface__"):
        return array, None  # no picture, which is said with the others of its kind
    found = _gpu()
    return found.adopt(array), found


def _gpu() -> FrameEngine:
    """The first GPU. Raises `UnavailableError`."""
    try:
        from kernels.backends.cuda import engine
    except ImportError:
        raise UnavailableError("arrays on a GPU need CuPy: pip install 'framehaul[cuda12]' or [cuda13]") from None
    return engine()


def _run(frame: Frame, *, steps: Sequence[Step], threads: int | None) -> Frame:
    return _executor(frame.format, format_chain(steps), threads).run(frame)


@lru_cache(maxsize=CACHED_PLANS)
def _executor(source: VideoFormat, chain: str, threads: int | None) -> CpuExecutor:
    return CpuExecutor(plan_chain(source, parse_chain(chain, CATALOGUE)), threads=threads)


def _run_on(engine: FrameEngine, frame: Frame, *, steps: Sequence[Step]) -> Frame:
    return _device_executor(engine, frame.format, format_chain(steps)).run(frame)


_on_device: OrderedDict[tuple[int, VideoFormat, str], DeviceExecutor] = OrderedDict()
_on_device_lock = threading.Lock()


def _device_executor(engine: FrameEngine, source: VideoFormat, chain: str) -> DeviceExecutor:
    """The bound plan, from the few that are kept; the one longest unused is ended."""
    from kernels.backends.device import DeviceExecutor

    key = (id(engine), source, chain)
    with _on_device_lock:
        if key not in _on_device:
            plan = plan_chain(source, parse_chain(chain, CATALOGUE))
            _on_device[key] = DeviceExecutor(plan, engine, ring=None)
        _on_device.move_to_end(key)
        if len(_on_device) > CACHED_DEVICE_PLANS:
            _on_device.popitem(last=False)[1].close()
        return _on_device[key]


def _is_array(picture: Picture) -> bool:
    return hasattr(picture, "ndim") and hasattr(picture, "dtype")


def _as_frame(picture: Picture, name: str | None, color: Color) -> Frame:
    """The frame that arrays stand for."""
    planes: tuple[Any, ...]
    planes, default = _planes_of(picture) if _is_array(picture) else (tuple(picture), None)
    if not planes or any(getattr(plane, "ndim", 0) != 2 for plane in planes):
        raise FormatError("a picture is a Frame, an array, or a sequence of (height, width) arrays, one for each plane")
    chosen = name or default
    if chosen is None:
        raise FormatError(f"{len(planes)} planes say nothing of their format: pass pixel_format='yuv420p' or the like")
    layout = pixel_format(chosen)
    if _is_array(picture) and len(planes) == 3 and layout.family is not Family.GBR:
        raise FormatError(f"a (height, width, 3) array is R'G'B', not {chosen}; pass the planes one by one")
    height, width = planes[0].shape
    format_ = VideoFormat(width=width, height=height, pixel_format=layout, color=color)
    return Frame(planes=planes, format=format_)


def _planes_of(array: Plane) -> tuple[tuple[Plane, ...], str]:
    """Planes of one array and the pixel format that its shape and dtype mean."""
    if array.dtype not in (np.uint8, np.uint16):
        raise FormatError(f"pictures are uint8 or uint16 arrays, not {array.dtype}")
    depth = "" if array.dtype == np.uint8 else "16"
    if array.ndim == 2:
        return (array,), f"gray{depth}"
    if array.ndim == 3 and array.shape[2] == 3:
        red, green, blue = (array[:, :, c].copy() for c in range(3))
        return (green, blue, red), f"gbrp{depth}"
    raise FormatError(f"pictures are (height, width) or (height, width, 3) arrays, not {array.shape}")


def _like(given: Picture, frame: Frame) -> Any:
    """The planes of `frame` in the form of `given`."""
    if len(frame.planes) == 1:
        return frame.planes[0]
    if _is_array(given) and frame.format.pixel_format.family is Family.GBR:
        green, blue, red = frame.planes
        return np.stack([red, green, blue], axis=-1)  # CuPy's, for arrays of CuPy
    return frame.planes
