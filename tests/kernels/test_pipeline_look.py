"""Whole jobs: colour, aspect, HDR metadata and orientation of what comes out."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import pytest

from kernels.color import ChromaLocation
from kernels.errors import ContainerError
from kernels.io.encode import EncodeSettings
from kernels.io.info import probe
from tests.kernels.io.clips import (
    Clip,
    make,
)
from tests.kernels.io.jobs import LOSSLESS, run

BT2020_PQ = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}


BT601 = {"color_primaries": 6, "color_trc": 6, "colorspace": 6, "color_range": 1}


FULL = {"color_primaries": 1, "color_trc": 1, "colorspace": 1, "color_range": 2}


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("color", [BT2020_PQ, BT601, FULL], ids=["pq", "601", "full"])
def test_colour_tags_and_aspect_are_kept(color: dict[str, int], container: str) -> None:
    data = make(Clip(color=color, sample_aspect_ratio=Fraction(16, 11)))
    out, _ = run(data, container)
    with av.open(io.BytesIO(out)) as opened:
        stream = opened.streams.video[0]
        frame = next(opened.decode(stream))
        assert {name: int(getattr(frame, name)) for name in color} == color
        assert {name: int(getattr(stream.codec_context, name)) for name in color} == color
        assert stream.sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("container", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize("codec", ["vp9", "av1", "ffv1"])
@pytest.mark.parametrize("aspect", [Fraction(64, 45), Fraction(1), Fraction(4999, 5003)], ids=str)
def test_aspect_is_kept_where_the_codec_has_no_place_for_it(codec: str, container: str, aspect: Fraction) -> None:
    if (container, codec) == ("webm", "ffv1"):
        with pytest.raises(ContainerError, match="not ffv1"):
            run(make(Clip()), container, encode=EncodeSettings(codec=codec))
        return
    preset = {"vp9": "8", "av1": "13"}.get(codec)
    data = make(Clip(sample_aspect_ratio=aspect, size=(96, 80), frames=2))
    out, _ = run(data, container, encode=EncodeSettings(codec=codec, preset=preset))
    with av.open(io.BytesIO(out)) as opened:
        stream = opened.streams.video[0]
        assert stream.sample_aspect_ratio == pytest.approx(aspect, rel=1e-2 if aspect.numerator > 99 else 0)
        assert (stream.width, stream.height) == (96, 80)
        assert "stereo_mode" not in stream.metadata
        assert len(list(opened.decode(stream))) == 2


def test_transparency_beside_the_frames_is_named() -> None:
    data = make(Clip(container="webm", codec="libvpx-vp9", options={"deadline": "realtime"}, pixel_format="yuva420p"))
    out, result = run(data, "mkv", encode=LOSSLESS)
    assert any("transparency" in warning for warning in result.warnings)
    with av.open(io.BytesIO(out)) as opened:
        assert "alpha_mode" not in {key.lower() for key in opened.streams.video[0].metadata}


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_chroma_location_is_kept(codec: str) -> None:
    options = {"preset": "ultrafast", "chroma_sample_location": "topleft"}
    out, _ = run(make(Clip(options=options)), encode=EncodeSettings(codec=codec, preset="ultrafast"))
    assert probe(io.BytesIO(out)).video.format.color.chroma_location is ChromaLocation.TOPLEFT


def test_untagged_video_gets_tags() -> None:
    out, _ = run(make(Clip()))
    with av.open(io.BytesIO(out)) as opened:
        frame = next(opened.decode(video=0))
    assert (int(frame.colorspace), int(frame.color_range)) == (6, 1)


MASTERING = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


HDR_CLIP = Clip(
    codec="libx265",
    pixel_format="yuv420p10le",
    color=BT2020_PQ,
    frames=6,
    options={"preset": "ultrafast", "x265-params": f"{MASTERING}:max-cll=1000,400:hdr10=1:log-level=none"},
)


@pytest.mark.parametrize(
    "encode",
    [
        EncodeSettings(codec="hevc", preset="ultrafast"),
        EncodeSettings(codec="h264", preset="ultrafast"),
        EncodeSettings(codec="av1", preset="12"),
    ],
    ids=lambda encode: encode.codec,
)
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_hdr10_metadata_is_kept(encode: EncodeSettings, container: str) -> None:
    out, result = run(make(HDR_CLIP), container, encode=encode)
    assert result.warnings == ()
    before, after = _side_data(make(HDR_CLIP)), _side_data(out)
    assert before["CONTENT_LIGHT_LEVEL"] == after["CONTENT_LIGHT_LEVEL"]
    assert _rationals(after["MASTERING_DISPLAY_METADATA"]) == pytest.approx(
        _rationals(before["MASTERING_DISPLAY_METADATA"]), abs=1e-4
    )


def test_hdr10_metadata_that_cannot_be_kept_is_named() -> None:
    _, result = run(make(HDR_CLIP), "mkv", encode=LOSSLESS)
    assert any("ffv1 cannot carry HDR10" in warning for warning in result.warnings)


def _side_data(data: bytes) -> dict[str, bytes]:
    with av.open(io.BytesIO(data)) as opened:
        frame = next(opened.decode(opened.streams.video[0]))
        items: list[Any] = list(frame.side_data)
        return {item.type.name: bytes(item) for item in items}


def _rationals(data: bytes) -> list[float]:
    numbers = memoryview(data).cast("i")[:20].tolist()
    return [numbers[i] / numbers[i + 1] for i in range(0, 20, 2)]


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_input_is_turned_upright(rotation: int) -> None:
    data = make(Clip(rotation=rotation))
    out, _ = run(data)
    with av.open(io.BytesIO(out)) as opened:
        frame = next(opened.decode(video=0))
    assert (frame.width, frame.height) == ((64, 48) if rotation == 180 else (48, 64))
    assert frame.rotation == 0


@pytest.mark.parametrize("rotation", [90, 180, -90])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_without_autorotation_pixels_and_tag_stay(rotation: int, container: str) -> None:
    data = make(Clip(rotation=rotation))
    out, _ = run(data, container, autorotate=False)
    with av.open(io.BytesIO(out)) as opened:
        frame = next(opened.decode(video=0))
    assert (frame.width, frame.height) == (64, 48)
    assert abs(frame.rotation) == abs(rotation)
    assert rotation == 180 or frame.rotation == rotation


def test_interlaced_input_is_named() -> None:
    options = {"preset": "ultrafast", "flags": "+ildct+ilme", "x264-params": "tff=1"}
    _, result = run(make(Clip(options=options, size=(64, 64))))
    assert any("interlaced (top field first)" in warning for warning in result.warnings)


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_hevc_and_colour_are_tagged_as_players_want_them(container: str) -> None:
    out, _ = run(make(Clip()), container, encode=EncodeSettings(codec="hevc", preset="ultrafast"))
    assert b"hvc1" in out
    assert b"hev1" not in out
    assert b"colrnclx" in out or b"colrnclc" in out
