"""Jobs done in segments, against the same job done in one run."""

from __future__ import annotations

import io
from contextlib import nullcontext
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
import pytest

from kernels.catalogue import CATALOGUE
from kernels.errors import InputError
from kernels.io.encode import EncodeSettings
from kernels.io.index import read_index
from kernels.io.join import Piece
from kernels.io.parameter_sets import extradata_digest
from kernels.pipeline import process
from kernels.segments import Settings, Window, encode_segment, join_segments, read_segment
from tests.kernels.io.clips import X264_OPEN_GOP, Clip, Sound, make, of_kind, read
from tests.kernels.io.jobs import LOSSLESS, samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.io.frame_index import FrameIndex

NTSC: Final = Fraction(1001, 30000)
CUTS: Final = (13, 29)
"""Inside open groups of eight frames."""
CFR: Final = Clip(frames=44, options=X264_OPEN_GOP, sounds=(Sound(),), rate=1 / NTSC, time_base=NTSC)
VFR: Final = replace(
    CFR, container="mkv", time_base=Fraction(1, 1000), pts=[n * 33 + n * n % 17 for n in range(44)], rate=Fraction(30)
)
TEN_BIT: Final = replace(
    CFR,
    pixel_format="yuv420p10le",
    color={"color_range": 1, "colorspace": 9, "color_trc": 16, "color_primaries": 9},
)
RICH: Final = replace(
    CFR,
    container="mkv",
    sounds=(Sound(language="eng"), Sound(codec="libopus", start_s=Fraction(1, 4))),
    subtitles=((100, 900, "hello"),),
    subtitle_codec="subrip",
    chapters=((0, 700, "one"), (700, 1400, "two")),
    attachments=(("a.ttf", "font/ttf", b"xx"),),
    metadata={"title": "a title"},
    sample_aspect_ratio=Fraction(4, 3),
    rotation=90,
)
SOURCES: Final = {"CFR": CFR, "VFR": VFR, "10 bit": TEN_BIT, "everything": RICH}
X264_LOSSLESS: Final = EncodeSettings(codec="h264", preset="veryfast", crf=0)


def in_segments(
    data: bytes, cuts: Sequence[int], settings: Settings, *, index: FrameIndex | None = None
) -> tuple[list[Piece], FrameIndex]:
    """Every segment encoded for itself, as other machines would."""
    index = index or read_index(io.BytesIO(data))
    first, last = index.range_of(_span(settings))
    pieces = []
    for begin, end in pairwise((first, *cuts, last)):
        sink = io.BytesIO()
        encode_segment(io.BytesIO(data), sink, Window(first=begin, last=end), index, settings)
        facts = read_segment(io.BytesIO(sink.getvalue()), "segment")
        assert facts.frames == end - begin
        pieces.append(_piece(begin, end, sink.getvalue(), facts.reorder_frames))
    return pieces, index


def joined(data: bytes, cuts: Sequence[int], settings: Settings) -> bytes:
    pieces, index = in_segments(data, cuts, settings)
    sink = io.BytesIO()
    result = join_segments(io.BytesIO(data), sink, pieces, index, settings)
    assert result.frames_out == pieces[-1].last - pieces[0].first
    return sink.getvalue()


def whole(data: bytes, settings: Settings) -> bytes:
    sink = io.BytesIO()
    process(
        io.BytesIO(data),
        sink,
        container=settings.container,
        encode=settings.encode,
        chain=settings.chain,
        start=settings.start_s,
        duration=settings.duration_s,
        autorotate=settings.autorotate,
    )
    return sink.getvalue()


def _span(settings: Settings) -> Any:
    from kernels.io.span import Span

    return Span.of(settings.start_s, settings.duration_s)


def _piece(first: int, last: int, data: bytes, reorder_frames: int) -> Piece:
    return Piece(
        first=first,
        last=last,
        open=lambda: nullcontext(io.BytesIO(data)),
        reorder_frames=reorder_frames,
        name=f"segment {first}",
    )


