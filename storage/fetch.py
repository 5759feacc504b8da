"""Reading a range whole: what was cut off is asked for again, from the first missing byte."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.store import Body, ObjectInfo, ReadableStore

PIECE_BYTES: Final = 256 << 10
"""Little enough to be in the cache of a core from the socket to the file."""


def fetch(
    store: ReadableStore,
    info: ObjectInfo,
    start: int,
    stop: int,
    *,
    into: bytearray | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> bytearray:
    """Bytes `start` to `stop - 1` of the version `info` describes: all of them, or an error.

    `into`, of exactly that size, is filled and returned. `wanted` is asked between pieces and tries. Raises
    `CancelledError` when nobody wants them any more, `ChangedError`, a `RequestError` that no retry can help, or
    `GaveUpError`.
    """
    data = bytearray(stop - start) if into is None else into
    view = memoryview(data)

    def attempt(body: Body, got: int) -> int:
        if not wanted():
            raise CancelledError
        return body.readinto(view[got:])

    _read(store, info, start, stop, attempt, wanted)
    return data


def receive(
    store: ReadableStore,
    info: ObjectInfo,
    start: int,
    stop: int,
    take: Callable[[memoryview, int], object],
    *,
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """As `fetch`, but gives the bytes to `take(piece, position)` as they come, in order, `PIECE_BYTES` at most.

    A piece is valid during the call; pieces that are used while the processor still has them cost least. `wanted` is
    asked between tries.
    """
    room = memoryview(bytearray(min(PIECE_BYTES, stop - start)))

    def attempt(body: Body, got: int) -> int:
        count = body.readinto(room[: stop - start - got])
        take(room[:count], start + got)
        return count

    _read(store, info, start, stop, attempt, wanted)


def _read(
    store: ReadableStore,
    info: ObjectInfo,
    start: int,
    stop: int,
    step: Callable[[Body, int], int],
    wanted: Callable[[], bool],
) -> None:
    """Call `step(body, got)`, which says how many bytes it took, until the range is whole."""
    got = 0

    def attempt() -> None:
        nonlocal got
        with store.open_range(info, start + got, stop) as body:
            while got < stop - start:
                got += step(body, got)

    if start >= stop:
        return
    with store.lanes:
        store.retrier.call(
            f"reading {store.describe(info.key)}",
            attempt,
            progress=lambda: got,
            on_throttle=store.lanes.narrow,
            wanted=wanted,
        )
