"""Numba's `njit`, with its disk cache made safe for several processes at once and for edits anywhere.

Numba numbers the compiled variants of a function by what the index holds when it saves. Two processes that
compile different variants at the same moment pick the same number, and one of them is later loaded under the
name of the other: wrong pictures without an error. A file name made from the variant itself cannot collide, and
written before the index that names it, it is there whole whenever the index says so.

Numba also takes a function for unchanged while its own file is, though what it calls is compiled into it. Here a
change of any file of the package makes every compiled function stale.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Final

from numba import njit  # noqa: TID251 - this is that place
from numba.core import caching

__all__ = ["njit"]

_COMPILED: Final = ("backends/*.py", "compare/*.py", "ops/*.py", "resample/*.py", "transfer.py", "twins.py")
"""Modules whose functions or constants are compiled."""


class _CollisionFreeCache(caching.IndexDataCacheFile):
    """Numba's cache of one function: a file per variant, named by its signature and source."""

    def __init__(self, cache_path: str, filename_base: str, source_stamp: Any) -> None:
        super().__init__(cache_path, filename_base, (source_stamp, _package_stamp()))  # type: ignore[no-untyped-call]

    def save(self, key: Any, data: Any) -> None:
        digest = hashlib.sha256(repr((self._source_stamp, self._version, key)).encode()).hexdigest()
        name = self._data_name(int(digest[:16], 16))  # type: ignore[no-untyped-call]
        self._save_data(name, data)  # type: ignore[no-untyped-call]
        variants = self._load_index()  # type: ignore[no-untyped-call]
        variants[key] = name
        self._save_index(variants)  # type: ignore[no-untyped-call]


@cache
def _package_stamp() -> str:
    """A digest of the name, time and size of every such module."""
    folder = Path(__file__).parent
    compiled = [path for pattern in _COMPILED for path in folder.glob(pattern)]
    facts = sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in compiled)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


setattr(caching, "IndexDataCacheFile", _CollisionFreeCache)  # noqa: B010 - a class is no variable to mypy