def facts(data: bytes) -> Any:
    """All that a file says about itself and its streams, and the packets of all but the video."""
    with av.open(io.BytesIO(data)) as opened:
        video = opened.streams.video[0].codec_context
        color = (video.colorspace, video.color_range, video.color_trc, video.color_primaries)
        tags = [(s.type, dict(s.metadata), str(s.time_base), s.start_time, int(s.disposition)) for s in opened.streams]
        shape = (video.width, video.height, video.sample_aspect_ratio, video.pix_fmt)
        said = (dict(opened.metadata), opened.chapters(), opened.duration, tags, color, shape)
    beside = [(stream.kind, stream.pts, stream.data) for stream in read(data) if stream.kind != "video"]
    return said, beside


def shown(data: bytes) -> list[Fraction]:
    return sorted(pts for pts in of_kind(data, "video")[0].pts if pts is not None)


def decoded_times(data: bytes) -> list[int]:
    with av.open(io.BytesIO(data)) as opened:
        return [packet.dts for packet in opened.demux(video=0) if packet.dts is not None and packet.size]


@pytest.mark.parametrize("clip", SOURCES.values(), ids=list(SOURCES))
def test_lossless_segments_are_what_one_run_gives(clip: Clip) -> None:
    data, settings = make(clip), Settings(container="mkv", encode=LOSSLESS)
    one, many = whole(data, settings), joined(data, CUTS, settings)
    assert samples(many) == samples(one)
    assert shown(many) == shown(one)
    assert facts(many) == facts(one)


@pytest.mark.parametrize("clip", [CFR, VFR], ids=["30000/1001", "VFR"])
def test_mp4_keeps_every_tick(clip: Clip) -> None:
    data, settings = make(clip), Settings(container="mp4", encode=X264_LOSSLESS)
    one, many = whole(data, settings), joined(data, CUTS, settings)
    assert samples(many) == samples(one)
    assert shown(many) == shown(one)
    assert facts(many) == facts(one)
    times = decoded_times(many)
    assert all(before < after for before, after in pairwise(times))


@pytest.mark.parametrize(
    ("codec", "preset", "container"),
    [
        ("h264", "veryfast", "mp4"),
        ("hevc", "ultrafast", "mp4"),
        ("av1", "12", "webm"),
        ("vp9", "8", "mkv"),
    ],
)
def test_every_codec_is_joined(codec: str, preset: str, container: str) -> None:
    clip = CFR if container != "webm" else replace(CFR, sounds=())
    settings = Settings(container=container, encode=EncodeSettings(codec=codec, preset=preset), chain="scale=96:64")
    data = make(clip)
    one, many = whole(data, settings), joined(data, CUTS, settings)
    assert len(samples(many)) == len(samples(one)) == 44
    assert shown(many) == shown(one)
    times = decoded_times(many)
    assert all(before < after for before, after in pairwise(times))


def test_a_span_of_the_input_is_cut_as_one_run_cuts_it() -> None:
    data = make(RICH)
    settings = Settings(container="mkv", encode=LOSSLESS, start_s=Fraction(3, 10), duration_s=Fraction(4, 5))
    assert joined(data, (13, 21), settings) == whole(data, settings)


def test_dither_goes_by_the_frames_own_number() -> None:
    data, settings = make(TEN_BIT), Settings(container="mkv", encode=LOSSLESS, chain="eq=gamma=1.2,format=yuv420p")
    assert samples(joined(data, CUTS, settings)) == samples(whole(data, settings))


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_operation_sees_in_a_segment_what_it_sees_in_one_run(name: str) -> None:
    clip = replace(CFR, frames=24, sounds=())
    settings = Settings(container="mkv", encode=LOSSLESS, chain=f"{CATALOGUE[name].samples[0]},format=yuv420p")
    data = make(clip)
    assert joined(data, (9, 17), settings) == whole(data, settings)


