"""`crop`, `pad`, `hflip`, `vflip` and `transpose`: FFmpeg's filters, sample for sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels.errors import ChainError, FormatError
from kernels.ops.pad import rgb_of

if TYPE_CHECKING:
    from tests.kernels.conftest import ChainRunner, FFmpegChain, FrameMaker

CHAINS = [
    "hflip",
    "vflip",
    "hflip,vflip",
    "transpose",
    "transpose=clock",
    "transpose=cclock",
    "transpose=clock_flip",
    "transpose=1:portrait",
    "transpose=clock:passthrough=landscape",
    "crop=20:10",
    "crop=20:10:4:2",
    "crop=iw/2:ih/2:iw/4:0",
    "crop=w=in_h:h=out_w/2",
    "crop=23:11:3:1",
    "crop=23:11:3:1:exact=1",
    "crop=min(iw\\,30):-1+ih",
    "crop=21.7:10.5",
    "crop=61:33",
    "crop=30:20:1.7:2.5",
    "crop=30:20:1000:1e300",
    "pad=80:60:8:4",
    "pad=iw+7:ih+9:3:5",
    "pad=0:60:-1:-1",
    "pad=aspect=16/9",
    "pad=100:aspect=1.73",
    "pad=0:0:aspect=0.5",
    "pad=ih*2:ow/2+20:(ow-iw)/2:(oh-ih)/2",
]


# FFmpeg converts 4:2:2 before it transposes, where ours becomes 4:4:0; and its crop halves a byte offset, not a
# column, at odd columns of deep chroma.
NOT_COMPARABLE = {("yuv422p", chain) for chain in CHAINS if "transpose" in chain} | {
    ("yuv420p10", chain) for chain in CHAINS if "exact" in chain
}
LAYOUTS = ("yuv420p", "yuv444p", "yuv422p", "gray", "yuv420p10")
CASES = [(chain, name) for chain in CHAINS for name in LAYOUTS if (name, chain) not in NOT_COMPARABLE]


@pytest.mark.parametrize(("chain", "name"), CASES)
def test_equals_ffmpeg(
    chain: str, name: str, make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    frame = make_frame(name, 64, 40)
    ours = run_chain(chain, frame)
    theirs = ffmpeg_chain(f"setsar=1,{chain}", frame, ours.format)
    # FFmpeg 5.1 pads deep chroma with 128 / 255 of the peak, 514, where neutral is 512.
    slack = 2 if name == "yuv420p10" and "pad" in chain else 0
    for plane, (a, b) in enumerate(zip(ours.planes, theirs, strict=True)):
        assert np.abs(a.astype(int) - b).max() <= (slack if plane else 0)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (33, 65), (129, 31)])
@pytest.mark.parametrize("chain", ["hflip", "vflip", "transpose=clock", "transpose=cclock", "crop=iw:ih:0:0:exact=1"])
def test_odd_sizes(chain: str, size: tuple[int, int], make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    frame = make_frame("yuv420p", *size)
    expected = {
        "hflip": np.fliplr,
        "vflip": np.flipud,
        "transpose=clock": lambda p: np.rot90(p, -1),
        "transpose=cclock": np.rot90,
        "crop=iw:ih:0:0:exact=1": np.array,
    }[chain]
    out = run_chain(chain, frame)
    assert all(np.array_equal(a, expected(b)) for a, b in zip(out.planes, frame.planes, strict=True))


@pytest.mark.parametrize("chain", ["crop=iw/2:ih/2:exact=1", "crop=iw/2:ih/3", "crop=iw-3:ih-1:exact=1", "vflip,hflip"])
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv410p", "yuv411p", "yuv440p"])
def test_odd_sizes_equal_ffmpeg(
    chain: str, name: str, make_frame: FrameMaker, run_chain: ChainRunner, ffmpeg_chain: FFmpegChain
) -> None:
    frame = make_frame(name, 61, 37)
    ours = run_chain(chain, frame)
    assert all(map(np.array_equal, ours.planes, ffmpeg_chain(f"setsar=1,{chain}", frame, ours.format)))


def test_pad_keeps_the_last_column_of_an_odd_picture(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    """FFmpeg's filter paints over it."""
    frame = make_frame("yuv420p", 61, 37)
    out = run_chain("pad=80:60:4:4", frame)
    assert np.array_equal(out.planes[0][4:41, 4:65], frame.planes[0])
    assert all(np.array_equal(a[2:21, 2:33], b) for a, b in zip(out.planes[1:], frame.planes[1:], strict=True))


def test_four_quarter_turns_are_none(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    frame = make_frame("yuv422p10", 37, 22)
    out = run_chain(",".join(["transpose=clock"] * 4), frame)
    assert out.format.pixel_format == frame.format.pixel_format
    assert all(np.array_equal(a, b) for a, b in zip(out.planes, frame.planes, strict=True))


def test_pad_border_has_the_colour_in_the_pictures_own_matrix(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    out = run_chain("pad=iw+16:ih:8:0:color=red", make_frame("yuv444p", 16, 16))
    # BT.601 limited, as untagged standard definition: Y = 16 + 219 * 0.299, Cb = 128 - 224 * 0.299 / 1.772.
    assert [int(p[0, 0]) for p in out.planes] == [81, 90, 240]
    deep = run_chain("pad=iw+16:ih:8:0:color=white", make_frame("yuv420p10", 16, 16))
    assert [int(p[0, 0]) for p in deep.planes] == [940, 512, 512]
    rgb = run_chain("pad=iw+16:ih:8:0:color=#102030", make_frame("gbrp", 16, 16))
    assert [int(p[0, 0]) for p in rgb.planes] == [0x20, 0x30, 0x10]


def test_pad_between_arithmetic_stages_keeps_its_colour(make_frame: FrameMaker, run_chain: ChainRunner) -> None:
    out = run_chain("unsharp,pad=iw+16:ih:8:0:color=white,eq=brightness=0.001", make_frame("yuv420p", 16, 16))
    assert [int(p[0, 0]) for p in out.planes] == [235, 128, 128]


@pytest.mark.parametrize("text", ["rde", "#12345", "0x12345g", "12345678", ""])
def test_wrong_colours_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="a name, #RRGGBB"):
        rgb_of(text)


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("crop=100:10", "does not fit into 64x40"),
        ("crop=0:10", "does not fit"),
        ("crop=-4:10", "does not fit"),
        ("crop=w=foo", "unknown name 'foo'"),
        ("pad=10:10", "smaller than the 64x40 picture"),
        ("pad=-5:60", "impossible"),
        ("pad=aspect=1e300", "a canvas of 4e[+]301x40 is impossible"),
        ("pad=99999:60", "each side must be 1 to 32768"),
    ],
)
def test_impossible_rectangles_are_refused(
    chain: str, message: str, make_frame: FrameMaker, run_chain: ChainRunner
) -> None:
    with pytest.raises(ChainError, match=message):
        run_chain(chain, make_frame("yuv420p", 64, 40))
