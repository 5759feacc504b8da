"""A small pool of threads that never keeps a process from ending."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
_END: Final = None


class Workers:
    """Runs calls in at most `most` daemon threads, started when needed, in the order of submission."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """The future of `call()`. Raises `RuntimeError` once closed."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"{self._name} is closed")
            if self._idle:
                self._idle -= 1
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._calls.put((future, call))
        return future

    def close(self) -> None:
        """Drop what has not begun; what runs ends by itself. Harmless when repeated."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            threads = self._threads
        while True:
            try:
                waiting = self._calls.get_nowait()
            except queue.Empty:
                break
            if waiting is not None:
                waiting[0].cancel()
        for _ in range(threads):
            self._calls.put(_END)

    def _run(self) -> None:
        while True:
            item = self._calls.get()
            if item is _END:
                return
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001  (whoever waits for the future gets it)
                    future.set_exception(error)
            del item, future, call  # a thread that waits holds no data
            with self._lock:
                if self._calls.empty():
                    self._idle += 1
