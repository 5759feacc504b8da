"""Objects as files: what is read and written through file objects, in every kind of store."""

from __future__ import annotations

import gc
import io
import os
import random
from typing import TYPE_CHECKING

import pytest

from storage.errors import ChangedError, MissingError, WriteError
from storage.parts import MAX_OBJECT_BYTES, next_part_bytes, part_bytes_for
from storage.reader import BLOCK_BYTES, ObjectReader
from storage.store import MAX_PART_BYTES, MAX_PARTS, MIN_PART_BYTES
from storage.writer import ObjectWriter

if TYPE_CHECKING:
    from storage.store import ObjectStore

MIB = 1 << 20


def small_parts(_start: int) -> int:
    return MIN_PART_BYTES


def content(store: ObjectStore, key: str) -> bytes:
    with ObjectReader(store, key) as file:
        return file.read()


def test_reading_and_seeking_is_that_of_a_file(store: ObjectStore) -> None:
    data = os.urandom(300_000)
    store.put("clip", data)
    other = io.BytesIO(data)
    moves = random.Random(7)
    with ObjectReader(store, "clip", block_bytes=10_007) as file:
        for _ in range(300):
            if moves.random() < 0.3:
                offset, whence = moves.choice([(moves.randrange(310_000), 0), (-moves.randrange(9000), 2)])
                assert file.seek(offset, whence) == other.seek(offset, whence)
            size = moves.choice([0, 1, 7, 4096, 10_007, 65_536])
            assert file.read(size) == other.read(size)
            assert file.tell() == other.tell()
        file.seek(0)
        assert file.read() == data
        assert file.read(10) == b""
        room = bytearray(20)
        file.seek(-5, os.SEEK_END)
        assert file.readinto(room) == 5
        assert room[:5] == data[-5:]
        with pytest.raises(ValueError, match="seek"):
            file.seek(-1)
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


