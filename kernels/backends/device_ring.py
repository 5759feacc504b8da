"""Rings of frame memory: taken for a batch, given back when whoever got its frames has let go of them."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

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

    __slots__ = ("__weakref__", "bound", "device", "done", "host", "host_frames")

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

    __slots__ = ("__weakref__", "slot")

    def __init__(self, slot: Slot) -> None:
        self.slot = slot


T = TypeVar("T")


class Ring(Generic[T]):
    """At most `size` slots, made when they are first needed; `patience_s` is how long to wait for one in use."""

    def __init__(self, make: Callable[[], T], size: int, *, patience_s: float = HELD_TOO_LONG_S) -> None:
        self._make = make
        self._size = size
        self._patience_s = patience_s
        self._made = 0
        self._free: deque[T] = deque()
        # Reentrant: a finalizer may run inside `take` when the garbage collector strikes there.
        self._changed = threading.Condition(threading.RLock())

    def take(self) -> T:
        """A free slot, the one that has been free for longest. Waits until there is one.

        Raises `UnavailableError` when all of them are held by others for too long.
        """
        with self._changed:
            if not self._free and self._made < self._size:
                self._made += 1
                return self._make()
            if not self._changed.wait_for(lambda: bool(self._free), self._patience_s):
                raise UnavailableError(
                    f"all {self._size} frames of the ring on the device are still held; let go of some, or ask for more"
                )
            return self._free.popleft()

    def give_back(self, slot: T) -> None:
        with self._changed:
            self._free.append(slot)
            self._changed.notify()

    def lease(self, slot: Any) -> Lease:
        """A use of `slot` that ends, and gives it back, when nobody refers to it."""
        lease = Lease(slot)
        weakref.finalize(lease, self.give_back, slot).atexit = False
        return lease
