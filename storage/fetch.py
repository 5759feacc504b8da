"""Reading a range whole: what was cut off is asked for again, from the first missing byte."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from storage.store import ObjectInfo, ReadableStore


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

    `into`, of exactly that size, is filled and returned. `wanted` is asked between pieces. Raises `CancelledError`
    when nobody wants them any more, `ChangedError`, a `RequestError` that no retry can help, or `GaveUpError`.
    """
    data = bytearray(stop - start) if into is None else into
    if not data:
        return data
    view = memoryview(data)
    got = 0

    def attempt() -> None:
        nonlocal got
        with store.open_range(info, start + got, stop) as body:
            while got < len(view):
                if not wanted():
                    raise CancelledError
                got += body.readinto(view[got:])

    with store.lanes:
        store.retrier.call(
            f"reading {store.describe(info.key)}",
            attempt,
            progress=lambda: got,
            on_throttle=store.lanes.narrow,
        )
    return data
