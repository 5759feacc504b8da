"""Numba's `njit`, with its disk cache made safe for several processes at once.

Numba numbers the compiled variants of a function by what the index holds when it saves. Two processes that
compile different variants at the same moment pick the same number, and one of them is later loaded under the
name of the other: wrong pictures without an error. A file name made from the variant itself cannot collide, and
written before the index that names it, it is there whole whenever the index says so.
"""

from __future__ import annotations

import hashlib
from typing import Any

from numba import njit
from numba.core import caching

__all__ = ["njit"]


class _CollisionFreeCache(caching.IndexDataCacheFile):
    """Numba's cache of one function: a file per variant, named by its signature and source."""

    def save(self, key: Any, data: Any) -> None:
        digest = hashlib.sha256(repr((self._source_stamp, self._version, key)).encode()).hexdigest()
        name = self._data_name(int(digest[:16], 16))  # type: ignore[no-untyped-call]
        self._save_data(name, data)  # type: ignore[no-untyped-call]
        variants = self._load_index()  # type: ignore[no-untyped-call]
        variants[key] = name
        self._save_index(variants)  # type: ignore[no-untyped-call]


setattr(caching, "IndexDataCacheFile", _CollisionFreeCache)  # noqa: B010 - a class is no variable to mypy
