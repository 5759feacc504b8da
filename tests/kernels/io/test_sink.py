"""The head of a file, held back until the end is known."""

from __future__ import annotations

import io

import pytest

from kernels.errors import OutputError
from kernels.io.sink import HeadSink


def box(kind: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4, "big") + kind + content


def started() -> tuple[io.BytesIO, HeadSink]:
    """A file type box, a hole of 100 bytes, and media."""
    target = io.BytesIO()
    sink = HeadSink(target)
    sink.write(box(b"ftyp", b"isom"))
    sink.seek(112)
    sink.write(box(b"mdat", b"m" * 50))
    return target, sink


def test_a_hole_is_a_free_box_at_once() -> None:
    target, sink = started()
    assert target.getvalue()[12:20] == (100).to_bytes(4, "big") + b"free"
    assert sink.bytes_written == len(target.getvalue()) == 170


def test_changes_of_the_head_reach_the_target_only_at_the_end() -> None:
    target, sink = started()
    before = target.getvalue()
    moov = box(b"moov", b"x" * 30)
    sink.seek(12)
    sink.write(moov)
    sink.write(box(b"free", bytes(54)))
    assert target.getvalue() == before
    sink.settle()
    assert target.getvalue()[12:50] == moov
    assert target.getvalue()[112:] == before[112:]
    assert target.tell() == 170


def test_an_index_larger_than_its_hole_goes_to_the_end() -> None:
    target, sink = started()
    before = target.getvalue()
    moov = box(b"moov", bytes(range(200)))
    sink.seek(116)
    sink.write(b"MDAT")  # a change behind the hole
    sink.seek(12)
    sink.write(moov[:64])
    sink.write(moov[64:])
    sink.settle_at_end()
    assert target.getvalue()[:112] == before[:112]
    assert target.getvalue()[116:120] == b"MDAT"
    assert target.getvalue()[170:] == moov


def test_without_a_whole_index_there_is_nothing_to_save() -> None:
    _, sink = started()
    sink.seek(12)
    sink.write(box(b"moov", bytes(300))[:100])
    with pytest.raises(OutputError, match="whole index"):
        sink.settle_at_end()


def test_it_starts_where_the_target_stands() -> None:
    target = io.BytesIO(b"12345")
    target.seek(5)
    sink = HeadSink(target)
    sink.write(b"abcdef")
    sink.seek(0)
    sink.write(b"A")
    sink.settle()
    assert target.getvalue() == b"12345Abcdef"


def test_an_abandoned_sink_writes_nothing_more() -> None:
    target, sink = started()
    sink.abandon()
    sink.write(b"more")
    assert len(target.getvalue()) == 170
