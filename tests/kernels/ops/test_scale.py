"""`scale` against zscale (zimg), OpenCV's area resize, FFmpeg's size rules and published PSNR values.

Set FRAMEHAUL_SET5 to a folder with the five Set5 images as PNG to run the PSNR test.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from kernels.chain import format_chain, parse_chain
from kernels.color import ChromaLocation, Color
from kernels.errors import ChainError, FormatError
from kernels.frame import Frame, VideoFormat
from kernels.ops.scale import SCALE, Scale
from kernels.pixel_format import pixel_format

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.kernels.conftest import ChainRunner, FFmpegChain, FrameMaker

CATALOGUE = {"scale": SCALE}
# zscale clips between its two passes where values overshoot; content this far from the extremes does not.
REACH = 0.45
# Our flags, and the same filter as zscale's options.
FILTERS = {
    "neighbor": "f=point",
    "bilinear": "f=bilinear",
    "bicubic": "f=bicubic:param_a=0:param_b=0.6",
    "catmull_rom": "f=bicubic:param_a=0:param_b=0.5",
    "mitchell": "f=bicubic:param_a=0.33333333333333:param_b=0.33333333333333",
    "bicubic:param0=0.2:param1=0.3": "f=bicubic:param_a=0.2:param_b=0.3",
    "spline16": "f=spline16",
    "spline": "f=spline36",
    "lanczos": "f=lanczos:param_a=3",
    "lanczos:param0=4": "f=lanczos:param_a=4",
}
SIZES = {"up": (128, 104), "down": (36, 28), "mixed": (96, 20)}
LOCATIONS = {"left": ChromaLocation.LEFT, "center": ChromaLocation.CENTER, "topleft": ChromaLocation.TOPLEFT}


def size_of(chain: str, width: int = 640, height: int = 360, name: str = "yuv420p") -> tuple[int, int]:
    found = output_of(chain, VideoFormat(width=width, height=height, pixel_format=pixel_format(name)))
    return found.width, found.height


def output_of(chain: str, source: VideoFormat) -> VideoFormat:
    (step,) = parse_chain(chain, CATALOGUE)
    return step.operation.output(step.params, source)


def assert_close(found: Frame, wanted: list[np.ndarray]) -> None:
    for ours, theirs in zip(found.planes, wanted, strict=True):
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10"])
@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("flags", FILTERS)
def test_every_filter_is_within_one_code_of_zscale(
    flags: str,
    size: tuple[int, int],
    name: str,
    make_frame: FrameMaker,
    run_chain: ChainRunner,
    ffmpeg_chain: FFmpegChain,
) -> None:
    frame = make_frame(name, 64, 52, reach=REACH)
    found = run_chain(f"scale={size[0]}:{size[1]}:{flags}", frame)
    assert_close(found, ffmpeg_chain(f"zscale={size[0]}:{size[1]}:{FILTERS[flags]}", frame, found.format))


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize(
    "name", ["yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "gbrp", "gray", "yuv422p10", "yuv444p12"]
)
def test_every_layout_is_within_one_code_of_zscale(
    name: str, size: tuple[int, int], make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    frame = make_frame(name, 64, 52, reach=REACH)
    found = run_chain(f"scale={size[0]}:{size[1]}:lanczos", frame)
    assert_close(found, ffmpeg_chain(f"zscale={size[0]}:{size[1]}:{FILTERS['lanczos']}", frame, found.format))


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
@pytest.mark.parametrize("place", LOCATIONS)
def test_chroma_location_is_within_one_code_of_zscale(
    place: str, size: tuple[int, int], make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    frame = make_frame("yuv420p", 64, 52, Color(chroma_location=LOCATIONS[place]), reach=REACH)
    found = run_chain(f"scale={size[0]}:{size[1]}:spline36", frame)
    oracle = f"zscale={size[0]}:{size[1]}:f=spline36:chromalin={place}:chromal={place}"
    assert_close(found, ffmpeg_chain(oracle, frame, found.format))


@pytest.mark.parametrize("places", [("left", "left"), ("center", "left"), ("topleft", "center")], ids=str)
@pytest.mark.parametrize(
    "names", [("yuv420p", "yuv444p"), ("yuv444p", "yuv420p"), ("yuv422p", "yuv420p"), ("yuv420p", "yuv422p")], ids=str
)
def test_chroma_resampling_is_within_one_code_of_zscale(
    names: tuple[str, str], places: tuple[str, str], make_frame: FrameMaker, ffmpeg_chain: FFmpegChain
) -> None:
    frame = make_frame(names[0], 64, 52, Color(chroma_location=LOCATIONS[places[0]]), reach=REACH)
    color = Color(chroma_location=LOCATIONS[places[1]])
    target = VideoFormat(width=64, height=52, pixel_format=pixel_format(names[1]), color=color)
    found = Frame(planes=tuple(resampled(frame, target, plane) for plane in range(3)), format=target)
    oracle = f"zscale={FILTERS['bicubic']}:chromalin={places[0]}:chromal={places[1]}"
    assert_close(found, ffmpeg_chain(oracle, frame, target))


def resampled(frame: Frame, target: VideoFormat, plane: int) -> np.ndarray:
    from kernels.operation import PlaneFormat

    sizes = frame.format.plane_size(plane), target.plane_size(plane)
    formats = [PlaneFormat(component=plane, width=w, height=h, depth=8, shift=0) for h, w in sizes]
    kernel = SCALE.cpu(Scale(), frame.format, target, *formats)
    if kernel is None:
        return frame.planes[plane]
    out = np.empty(sizes[1], np.uint8)
    kernel(frame.planes[plane], out, 0, sizes[1][0])
    return out


def test_two_steps_round_only_once(make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain) -> None:
    frame = make_frame("yuv420p", 64, 52, reach=REACH)
    found = run_chain("scale=96:78:lanczos,scale=80:40:bicubic", frame)
    oracle = f"zscale=96:78:{FILTERS['lanczos']},format=yuv420p16le,zscale=80:40:{FILTERS['bicubic']}"
    assert_close(found, ffmpeg_chain(oracle, frame, found.format))


@pytest.mark.parametrize("factor", [2, 3, 4, 7])
@pytest.mark.parametrize("name", ["gray", "gray12"])
def test_area_is_the_mean_as_opencv_has_it(
    name: str, factor: int, make_frame: FrameMaker, run_chain: ChainRunner
) -> None:
    frame = make_frame(name, 84, 168)
    found = run_chain(f"scale=iw/{factor}:ih/{factor}:area", frame).planes[0]
    wanted = cv2.resize(frame.planes[0], (84 // factor, 168 // factor), interpolation=cv2.INTER_AREA)
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    "chain",
    [
        "scale=320:240", "scale=320:-1", "scale=-1:200", "scale=-2:201", "scale=333:-4", "scale=-8:99", "scale=-1:-1",
        "scale=0:100", "scale=iw/3:ih/3", "scale=w=oh*2:h=100", "scale=200:ow/a", "scale=hd480", "scale=s=qcif",
        "scale=300:300:force_original_aspect_ratio=decrease", "scale=300:300:force_original_aspect_ratio=increase",
        "scale=301:203:force_original_aspect_ratio=decrease:force_divisible_by=4",
        "scale=301:203:force_original_aspect_ratio=increase:force_divisible_by=6",
        "scale='min(iw,200)':'min(ih,500)'", "scale=trunc(iw/3/hsub)*hsub:-2", "scale=in_w*sar:out_w/dar",
        "scale=100x50",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [(640, 360), (333, 517)], ids=str)
def test_sizes_are_those_of_ffmpeg(chain: str, size: tuple[int, int]) -> None:
    graph = av.filter.Graph()
    form = av.VideoFormat("yuv420p")
    source = graph.add_buffer(width=size[0], height=size[1], format=form, time_base=Fraction(1, 25))
    arguments = chain.partition("=")[2].replace("'", "").replace(",", "\\,")
    step, sink = graph.add("scale", arguments), graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    frame = av.VideoFrame(*size, "yuv420p")
    graph.push(frame)
    wanted = graph.pull()
    assert isinstance(wanted, av.VideoFrame)
    assert size_of(chain, *size) == (wanted.width, wanted.height)


def test_the_display_aspect_is_kept() -> None:
    source = VideoFormat(
        width=720, height=576, pixel_format=pixel_format("yuv420p"), sample_aspect_ratio=Fraction(16, 15)
    )
    found = output_of("scale=1024:576", source)
    assert found.sample_aspect_ratio == Fraction(3, 4)
    assert Fraction(found.width, found.height) * found.sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize(
    ("chain", "word"),
    [
        ("scale=40000:100", "40000x100"),
        ("scale=iw*1000:100", "640000x100"),
        ("scale=w=oh:h=ow", "refer to each other"),
        ("scale=iq:100", "iq"),
    ],
)
def test_an_impossible_size_is_one_line(chain: str, word: str) -> None:
    with pytest.raises(FormatError) as caught:
        size_of(chain)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("chain", "word"),
    [
        ("scale=100:100:lanczo", "did you mean 'lanczos'"),
        ("scale=100:100:lanczos+bicubic", "both filters"),
        ("scale=100:100:interl=1", "interl"),
        ("scale=100:100:s=hd720", "give one of them"),
        ("scale=s=hd721", "hd720"),
        ("scale=100:100:lanczos:param0=0.5", "lobes"),
        ("scale=100:100:force_original_aspect_ratio=shrink", "decrease"),
    ],
)
def test_a_wrong_option_says_what_is_allowed(chain: str, word: str) -> None:
    with pytest.raises(ChainError, match=word):
        parse_chain(chain, CATALOGUE)


def test_options_read_as_ffmpeg_reads_them() -> None:
    (step,) = parse_chain("scale=1280:-2:lanczos+accurate_rnd+full_chroma_int", CATALOGUE)
    assert format_chain((step,)) == "scale=w=1280:h=-2:flags=lanczos+accurate_rnd+full_chroma_int"
    assert isinstance(step.params, Scale)
    assert step.params.filter().name == "lanczos"
    assert Scale().filter().name == "bicubic"
    assert Scale(flags="accurate_rnd").filter().name == "bicubic"


# Means over the five images as measured with independent NumPy code whose bicubic gives the published 33.65.
@pytest.mark.parametrize(("flags", "wanted_db"), [("lanczos", 34.28), ("spline36", 34.13), ("catmull_rom", 33.65)])
def test_set5_doubling_has_the_known_psnr(flags: str, wanted_db: float, run_chain: ChainRunner) -> None:
    folder = os.environ.get("FRAMEHAUL_SET5")
    if not folder:
        pytest.skip("no Set5 images: FRAMEHAUL_SET5 is not set")
    found = [doubling_psnr_db(path, flags, run_chain) for path in sorted(Path(folder).glob("*.png"))]
    assert len(found) == 5
    assert np.mean(found) == pytest.approx(wanted_db, abs=0.03)


def doubling_psnr_db(path: Path, flags: str, run_chain: ChainRunner) -> float:
    """PSNR of the BT.601 limited luma halved by MATLAB's antialiased bicubic and doubled by us."""
    picture = cv2.imread(str(path)).astype(np.float64)  # B, G, R
    high = np.floor(luma(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]) + 0.5)
    low = np.clip(np.floor(halved(high) + 0.5), 0, 255).astype(np.uint8)
    form = VideoFormat(width=low.shape[1], height=low.shape[0], pixel_format=pixel_format("gray"))
    frame = Frame(planes=(low,), format=form)
    doubled = run_chain(f"scale=iw*2:ih*2:{flags}", frame).planes[0].astype(np.float64)
    error = (doubled - high)[2:-2, 2:-2]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def luma(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    weighted: NDArray[np.float64] = 16 + picture @ np.array([24.966, 128.553, 65.481]) / 255
    return weighted


def halved(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half the size by the cubic with a = -0.5 stretched to twice its width, mirrored at the edges."""
    x = np.abs(np.arange(-3.5, 4) / 2)
    weights = np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padded = np.pad(picture, [(3, 3) if a == axis else (0, 0) for a in range(2)], mode="symmetric")
        count = picture.shape[axis] // 2
        parts = [np.take(padded, np.arange(count) * 2 + k, axis=axis) * w for k, w in enumerate(weights)]
        picture = np.sum(parts, axis=0)
    return picture
