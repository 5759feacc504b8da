"""Rings of frame memory: taken for a batch, given back when whoever got its frames has let go of them."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from kernels.backends.device_program import bind, host_view, plane_views
from kernels.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernels.launch import FrameEngine
    from kernels.surface import Surface

LOGGER: Final = logging.getLogger(__name__)
HELD_TOO_LONG_S: Final = 60.0
"""How long a ring waits for one of its frames before it says who keeps them."""
POLL_S: Final = 0.1
"""How often it looks, while it waits, whether it still should."""


class Slot:
    """Device memory for one batch, and pinned host memory beside it where frames come from or go to the host."""

    __slots__ = ("bound", "device", "done", "host", "host_frames", "is_leaving")

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
        """The event after which its last user has left it, recorded anew by the next; None before the first."""
        self.is_leaving = False
        """Whether frames may still be copied to the host from here: nobody has waited for `done` yet."""


class Lease:
    """One use of a slot: arrays made from it hold the lease, and its end gives the slot back."""

    __slots__ = ("_ring", "slot")

    def __init__(self, slot: Slot, ring: Ring) -> None:
        self.slot = slot
        self._ring = ring

    def __del__(self) -> None:
        self._ring.give_back(self.slot)


class Ring:
    """At most `size` slots, made when they are first needed. One that there is no memory for ends the ring's growth,
    once there are `least`.

    `patience_s` is how long to wait for a slot in use; `check` raises when nobody wants one any more.
    """

    def __init__(
        self,
        make: Callable[[], Slot],
        size: int,
        *,
        least: int = 1,
        patience_s: float = HELD_TOO_LONG_S,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._make = make
        self._size = size
        self._least = least
        self._patience_s = patience_s
        self._check = check
        self._made = 0
        self._free: deque[Slot] = deque()
        self._waiting = 0
        # Reentrant: the garbage collector may end a lease inside `_wait`.
        self._changed = threading.Condition(threading.RLock())

    def fill(self, slots: int) -> None:
        """Have at least so many slots, or all there may be. Raises `UnavailableError` when there is no memory."""
        with self._changed:
            while self._made < min(slots, self._size):
                self._free.append(self._grown())

    def has_room(self) -> bool:
        """Whether `take` would give a slot at once: one is free, or can be made."""
        if self._free:
            return True
        with self._changed:
            slot = self._more()
            if slot is not None:
                self._free.append(slot)
            return bool(self._free)

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

    def _grown(self) -> Slot:
        slot = self._make()
        self._made += 1  # one that there was no memory for is not counted
        return slot

    def _more(self) -> Slot | None:
        """One slot more; None where there may be none. Raises `UnavailableError` when there are too few to go on."""
        if self._made >= self._size:
            return None
        try:
            return self._grown()
        except UnavailableError as error:
            if self._made < self._least:
                raise
            LOGGER.info("%d instead of %d frames in flight: %s", self._made, self._size, error)
            self._size = self._made
            return None

    def _wait(self) -> Slot:
        with self._changed:
            slot = self._more()
            if slot is not None:
                return slot
            self._waiting += 1  # before looking: whoever gives back after that look notifies
            try:
                self._wait_for_one()
            finally:
                self._waiting -= 1
            return self._free.popleft()

    def _wait_for_one(self) -> None:
        until = time.monotonic() + self._patience_s
        while not self._free:
            self._check()
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise UnavailableError(
                    f"all {self._size} frames of the ring on the device are still held; let go of some, or ask for more"
                )
            self._changed.wait(min(left_s, POLL_S))
