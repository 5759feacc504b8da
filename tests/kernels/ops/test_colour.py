"""`format` and `colorspace` against zscale and against the equations in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from kernels.color import ChromaLocation, Color, Matrix, Primaries, Range, Transfer

if TYPE_CHECKING:
    from kernels.frame import Frame
    from tests.kernels.conftest import ChainRunner, FFmpegChain, FrameMaker

TAGGED: Final = Color(
    matrix=Matrix.BT709,
    transfer=Transfer.BT709,
    primaries=Primaries.BT709,
    range=Range.LIMITED,
    chroma_location=ChromaLocation.LEFT,
)
# Matrix -> (its name in our colorspace, its name in zscale)
MATRICES: Final = {
    Matrix.BT709: ("bt709", "709"),
    Matrix.SMPTE170M: ("smpte170m", "170m"),
    Matrix.BT470BG: ("bt470bg", "470bg"),
    Matrix.BT2020_NCL: ("bt2020nc", "2020_ncl"),
    Matrix.FCC: ("fcc", "fcc"),
}
RANGES: Final = {Range.LIMITED: ("tv", "limited"), Range.FULL: ("pc", "full")}
# Between passes samples are codes of 16 bits, so colours that a conversion throws far out of range are clipped
# before chroma is subsampled, where zimg clips after. Pictures inside the range agree.
REACH: Final = 0.6
LAYOUTS: Final = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10", "yuv444p12", "yuv444p16")


_LIGHTS: Final = {Transfer.BT709: "709"}
_GAMUTS: Final = {Primaries.BT709: "709"}


def zscale(source: Color, target: Color) -> str:
    """The zscale filter from `source` to `target`, every tag spelled out."""
    words = []
    for suffix, color in (("in", source), ("", target)):
        matrix = "gbr" if color.matrix is Matrix.GBR else MATRICES[color.matrix][1]
        words += [
            f"m{suffix}={matrix}",
            f"t{suffix}={_LIGHTS[color.transfer]}",
            f"p{suffix}={_GAMUTS[color.primaries]}",
        ]
        words += [f"r{suffix}={RANGES[color.range][1]}", f"c{suffix}={color.chroma_location.name.lower()}"]
    return f"zscale={':'.join(words)}:filter=bilinear"


def worst(ours: Frame, theirs: list[np.ndarray]) -> int:
    """Largest difference of any sample, in codes."""
    pairs = zip(ours.planes, theirs, strict=True)
    return max(int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max()) for a, b in pairs)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("target", [m for m in MATRICES if m is not Matrix.BT709], ids=lambda m: m.name)
def test_matrix_matches_zscale(
    name: str, target: Matrix, make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    frame = make_frame(name, 62, 38, TAGGED, REACH)
    ours = run_chain(f"colorspace=space={MATRICES[target][0]}", frame)
    theirs = ffmpeg_chain(zscale(TAGGED, ours.format.color), frame, ours.format)
    assert ours.format.color.matrix is target
    assert worst(ours, theirs) <= 1


@pytest.mark.parametrize("name", [*LAYOUTS, "gray"])
@pytest.mark.parametrize("source", RANGES, ids=lambda r: r.name)
def test_range_matches_zscale(
    name: str, source: Range, make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    target = Range.FULL if source is Range.LIMITED else Range.LIMITED
    frame = make_frame(name, 62, 38, replace(TAGGED, range=source), REACH)
    ours = run_chain(f"colorspace=range={RANGES[target][0]}", frame)
    theirs = ffmpeg_chain(zscale(frame.format.color, ours.format.color), frame, ours.format)
    assert worst(ours, theirs) <= 1
    assert ours.format.color.range is target


@pytest.mark.parametrize("matrix", MATRICES, ids=lambda m: m.name)
@pytest.mark.parametrize("source", RANGES, ids=lambda r: r.name)
@pytest.mark.parametrize(("name", "rgb"), [("yuv420p", "gbrp"), ("yuv444p10", "gbrp10"), ("yuv422p", "gbrp12")])
def test_rgb_and_back_matches_zscale(
    name: str,
    rgb: str,
    matrix: Matrix,
    source: Range,
    make_frame: FrameMaker,
    run_chain: ChainRunner,
    ffmpeg_chain: FFmpegChain,
) -> None:
    frame = make_frame(name, 62, 38, replace(TAGGED, matrix=matrix, range=source), REACH)
    ours = run_chain(f"format={rgb}", frame)
    theirs = ffmpeg_chain(zscale(frame.format.color, ours.format.color), frame, ours.format)
    assert (ours.format.color.matrix, ours.format.color.range) == (Matrix.GBR, Range.FULL)
    assert worst(ours, theirs) <= 1


@pytest.mark.parametrize("name", ["gbrp", "gbrp10"])
@pytest.mark.parametrize("out", ["yuv420p", "yuv444p10", "yuv422p12"])
def test_rgb_to_yuv_matches_zscale(
    name: str, out: str, make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    frame = make_frame(name, 62, 38, replace(TAGGED, matrix=Matrix.GBR, range=Range.FULL), REACH)
    ours = run_chain(f"format={out}:dither=0", frame)
    # 38 lines are standard definition: the untagged result is BT.601, 525 lines.
    assert ours.format.color.matrix is Matrix.SMPTE170M
    theirs = ffmpeg_chain(zscale(frame.format.color, ours.format.color), frame, ours.format)
    assert worst(ours, theirs) <= 1


def test_scale_converts_the_colours_it_is_told_to(
    make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    frame = make_frame("yuv444p10", 62, 38, TAGGED, REACH)
    ours = run_chain("scale=iw:ih:in_color_matrix=bt601:out_color_matrix=bt709:out_range=pc", frame)
    assert (ours.format.color.matrix, ours.format.color.range) == (Matrix.BT709, Range.FULL)
    source = replace(TAGGED, matrix=Matrix.SMPTE170M)
    assert worst(ours, ffmpeg_chain(zscale(source, ours.format.color), frame, ours.format)) <= 1
    same = run_chain("scale=out_color_matrix=bt709:out_range=limited", frame)
    assert all(np.array_equal(a, b) for a, b in zip(same.planes, frame.planes, strict=True))


@pytest.mark.parametrize(("name", "out"), [("yuv420p", "yuv444p"), ("yuv444p", "yuv420p"), ("yuv422p10", "yuv420p10")])
@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
def test_chroma_resampling_matches_zscale(
    name: str, out: str, siting: str, make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    frame = make_frame(name, 62, 38, replace(TAGGED, chroma_location=ChromaLocation[siting.upper()]), REACH)
    ours = run_chain(f"format={out}", frame)
    theirs = ffmpeg_chain(zscale(frame.format.color, ours.format.color), frame, ours.format)
    assert worst(ours, theirs) <= 1


@pytest.mark.parametrize(
    "chain",
    [
        "colorspace=iall=bt709:irange=tv:all=bt2020:format=yuv444p10",
        "colorspace=iall=bt2020:irange=tv:all=bt709:format=yuv444p12",
        "colorspace=iall=bt601-6-525:irange=tv:all=bt709:format=yuv444p10",
        "colorspace=iall=bt470m:irange=tv:all=bt709:format=yuv444p10",
        "colorspace=iall=bt709:irange=tv:all=bt709:trc=srgb:format=yuv444p10",
        "colorspace=iall=bt709:irange=tv:all=bt709:trc=smpte240m:format=yuv444p10",
        "colorspace=iall=bt709:irange=tv:all=bt709:trc=linear:format=yuv444p12",
        "colorspace=iall=bt709:irange=tv:all=bt709:primaries=smpte432:format=yuv444p12",
    ],
)
def test_light_and_primaries_match_ffmpegs_filter(
    chain: str, make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    luma, muted = make_frame("yuv444p10", 62, 38, TAGGED, 0.5), make_frame("yuv444p10", 62, 38, TAGGED, 0.08)
    frame = luma.replace(planes=(luma.planes[0], *muted.planes[1:]))  # inside every gamut here
    ours = run_chain(chain, frame)
    # FFmpeg's filter computes in 16-bit integers with curves of 32,768 entries: up to two 12-bit codes of noise.
    limit = 2 if ours.format.pixel_format.depth == 12 else 1
    assert worst(ours, ffmpeg_chain(chain, frame, ours.format)) <= limit


def in_gamut(frame: Frame) -> np.ndarray:
    """Pixels of a limited-range BT.709 4:4:4 frame whose R'G'B' lies within 0..1."""
    step = 1 << (frame.format.pixel_format.depth - 8)
    y = (frame.planes[0] / step - 16) / 219
    cb, cr = ((frame.planes[i] / step - 128) / 224 for i in (1, 2))
    rgb = np.stack([y + 1.5748 * cr, y - 0.187324 * cb - 0.468124 * cr, y + 1.8556 * cb])
    return np.asarray(((rgb >= 0) & (rgb <= 1)).all(axis=0))


