"""The frame index of a source as an object of the run: small, the same bytes everywhere, and checked when read.

The content is one line of JSON and three rows of 64-bit little-endian integers: the second differences of all pts
(zeros, at a constant rate), the differences of the keyframes' numbers, and those of their decode times. It is
stored with zlib; the digest is that of the content, which no version of zlib can change.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from array import array
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

from pydantic import Field, ValidationError

from kernels.errors import InputError
from kernels.io.frame_index import FrameIndex
from runner.errors import PlanError
from runner.spec import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FORMAT: Final = 1
MAX_FRAMES: Final = 1 << 24
"""77 hours at 60 frames per second."""
MAX_CONTENT_BYTES: Final = 3 * 8 * MAX_FRAMES + (1 << 12)
_MAX_HEAD_BYTES: Final = 1 << 12


class _Head(Record):
    format: int = Field(ge=FORMAT, le=FORMAT)
    time_base: Fraction = Field(gt=0)
    start_s: Fraction
    last_duration: int
    frames: int = Field(gt=0, le=MAX_FRAMES)
    keyframes: int = Field(ge=0, le=MAX_FRAMES)


def pack_index(index: FrameIndex) -> bytes:
    """`index` as it is stored. About a byte per hundred frames at a constant rate, two per frame at a variable one."""
    return zlib.compress(_content(index), level=9)


def index_digest(index: FrameIndex) -> str:
    """SHA-256 of the content of `index`, in hexadecimal: what a plan carries."""
    return hashlib.sha256(_content(index)).hexdigest()


def unpack_index(data: bytes, *, digest: str) -> FrameIndex:
    """The index in `data`. Raises `PlanError` for any but the one with this `digest`."""
    try:
        expander = zlib.decompressobj()
        content = expander.decompress(data, MAX_CONTENT_BYTES)
        whole = expander.eof and not expander.unused_data
    except zlib.error:
        whole, content = False, b""
    if not whole or hashlib.sha256(content).hexdigest() != digest:
        raise PlanError("the frame index is not the one that this job was planned with; plan the job again")
    try:
        return _index(content)
    except (ValidationError, ValueError, InputError) as error:
        raise PlanError("the frame index was written by another version; plan the job again") from error


def _content(index: FrameIndex) -> bytes:
    head = _Head(
        format=FORMAT,
        time_base=index.time_base,
        start_s=index.start_s,
        last_duration=index.last_duration,
        frames=len(index.pts),
        keyframes=len(index.keyframes),
    )
    rows = (_differences(_differences(index.pts)), _differences(index.keyframes), _differences(index.keyframe_dts))
    return head.model_dump_json().encode() + b"\n" + b"".join(map(_to_bytes, rows))


def _index(content: bytes) -> FrameIndex:
    line, found, rest = content.partition(b"\n")
    if not found or len(line) > _MAX_HEAD_BYTES:
        raise ValueError("no head")
    head = _Head.model_validate_json(line)
    counts = (head.frames, head.keyframes, head.keyframes)
    if len(rest) != 8 * sum(counts):
        raise ValueError("another number of values than the head says")
    rows, at = [], 0
    for count in counts:
        rows.append(_from_bytes(rest[at : at + 8 * count]))
        at += 8 * count
    return FrameIndex(
        time_base=head.time_base,
        start_s=head.start_s,
        pts=tuple(accumulate(accumulate(rows[0]))),
        last_duration=head.last_duration,
        keyframes=tuple(accumulate(rows[1])),
        keyframe_dts=tuple(accumulate(rows[2])),
    )


def _differences(values: Sequence[int]) -> list[int]:
    """The first value, and how far each next one lies from the one before."""
    return [*values[:1], *(after - before for before, after in pairwise(values))]


def _to_bytes(values: Iterable[int]) -> bytes:
    row = array("q", values)
    if sys.byteorder == "big":
        row.byteswap()
    return row.tobytes()


def _from_bytes(data: bytes) -> array[int]:
    row = array("q")
    row.frombytes(data)
    if sys.byteorder == "big":
        row.byteswap()
    return row
