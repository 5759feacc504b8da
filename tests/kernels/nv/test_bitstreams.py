"""Packets on the way to NVDEC and from NVENC: units, headers, metadata, decode times."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.errors import InputError, OutputError
from kernels.frame import VideoFormat
from kernels.io import ledger
from kernels.io.annex_b import START_CODE, Bitstream, nal_type, obus, sequence_header, units
from kernels.io.ledger import DiffersError, Ledger
from kernels.io.nvenc import _DecodeTimes
from kernels.io.signal import Signal, _escaped
from kernels.pixel_format import pixel_format
from tests.kernels.io.clips import X264_B_FRAMES, Clip, make

if TYPE_CHECKING:
    from collections.abc import Sequence

X265 = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=4:min-keyint=4:open-gop=0"}
X265_NO_HEADERS = {
    "preset": "ultrafast",
    "x265-params": "log-level=none:keyint=4:min-keyint=4:open-gop=0:repeat-headers=0",
}
CLIPS = {
    "h264": Clip(options={**X264_B_FRAMES, "x264-params": "keyint=4:scenecut=0"}),
    "hevc": Clip(codec="libx265", options=X265),
    "hevc_mkv": Clip(codec="libx265", options=X265_NO_HEADERS, container="mkv"),
    "av1": Clip(codec="libsvtav1", options={"preset": "12", "g": "4"}, size=(64, 64)),
    "vp9": Clip(codec="libvpx-vp9", container="mkv", options={"cpu-used": "8", "g": "4"}),
}


@pytest.mark.parametrize("name", CLIPS)
def test_a_converted_stream_decodes_alone(name: str) -> None:
    """libav's own parsers read the result as a stream without a container, from each keyframe on."""
    codec = name.partition("_")[0]
    with av.open(io.BytesIO(make(CLIPS[name]))) as container:
        stream = container.streams.video[0]
        bitstream = Bitstream(codec, bytes(stream.codec_context.extradata or b""))
        packets = [packet for packet in container.demux(stream) if packet.size]
        converted = [bitstream.convert(bytes(packet), is_keyframe=packet.is_keyframe) for packet in packets]
    starts = [place for place, packet in enumerate(packets) if packet.is_keyframe]
    assert len(starts) == 3
    assert all(bool(sequence_header(codec, converted[place])) == (place in starts) for place in range(len(packets)))
    assert len({sequence_header(codec, converted[place]) for place in starts}) == 1
    for start in starts:
        context: Any = av.CodecContext.create("libdav1d" if codec == "av1" else codec, "r")
        frames = [frame for data in converted[start:] for frame in context.decode(av.Packet(data))]
        assert len(frames) + len(context.decode(None)) == len(packets) - start


def test_another_size_has_another_header() -> None:
    for codec, coder in (("h264", "libx264"), ("hevc", "libx265"), ("av1", "libsvtav1"), ("vp9", "libvpx-vp9")):
        options = X265 if codec == "hevc" else {}
        headers = set()
        for size in ((64, 64), (128, 64), (64, 128)):
            clip = Clip(codec=coder, options=options, container="mkv", size=size, frames=2)
            with av.open(io.BytesIO(make(clip))) as container:
                stream = container.streams.video[0]
                bitstream = Bitstream(codec, bytes(stream.codec_context.extradata or b""))
                packet = next(container.demux(stream))
                headers.add(sequence_header(codec, bitstream.convert(bytes(packet), is_keyframe=True)))
        assert len(headers) == 3


@given(st.binary(max_size=64))
def test_any_bytes_are_converted_without_an_exception(data: bytes) -> None:
    for codec in ("h264", "hevc", "av1", "vp9"):
        Bitstream(codec, b"\1\0\0\0\xff" + bytes(30)).convert(data, is_keyframe=True)
        sequence_header(codec, data)
        list(obus(data))


@given(st.binary(max_size=64), st.binary(max_size=40))
def test_damaged_extradata_ends_nowhere_else(extradata: bytes, data: bytes) -> None:
    for codec in ("h264", "hevc", "av1"):
        Bitstream(codec, b"\1" + extradata).convert(data, is_keyframe=True)


@given(st.lists(st.sampled_from([0, 1, 2, 3, 4, 255]), max_size=40))
def test_escaped_bytes_hold_no_start_code(values: list[int]) -> None:
    escaped = _escaped(bytes(values))
    assert not any(code in escaped for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))
    out, zeros = bytearray(), 0
    for byte in escaped:  # ITU-T H.264, 7.3.1: how a decoder takes them out again
        if zeros == 2 and byte == 3:
            zeros = 0
            continue
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    assert bytes(out) == bytes(values)


