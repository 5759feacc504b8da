"""Rings of frame memory: taken for a batch, given back when whoever got its frames has let go of them."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kernels.backends.device_program import bind, host_view, plane_views
from kernels.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernels.launch import FrameEngine
    from kernels.surface import Surface

HELD_TOO_LONG_S: Final = 60.0
"""How long a ring waits for one of its frames before it says who keeps them."""


class Slot:
    """Device memory for one batch, and pinned host memory beside it where frames come from or go to the host."""

    __slots__ = ("bound", "device", "done", "host", "host_frames")

    def __init__(self, engine: FrameEngine, surface: Surface, *, on_host: bool) -> None:
        self.device = engine.empty((surface.size_bytes,), np.dtype(np.uint8))
        self.bound = bind(engine, self.device, surface)
        self.host: Any = None
        self.host_frames: tuple[tuple[Any, ...], ...] = ()
        if on_host:
            memory = self.host = engine.pinned(surface.size_bytes)
            self.host_frames = tuple(
                plane_views(surface, frame, lambda *place: host_view(memory, *place)) for frame in range(surface.frames)
            )
        self.done: Any = None
        """The event after which its last user has left it; None before the first."""


class Lease:
    """One use of a slot: arrays made from it hold the lease, and its end gives the slot back."""

    __slots__ = ("_ring", "slot")

    def __init__(self, slot: Slot, ring: Ring) -> None:
        self.slot = slot
        self._ring = ring

    def __del__(self) -> None:
        self._ring.give_back(self.slot)


class Ring:
    """At most `size` slots, made when they are first needed; `patience_s` is how long to wait for one in use."""

    def __init__(self, make: Callable[[], Slot], size: int, *, patience_s: float = HELD_TOO_LONG_S) -> None:
        self._make = make
        self._size = size
        self._patience_s = patience_s
        self._made = 0
        self._free: deque[Slot] = deque()
        self._waiting = 0
        # Reentrant: the garbage collector may end a lease inside `_wait`.
        self._changed = threading.Condition(threading.RLock())

    def take(self) -> Slot:
        """A free slot, the one that has been free for longest. Waits until there is one.

        Raises `UnavailableError` when all of them are held by others for too long.
        """
        try:
            return self._free.popleft()
        except IndexError:
            return self._wait()

    def lease(self) -> Lease:
        """A free slot, as a use of it that ends, and gives it back, when nobody refers to it."""
        return Lease(self.take(), self)

    def give_back(self, slot: Slot) -> None:
        self._free.append(slot)
        if self._waiting:
            with self._changed:
                self._changed.notify()

    def _wait(self) -> Slot:
        with self._changed:
            if self._made < self._size:
                slot = self._make()
                self._made += 1  # one that there was no memory for is not counted
                return slot
            self._waiting += 1  # before looking: whoever gives back after that look notifies
            try:
                found = self._changed.wait_for(lambda: bool(self._free), self._patience_s)
            finally:
                self._waiting -= 1
            if not found:
                raise UnavailableError(
                    f"all {self._size} frames of the ring on the device are still held; let go of some, or ask for more"
                )
            return self._free.popleft()
