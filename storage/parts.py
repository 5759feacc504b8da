"""How large the parts of an upload are."""

from __future__ import annotations

from typing import Final

from storage.store import MAX_PART_BYTES, MAX_PARTS

PART_BYTES: Final = 16 << 20
"""Small enough to have several under way, large enough that requests cost nothing."""
MAX_OBJECT_BYTES: Final = 10_000_000_000_000
GROWTH: Final = 1250
"""A part is at least this fraction of what has been written: 10 TB then take 9,200 of 10,000 parts."""
SPARE: Final = 0.9
"""How much of the possible parts a known size may use, so that a wrong guess still fits."""
_MIB: Final = 1 << 20


def next_part_bytes(written_bytes: int) -> int:
    """Size of the part that begins at `written_bytes` of a stream whose length nobody knows."""
    return _rounded(max(PART_BYTES, written_bytes / GROWTH))


def part_bytes_for(size_bytes: int) -> int:
    """Size of every part but the last of an object of `size_bytes`."""
    return _rounded(max(PART_BYTES, size_bytes / (MAX_PARTS * SPARE)))


def _rounded(size: float) -> int:
    """Up to a whole MiB, within what a part may have."""
    return min(-(-int(size) // _MIB) * _MIB, MAX_PART_BYTES)