def test_neutral_grey_stays_neutral_through_every_matrix(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    frame = make_frame("yuv444p", 8, 8, TAGGED)
    planes = tuple(np.full_like(p, v) for p, v in zip(frame.planes, (126, 128, 128), strict=True))
    grey = frame.replace(planes=planes)
    for matrix in MATRICES.values():
        out = run_chain(f"colorspace=space={matrix[0]}", grey)
        assert [int(p[3, 3]) for p in out.planes] == [126, 128, 128]
    rgb = run_chain("format=gbrp", grey)
    assert {int(p[3, 3]) for p in rgb.planes} == {128}  # (126 - 16) / 219 * 255 = 128.08


def test_full_range_red_is_red(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    frame = make_frame("gbrp", 4, 4, replace(TAGGED, matrix=Matrix.GBR, range=Range.FULL))
    red = frame.replace(planes=tuple(np.full_like(p, v) for p, v in zip(frame.planes, (0, 0, 255), strict=True)))
    out = run_chain("format=yuvj444p", red)
    # BT.601: Y = 0.299, Cb = -0.299 / 1.772, Cr = 0.5, on codes 0..255 with 128 as chroma zero.
    assert [int(p[0, 0]) for p in out.planes] == [76, 85, 255]


def test_round_trip_through_deep_rgb_is_exact(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    frame = make_frame("yuv444p", 61, 37, TAGGED)
    back = run_chain("format=gbrp16,colorspace=space=bt709:format=yuv444p", frame)
    inside = in_gamut(frame)
    for a, b in zip(back.planes, frame.planes, strict=True):
        assert np.array_equal(a[inside], b[inside])


def test_dither_keeps_the_mean_and_stays_within_a_code(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    frame = make_frame("yuv444p10", 64, 64, TAGGED)
    level = frame.replace(planes=tuple(np.full_like(p, v) for p, v in zip(frame.planes, (401, 514, 511), strict=True)))
    out = run_chain("format=yuv444p", level)
    for plane, value in zip(out.planes, (401, 514, 511), strict=True):
        assert plane.mean() == pytest.approx(value / 4, abs=0.01)
        assert np.abs(plane - value / 4).max() < 1
    plain = run_chain("format=yuv444p:dither=0", level)
    assert {int(p.min()) for p in plain.planes} == {int(p.max()) for p in plain.planes}


def test_depth_goes_up_exactly_in_limited_and_full_range(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    limited = make_frame("yuv420p", 16, 16, TAGGED)
    up = run_chain("format=yuv420p10", limited)
    assert all(np.array_equal(a, b.astype(np.uint16) * 4) for a, b in zip(up.planes, limited.planes, strict=True))
    full = make_frame("gray", 16, 16, replace(TAGGED, range=Range.FULL))
    deep = run_chain("format=gray10", full)
    assert int(deep.planes[0].max()) == 1023
    assert np.array_equal(deep.planes[0], np.floor(full.planes[0] / 255 * 1023 + 0.5))


def test_gray_gains_neutral_chroma_and_rgb_loses_it(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    gray = make_frame("gray", 16, 16, TAGGED)
    yuv = run_chain("format=yuv420p10", gray)
    assert {int(v) for p in yuv.planes[1:] for v in np.unique(p)} == {512}
    assert np.array_equal(run_chain("format=gray", run_chain("format=yuv444p", gray)).planes[0], gray.planes[0])
    rgb = run_chain("format=gbrp", gray)
    assert np.array_equal(rgb.planes[0], rgb.planes[1])
    assert np.array_equal(rgb.planes[0], rgb.planes[2])


@pytest.mark.parametrize("source", RANGES, ids=lambda r: r.name)
@pytest.mark.parametrize("name", ["yuv444p", "yuv444p10"])
def test_rgb_in_yuv_planes_is_coded_as_rgb(
    source: Range, name: str, make_frame: FrameMaker, run_chain: ChainRunner
) -> None:
    """H.273 matrix 0: Y holds G, Cb holds B and Cr holds R, all of them quantised as luma is."""
    frame = make_frame(name, 16, 16, replace(TAGGED, matrix=Matrix.GBR, range=source))
    out = run_chain(f"format={name.replace('yuv444p', 'gbrp')}", frame)
    peak = (1 << frame.format.pixel_format.depth) - 1
    low, high = (0, peak) if source is Range.FULL else (16 * (peak + 1) // 256, 235 * (peak + 1) // 256)
    for a, b in zip(out.planes, frame.planes, strict=True):
        assert np.abs(a - np.clip((b.astype(float) - low) / (high - low), 0, 1) * peak).max() <= 0.51


def test_gray_tagged_gbr_is_gray(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    """The tag that PNG decoders give: the picture has luma, and no YUV format that it becomes is tagged GBR."""
    frame = make_frame("gray", 16, 16, Color(matrix=Matrix.GBR, range=Range.FULL))
    rgb = run_chain("format=gbrp", frame)
    assert all(np.array_equal(plane, frame.planes[0]) for plane in rgb.planes)
    assert run_chain("format=yuv420p", frame).format.color.matrix is Matrix.SMPTE170M