def test_an_empty_object_reads_as_an_empty_file(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert content(store, "empty") == b""


def test_opening_what_is_not_there_says_so(store: ObjectStore) -> None:
    with pytest.raises(MissingError, match="nothing"):
        ObjectReader(store, "nothing")


@pytest.mark.parametrize("size", [0, 1, 5_000_000, 17 * MIB, 23 * MIB + 3])
def test_what_was_written_is_there_with_its_changed_head(store: ObjectStore, size: int) -> None:
    data = bytearray(os.urandom(size))
    with ObjectWriter(store, "clip", part_bytes=small_parts, head_bytes=6 * MIB) as file:
        for start in range(0, size, MIB):
            assert file.write(data[start : start + MIB]) == len(data[start : start + MIB])
        if size > 100:
            file.seek(40)
            file.write(b"the length")
            data[40:50] = b"the length"
            assert file.tell() == 50
            assert file.seek(0, os.SEEK_END) == size
        assert list(store.list()) == []
    assert content(store, "clip") == data
    assert file.info is not None
    assert file.info.size_bytes == size
    assert list(store.list_uploads()) == []


def test_a_reserve_of_zeros_can_be_filled_however_long_it_is(store: ObjectStore) -> None:
    reserve, media = 9 * MIB, os.urandom(12 * MIB)
    with ObjectWriter(store, "clip", part_bytes=small_parts, head_bytes=5 * MIB) as file:
        file.write(b"ftyp" + bytes(reserve))
        file.write(media)
        file.seek(reserve - 100)
        file.write(b"x" * 120)
    expected = bytearray(b"ftyp" + bytes(reserve) + media)
    expected[reserve - 100 : reserve + 20] = b"x" * 120
    assert content(store, "clip") == expected


def test_a_gap_is_zeros(store: ObjectStore) -> None:
    with ObjectWriter(store, "clip") as file:
        file.write(b"ab")
        file.seek(3_000_000)
        file.write(b"cd")
        file.seek(1)
        file.write(b"BCDE")
    assert content(store, "clip") == b"aBCDE" + bytes(2_999_995) + b"cd"


def test_a_change_outside_the_head_is_an_error_and_the_old_object_stays(store: ObjectStore) -> None:
    store.put("clip", b"old")

    def write_late() -> None:
        with ObjectWriter(store, "clip", part_bytes=small_parts, head_bytes=5 * MIB) as file:
            file.write(os.urandom(20 * MIB))
            file.seek(15 * MIB)
            file.write(b"late")

    with pytest.raises(WriteError, match="already sent"):
        write_late()
    assert content(store, "clip") == b"old"
    assert list(store.list_uploads()) == []


def test_a_failed_block_leaves_the_old_object_and_no_upload(store: ObjectStore) -> None:
    store.put("clip", b"old")

    def fail() -> None:
        with ObjectWriter(store, "clip", part_bytes=small_parts, head_bytes=5 * MIB) as file:
            file.write(os.urandom(20 * MIB))
            raise RuntimeError("the job failed")

    with pytest.raises(RuntimeError, match="job"):
        fail()
    assert content(store, "clip") == b"old"
    assert list(store.list_uploads()) == []


def test_a_forgotten_writer_completes_nothing(store: ObjectStore) -> None:
    file = ObjectWriter(store, "clip", part_bytes=small_parts, head_bytes=5 * MIB)
    file.write(os.urandom(20 * MIB))
    del file
    gc.collect()
    assert list(store.list()) == []
    assert list(store.list_uploads()) == []


def test_nothing_happens_after_the_end(store: ObjectStore) -> None:
    with ObjectWriter(store, "clip") as file:
        file.write(b"all")
    file.discard()
    file.close()
    assert content(store, "clip") == b"all"
    with pytest.raises(ValueError, match="closed"):
        file.write(b"more")


def test_an_object_replaced_while_it_is_read_is_never_mixed(store: ObjectStore) -> None:
    old, new = os.urandom(100_000), os.urandom(100_000)
    store.put("clip", old)
    with ObjectReader(store, "clip", block_bytes=10_000) as file:
        start = file.read(5000)
        store.put("clip", new)
        try:
            rest = file.read()
        except ChangedError as error:
            assert "clip" in str(error)
            return
    assert start + rest == old


def test_parts_grow_to_10_tb_within_their_number_and_size() -> None:
    written, sizes = 16 * MIB, []
    while written < MAX_OBJECT_BYTES:
        sizes.append(next_part_bytes(written))
        written += sizes[-1]
    assert len(sizes) + 1 <= MAX_PARTS
    assert max(sizes) <= MAX_PART_BYTES
    assert sizes == sorted(sizes)
    assert sum(sizes[:200]) == 200 * 16 * MIB


@pytest.mark.parametrize("size", [0, 1, 10**9, 10**12, MAX_OBJECT_BYTES])
def test_parts_of_a_known_size_fit(size: int) -> None:
    part = part_bytes_for(size)
    assert MIN_PART_BYTES <= part <= MAX_PART_BYTES
    assert -(-size // part) <= MAX_PARTS


def test_a_block_is_worth_a_request() -> None:
    assert -(-152_000_000 // BLOCK_BYTES) <= 20


@pytest.mark.parametrize("size", [0, 1000, 2 * MIN_PART_BYTES + 7])
def test_a_store_that_answers_with_digests_has_proven_what_it_holds(store: ObjectStore, size: int) -> None:
    """A folder does not; then whoever must be sure reads it."""
    from storage.b2 import B2Store

    data = random.Random(size).randbytes(size)
    with ObjectWriter(store, "clip", head_bytes=1 << 20, part_bytes=small_parts) as writer:
        assert not writer.proven
        writer.write(data)
    assert writer.proven is isinstance(store, B2Store)
    assert writer.sent_bytes == (size if size > MIN_PART_BYTES else 0)