def test_units_are_what_lies_between_start_codes() -> None:
    data = START_CODE + b"\x67abc" + b"\0\0\1\x68de\0" + START_CODE + b"\x65f"
    assert units(data) == [b"\x67abc", b"\x68de", b"\x65f"]
    assert [nal_type("h264", unit[0]) for unit in units(data)] == [7, 8, 5]


def test_what_is_no_stream_is_an_error() -> None:
    format_ = VideoFormat(width=64, height=64, pixel_format=pixel_format("yuv420p"))
    with pytest.raises(OutputError, match="cannot be tagged"):
        Signal("av1", format_, {}).write(b"\x0a\x7f" + bytes(20), is_keyframe=True)


@given(
    st.lists(st.integers(1, 5000), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(0, 10_000),
)
def test_decode_times_rise_and_never_pass_the_frame(steps: list[int], interval: int, origin: int) -> None:
    """For the order that NVENC gives with `interval - 1` B-frames, whatever the spacing."""
    pts = [origin]
    for step in steps:
        pts.append(pts[-1] + step)
    order = _DecodeTimes(min(interval - 1, 2))
    for place, when in enumerate(pts):
        order.submit(when, (pts[place + 1] - when) if place + 1 < len(pts) else 1)
    coded = [0]
    for start in range(1, len(pts), interval):
        group = list(range(start, min(start + interval, len(pts))))
        coded += [group[-1], *group[:-1]]
    dts = [order.take(pts[number]) for number in coded]
    assert all(one < other for one, other in pairwise(dts))
    assert all(when <= pts[number] for when, number in zip(dts, coded, strict=True))


def test_an_order_deeper_than_promised_is_an_error() -> None:
    order = _DecodeTimes(0)
    for when in (0, 10, 20):
        order.submit(when, 10)
    assert order.take(0) == 0
    with pytest.raises(OutputError, match="reorders frames by more than 0 places"):
        order.take(0)


def packet(pts: int, *, is_keyframe: bool = False, size: int = 10) -> Any:
    made = av.Packet(size)
    made.pts, made.duration, made.is_keyframe = pts, 1, is_keyframe
    return made


def fill(book: Ledger, times: Sequence[int], keyframes: Sequence[int] = (0,), size: int = 10) -> None:
    for when in times:
        book.fed(packet(when, is_keyframe=when in keyframes, size=size), is_wanted=True)


def test_pictures_in_order_are_let_through() -> None:
    book = Ledger()
    fill(book, [0, 4, 2, 1, 3])
    assert [book.shown(when) for when in range(5)] == [1] * 5
    book.ended()


@pytest.mark.parametrize("shown", [[1], [0, 0], [0, 7], [0, 1, 2, 4]])
def test_a_picture_that_is_not_due_differs(shown: list[int]) -> None:
    book = Ledger()
    fill(book, [0, 4, 2, 1, 3])
    for when in shown[:-1]:
        book.shown(when)
    with pytest.raises(DiffersError):
        book.shown(shown[-1])


def test_what_is_missing_at_the_end_differs() -> None:
    book = Ledger()
    fill(book, [0, 1])
    book.shown(0)
    with pytest.raises(DiffersError, match="no picture"):
        book.ended()


def test_what_nobody_wants_may_be_missing() -> None:
    book = Ledger()
    fill(book, [0, 1, 2])
    book.ignore_before(2)
    assert book.shown(2) == 1
    book.ended()


def test_packets_are_kept_from_the_last_keyframe_that_was_shown() -> None:
    book = Ledger()
    fill(book, [0, 1, 2, 6, 4, 5, 7], keyframes=(0, 6))  # 4 and 5 lead the keyframe 6
    for when in (0, 1, 2, 4, 5):
        book.shown(when)
    assert [kept.pts for kept in book.packets] == [0, 1, 2, 6, 4, 5, 7]
    book.shown(6)
    assert [kept.pts for kept in book.packets] == [6, 4, 5, 7]


def test_too_much_to_keep_is_said_only_when_it_is_needed() -> None:
    book = Ledger()
    size = ledger.MAX_KEPT_BYTES // 4
    fill(book, range(6), size=size)
    for when in range(6):
        book.shown(when)
    with pytest.raises(InputError, match="keyframes are too far apart"):
        _ = book.packets
    fill(book, [6, 7], keyframes=(6,), size=size)
    book.shown(6)
    assert [kept.pts for kept in book.packets] == [6, 7]