def test_a_lossy_codec_loses_no_more_in_segments() -> None:
    clip = replace(CFR, frames=450, size=(160, 120), sounds=())
    settings = Settings(container="mp4", encode=EncodeSettings(codec="h264"))
    data = make(clip)
    source, one, many = (luma(video) for video in (data, whole(data, settings), joined(data, (149, 301), settings)))
    assert len(many) == len(one) == 450
    assert psnr_db(source, many) > psnr_db(source, one) - 0.1


def luma(data: bytes) -> NDArray[np.float64]:
    """(frames, height, width)."""
    with av.open(io.BytesIO(data)) as opened:
        return np.stack([frame.to_ndarray()[: frame.height].astype(np.float64) for frame in opened.decode(video=0)])


def psnr_db(source: NDArray[np.float64], made: NDArray[np.float64]) -> float:
    return float(10 * np.log10(255**2 / np.mean((source - made) ** 2)))


def test_context_is_decoded_and_not_written() -> None:
    data, settings = make(CFR), Settings(container="mkv", encode=LOSSLESS)
    index = read_index(io.BytesIO(data))
    plain, wide = io.BytesIO(), io.BytesIO()
    encode_segment(io.BytesIO(data), plain, Window(first=13, last=29), index, settings)
    encode_segment(io.BytesIO(data), wide, Window(first=13, last=29, before=7, after=9), index, settings)
    assert wide.getvalue() == plain.getvalue()


def test_a_source_without_keyframes_in_its_index_is_decoded_from_its_beginning() -> None:
    data, settings = make(CFR), Settings(container="mkv", encode=LOSSLESS)
    index = replace(read_index(io.BytesIO(data)), keyframes=(), keyframe_dts=())
    pieces, _ = in_segments(data, CUTS, settings, index=index)
    sink = io.BytesIO()
    join_segments(io.BytesIO(data), sink, pieces, index, settings)
    assert sink.getvalue() == whole(data, settings)


def test_a_wrong_place_in_the_index_is_found_out_and_does_no_harm() -> None:
    data, settings = make(CFR), Settings(container="mkv", encode=LOSSLESS)
    index = read_index(io.BytesIO(data))
    late = replace(index, keyframe_dts=tuple(dts + 20 * index.duration_of(0) for dts in index.keyframe_dts))
    pieces, _ = in_segments(data, CUTS, settings, index=late)
    sink = io.BytesIO()
    join_segments(io.BytesIO(data), sink, pieces, late, settings)
    assert sink.getvalue() == whole(data, settings)


def test_another_file_under_the_index_is_refused() -> None:
    index = read_index(io.BytesIO(make(VFR)))
    with pytest.raises(InputError, match=r"plan the job again|has another time"):
        encode_segment(
            io.BytesIO(make(CFR)),
            io.BytesIO(),
            Window(first=13, last=29),
            index,
            Settings(container="mkv", encode=LOSSLESS),
        )


@pytest.mark.parametrize("fault", ["short", "gap", "order", "encoder", "reorder", "garbage"])
def test_pieces_that_do_not_fit_are_refused(fault: str) -> None:
    data, settings = make(CFR), Settings(container="mp4", encode=X264_LOSSLESS)
    pieces, index = in_segments(data, CUTS, settings)
    if fault == "short":
        other, _ = in_segments(data, (14, 29), settings)
        pieces[1] = replace(other[1], first=13)
    elif fault == "gap":
        pieces[1] = replace(pieces[1], first=14)
    elif fault == "order":
        pieces[0], pieces[1] = pieces[1], pieces[0]
    elif fault == "encoder":
        smaller = replace(settings, chain="scale=32:32")
        pieces[1] = in_segments(data, CUTS, smaller)[0][1]
    elif fault == "reorder":
        pieces = [replace(piece, reorder_frames=0) for piece in in_segments(data, CUTS, _with_b_frames(settings))[0]]
        settings = _with_b_frames(settings)
    else:
        pieces[2] = _piece(29, 44, b"no segment at all", 0)
    with pytest.raises(InputError):
        join_segments(io.BytesIO(data), io.BytesIO(), pieces, index, settings)


