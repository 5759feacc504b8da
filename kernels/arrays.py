"""Operations on arrays and frames in memory: `kernels.apply` and one function per operation."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kernels.backends.cpu import CpuExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import Step, format_chain, parse_chain, read_params
from kernels.color import Color
from kernels.errors import FormatError, nearest
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import Family, pixel_format
from kernels.plan import plan_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kernels.frame import Plane

    Picture = Frame | Plane | Sequence[Plane]
    """A frame; a (height, width) plane; a (height, width, 3) R'G'B' array; or the planes of a pixel format."""

CACHED_PLANS: Final = 16
"""Bound plans kept for the next call with the same format and chain."""


def apply(
    chain: str | Sequence[Step],
    picture: Picture,
    *,
    pixel_format: str | None = None,
    color: Color | None = None,
    threads: int | None = None,
) -> Any:
    """`picture` through `chain`, in the form it was given.

    Arrays are uint8 or uint16. A (height, width) array is a gray picture and a (height, width, 3) one R'G'B',
    full range, 8 or 16 bits deep; a sequence of planes needs `pixel_format` (FFmpeg's name, such as
    'yuv420p10'). `color` tags what arrays cannot tell; without it the rule of `Color.resolved` holds.
    Returns a `Frame` for a frame, else an array or a tuple of planes. Raises `ChainError` or `FormatError`.
    """
    steps = parse_chain(chain, CATALOGUE) if isinstance(chain, str) else tuple(chain)
    if isinstance(picture, Frame):
        return _run(picture, steps, threads)
    frame = _as_frame(picture, pixel_format, color or Color())
    return _like(picture, _run(frame, steps, threads))


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
        **options: Any,
    ) -> Any:
        step = Step(operation=operation, params=read_params(operation, options))
        return apply((step,), picture, pixel_format=pixel_format, color=color, threads=threads)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{operation.summary.capitalize()}.\n\nOptions: see `runner ops {name}`; pictures: `kernels.apply`."
    return call


def _run(frame: Frame, steps: Sequence[Step], threads: int | None) -> Frame:
    return _executor(frame.format, format_chain(steps), threads).run(frame)


@lru_cache(maxsize=CACHED_PLANS)
def _executor(source: VideoFormat, chain: str, threads: int | None) -> CpuExecutor:
    return CpuExecutor(plan_chain(source, parse_chain(chain, CATALOGUE)), threads=threads)


def _as_frame(picture: Plane | Sequence[Plane], name: str | None, color: Color) -> Frame:
    """The frame that arrays stand for."""
    planes: tuple[Any, ...]
    planes, default = _planes_of(picture) if isinstance(picture, np.ndarray) else (tuple(picture), None)
    if not planes or any(getattr(plane, "ndim", 0) != 2 for plane in planes):
        raise FormatError("a picture is a Frame, an array, or a sequence of (height, width) arrays, one for each plane")
    chosen = name or default
    if chosen is None:
        raise FormatError(f"{len(planes)} planes say nothing of their format: pass pixel_format='yuv420p' or the like")
    layout = pixel_format(chosen)
    if isinstance(picture, np.ndarray) and len(planes) == 3 and layout.family is not Family.GBR:
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
        red, green, blue = (np.ascontiguousarray(array[:, :, c]) for c in range(3))
        return (green, blue, red), f"gbrp{depth}"
    raise FormatError(f"pictures are (height, width) or (height, width, 3) arrays, not {array.shape}")


def _like(given: Plane | Sequence[Plane], frame: Frame) -> Any:
    """The planes of `frame` in the form of `given`."""
    if len(frame.planes) == 1:
        return frame.planes[0]
    if isinstance(given, np.ndarray) and frame.format.pixel_format.family is Family.GBR:
        green, blue, red = frame.planes
        return np.stack([red, green, blue], axis=-1)
    return frame.planes
