"""Frames that share launches: where they lie, and which of them lie so that one launch takes them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kernels.errors import FormatError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kernels.frame import Frame
    from kernels.launch import FrameEngine


class Place(NamedTuple):
    """Where a frame lies on the device."""

    planes: tuple[Any, ...]
    """The engine's arrays."""
    addresses: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    """In bytes, of each plane."""


class Batch(NamedTuple):
    """Frames for the same launches."""

    frames: tuple[Frame, ...]
    place: Place | None
    """Of the first one; None for frames in host memory."""
    apart_bytes: int
    """From each to the next, on the device; 0 for one alone."""


def place_of(frame: Frame, engine: FrameEngine) -> Place | None:
    """Where `frame` lies on the device; None in host memory.

    Raises `UnavailableError` when some of its planes are here and some there.
    """
    adopt, address = engine.adopt, engine.address
    planes = tuple([adopt(plane) for plane in frame.planes])
    count = len([plane for plane in planes if plane is None])
    if count:
        if count == len(planes):
            return None
        raise UnavailableError("frames on the device are to have all their planes there")
    return Place(planes, tuple([address(plane) for plane in planes]), tuple([plane.strides for plane in planes]))


def batches(frames: Iterable[Frame], engine: FrameEngine, size: int) -> Iterator[Batch]:
    """`frames` in their order, as many as `size` together: those in host memory, and those at equal distances."""
    if size == 1:
        for frame in frames:
            yield Batch((frame,), place_of(frame, engine), 0)
        return
    held: list[Frame] = []
    first: Place | None = None
    last: Place | None = None
    apart = 0
    for frame in frames:
        place = place_of(frame, engine)
        if held:
            step = _distance(last, place)
            if step is None or (len(held) > 1 and step != apart):
                yield Batch(tuple(held), first, apart)
                held, apart = [], 0
            else:
                apart = step
        if not held:
            first = place
        held.append(frame)
        last = place
        if len(held) == size:
            yield Batch(tuple(held), first, apart)
            held, apart = [], 0
    if held:
        yield Batch(tuple(held), first, apart)


def _distance(one: Place | None, other: Place | None) -> int | None:
    """Bytes from each plane to that of the next frame, 0 in host memory; None where one launch cannot take both."""
    if one is None or other is None:
        return 0 if one is other else None
    if one.strides != other.strides:
        return None
    steps = {b - a for a, b in zip(one.addresses, other.addresses, strict=True)}
    step = steps.pop()
    return step if not steps and step % one.planes[0].itemsize == 0 else None


def is_interleaved(place: Place) -> bool:
    """Whether Cb and Cr lie side by side, as in NV12.

    Raises `FormatError` for planes that are neither that nor contiguous along rows.
    """
    planes = place.planes
    steps = [plane.strides[1] // plane.itemsize if plane.shape[1] > 1 else 1 for plane in planes]
    if len(planes) == 3 and steps[0] == 1 and steps[1] == steps[2]:
        apart = place.addresses[2] - place.addresses[1]
        narrow = planes[1].shape[1] == 1
        if apart == planes[0].itemsize and (steps[1] == 2 or narrow):
            return True
    if any(step != 1 for step in steps):
        raise FormatError("planes on the device must be contiguous along rows, or Cb and Cr interleaved as in NV12")
    return False
