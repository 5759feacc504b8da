"""Counting damage that libav conceals: its decoders report it only as log messages."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

import av

if TYPE_CHECKING:
    from collections.abc import Collection

LOG_LOCK = threading.Lock()
"""Held while libav's log level changes: there is one for the whole process."""
_watches = 0
# The first watch raises the level, the last one puts it back.
_level_before: int | None = None


class DamageLog:
    """Collects the error messages of the decoders and demuxers called `names` while it is entered.

    libav's messages do not say which of several open files they are about, so two watches on files of the same
    kind at the same time may count each other's damage.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._capture = av.logging.Capture(local=False)
        self._messages: list[tuple[int, str, str]] = []

    def __enter__(self) -> Self:
        global _watches, _level_before
        with LOG_LOCK:
            if _watches == 0:
                _level_before = av.logging.get_level()
                av.logging.set_skip_repeated(False)
                if _level_before is None or _level_before < av.logging.ERROR:
                    av.logging.set_level(av.logging.ERROR)
            _watches += 1
        self._messages = self._capture.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        global _watches
        self._capture.__exit__(None, None, None)
        with LOG_LOCK:
            _watches -= 1
            if _watches == 0:
                av.logging.set_level(_level_before)
                av.logging.set_skip_repeated(True)

    def take(self) -> bool:
        """Whether there were errors since the last call."""
        if not self._messages:
            return False
        found = any(level <= av.logging.ERROR and name in self._names for level, name, _ in self._messages)
        self._messages.clear()
        return found