def _with_b_frames(settings: Settings) -> Settings:
    return replace(settings, encode=EncodeSettings(codec="h264", preset="veryfast", options={"bf": "3"}))


def wounded(data: bytes, *numbers: int) -> bytes:
    """`data` with nothing that can be decoded in the packets of those frames, counted as they are shown."""
    with av.open(io.BytesIO(data)) as opened:
        packets = [p for p in opened.demux(opened.streams.video[0]) if p.size and p.pts is not None and p.pos]
    harmed = bytearray(data)
    for packet in [sorted(packets, key=lambda p: p.pts or 0)[number] for number in numbers]:
        place = harmed.index(bytes(packet), packet.pos)
        harmed[place : place + packet.size] = bytes(packet.size)
    return bytes(harmed)


INTRA: Final = replace(CFR, frames=20, options={"g": "1"}, container="mp4")


@pytest.mark.parametrize("missing", [(9,), (8, 9), (10,), (19,)], ids=str)
def test_what_cannot_be_decoded_is_concealed_in_its_segment(missing: tuple[int, ...]) -> None:
    data = make(INTRA)
    index = read_index(io.BytesIO(data))
    settings = Settings(container="mkv", encode=LOSSLESS)
    harmed = joined_with(wounded(data, *missing), [10], settings, index)
    shown, true = samples(harmed), samples(data)
    assert len(shown) == len(true)
    for number, frame in enumerate(shown):
        begin = 0 if number < 10 else 10
        stand_in = next((n for n in range(number, begin - 1, -1) if n not in missing), None)
        after = next(n for n in range(number, 21) if n not in missing)
        expected = true[after if stand_in is None else stand_in]
        assert frame == expected, number


def joined_with(data: bytes, cuts: Sequence[int], settings: Settings, index: FrameIndex) -> bytes:
    pieces, _ = in_segments(data, cuts, settings, index=index)
    sink = io.BytesIO()
    join_segments(io.BytesIO(data), sink, pieces, index, settings)
    return sink.getvalue()


@pytest.mark.parametrize("missing", [(9,), (10,), tuple(range(3, 10))], ids=str)
def test_missing_frames_are_refused_where_they_must_not_be_or_are_too_many(missing: tuple[int, ...]) -> None:
    data = make(INTRA)
    index = read_index(io.BytesIO(data))
    settings = Settings(container="mkv", encode=LOSSLESS, strict=len(missing) == 1)
    with pytest.raises(InputError):
        joined_with(wounded(data, *missing), [10], settings, index)


def test_a_segment_that_was_cut_off_is_not_what_it_was() -> None:
    data, settings = make(CFR), Settings(container="mkv", encode=LOSSLESS)
    sink = io.BytesIO()
    encode_segment(io.BytesIO(data), sink, Window(first=0, last=13), read_index(io.BytesIO(data)), settings)
    good = read_segment(io.BytesIO(sink.getvalue()), "segment")
    cut = read_segment(io.BytesIO(sink.getvalue()[:-4000]), "segment")
    assert (cut.frames, cut.sha256) != (good.frames, good.sha256)
    assert good.size_bytes == len(sink.getvalue())


def test_messages_of_an_encoder_are_no_parameters() -> None:
    sps, pps, message = b"\x67\x64\x00", b"\x68\xee", b"\x06\x05\x10x264 with 8 threads"
    start = b"\0\0\0\1"
    plain = extradata_digest("h264", start + sps + start + pps)
    assert plain == extradata_digest("h264", start + sps + b"\0\0\1" + pps + start + message)
    assert plain != extradata_digest("h264", start + sps + start + pps + b"\1")
