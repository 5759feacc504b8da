"""The grammar of chains: what is read, and where the caret goes when it cannot be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.catalogue import CATALOGUE
from kernels.chain import Step, format_chain, parse_chain, read_params
from kernels.errors import ChainError, FormatError
from kernels.options import Params, option


def canonical(text: str) -> str:
    return format_chain(parse_chain(text, CATALOGUE))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("  ", ""),
        ("null", ""),
        ("hflip", "hflip"),
        (" hflip , vflip ", "hflip,vflip"),
        ("hflip@left", "hflip"),
        ("crop=iw/2:ih/2", "crop=out_w=iw/2:out_h=ih/2"),
        ("crop=w=10:h=20", "crop=out_w=10:out_h=20"),
        ("crop=10:20:x=3", "crop=out_w=10:out_h=20:x=3"),
        (r"crop=min(iw\,20):10", "crop=out_w='min(iw,20)':out_h=10"),
        ("crop='min(iw,20)':10", "crop=out_w='min(iw,20)':out_h=10"),
        (r"crop='min(iw\,20)':10", "crop=out_w='min(iw,20)':out_h=10"),
        ("crop=out_w=gt(iw\\,4)*10", "crop=out_w='gt(iw,4)*10'"),
        ("transpose=clock", "transpose=dir=clock"),
        ("transpose=1", "transpose=dir=clock"),
        ("eq=contrast=1.0", "eq"),
        ("eq=1.5:.1", "eq=contrast=1.5:brightness=0.1"),
        ("scale=hd720", "scale=w=hd720"),
        ("copy,hflip,null", "hflip"),
        ("'crop'=10:20,h'fl'ip", "crop=out_w=10:out_h=20,hflip"),
        ("eq=eval=frame", "eq=eval=frame"),
        ("scale=sws_flags=area:eval=init", "scale=flags=area"),
        ("eq=contrast=1.5:", "eq=contrast=1.5"),
        ("eq=contrast=0.5k", "eq=contrast=500"),
        ("eq='3/2':1e-1", "eq=contrast=1.5:brightness=0.1"),
        ("unsharp=7.0:lx=3^2", "unsharp=luma_msize_x=9"),
        ("crop=exact=on:keep_aspect=Enabled", "crop=keep_aspect=1:exact=1"),
    ],
)
def test_reads(text: str, expected: str) -> None:
    assert canonical(text) == expected
    assert canonical(expected) == expected


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("hflp", 0, "unknown operation 'hflp'; did you mean 'hflip'?"),
        ("hflip,vflop", 6, "did you mean 'vflip'"),
        ("hflip,", 6, "an operation is missing"),
        (",hflip", 0, "an operation is missing"),
        ("hflip,,vflip", 6, "an operation is missing"),
        ("eq=contrast=nan", 12, "must be a number from -1000 to 1000"),
        ("eq=contrast=inf", 12, "must be a number from -1000 to 1000"),
        ("scale=param0=nan", 13, "must be a number"),
        ("unsharp=lx=5.5", 11, "must be an odd integer from 3 to 23"),
        ("crop=exact=2", 11, "must be 0 or 1"),
        ("pad=foo=1", 4, "pad has no option 'foo'"),
        ("hflip=foo=1", 6, "hflip has no option 'foo'; it takes none"),
        ("eq=1:contrst=2", 5, "did you mean 'contrast'"),
        ("eq=contrast=x", 12, "must be a number from -1000 to 1000"),
        ("hflip,eq=gamma=11", 15, "must be a number from 0.1 to 10"),
        ("unsharp=lx=4", 11, "must be an odd integer from 3 to 23"),
        ("crop=w=3:5", 9, "a value without a name"),
        ("crop=10:10:'0", 11, "never closed"),
        ("[in]hflip", 0, "single chain"),
        ("hflip;vflip", 5, "single chain"),
        ("transpose=clok", 10, "did you mean 'clock'"),
        ("hflip=1", 6, "a value without a name"),
        ("format=yuv421p", 7, "did you mean 'yuv4"),
        ("hflip,pad=color=rde", 16, "did you mean 'red'"),
    ],
)
def test_caret_is_under_the_mistake(text: str, position: int, message: str) -> None:
    with pytest.raises(ChainError) as caught:
        parse_chain(text, CATALOGUE)
    assert message in caught.value.message
    assert caught.value.position == position
    assert str(caught.value).splitlines()[1:] == [f"  {text}", f"  {' ' * position}^"]


@given(st.text(alphabet="hflipscae=:,'\\0123456789.-+*()[]; ", max_size=40))
def test_any_text_is_read_or_refused_in_place(text: str) -> None:
    refused: ChainError | None = None
    parsed: tuple[Step, ...] = ()
    try:
        parsed = parse_chain(text, CATALOGUE)
    except ChainError as error:
        refused = error
    assert refused is None or 0 <= refused.position <= len(text)
    assert canonical(format_chain(parsed)) == format_chain(parsed)


def test_read_params_takes_values_and_text() -> None:
    crop = CATALOGUE["crop"]
    assert read_params(crop, {"w": 10, "h": "ih/2"}) == read_params(crop, {"out_w": "10", "out_h": "ih/2"})
    with pytest.raises(FormatError, match="did you mean 'keep_aspect'"):
        read_params(crop, {"keepaspect": 1})
    with pytest.raises(FormatError, match="from 0 to 3"):
        read_params(CATALOGUE["eq"], {"saturation": 4.0})


def test_read_params_takes_numpy_numbers() -> None:
    eq, unsharp, crop = CATALOGUE["eq"], CATALOGUE["unsharp"], CATALOGUE["crop"]
    assert read_params(eq, {"contrast": np.float32(1.5)}) == read_params(eq, {"contrast": 1.5})
    assert read_params(unsharp, {"lx": np.int64(7)}) == read_params(unsharp, {"lx": 7})
    assert read_params(crop, {"exact": 1}) == read_params(crop, {"exact": True})
    for operation, wrong in (
        (unsharp, {"lx": 7.0}),
        (unsharp, {"lx": True}),
        (crop, {"exact": 2}),
        (eq, {"gamma": "x"}),
    ):
        with pytest.raises(FormatError, match="must be"):
            read_params(operation, wrong)


def test_a_chain_over_several_lines_keeps_its_caret() -> None:
    with pytest.raises(ChainError) as caught:
        parse_chain("hflip,\n\tvflop", CATALOGUE)
    assert str(caught.value).splitlines()[1:] == ["  hflip,  vflop", "          ^"]


@given(st.text(alphabet="ab ,:;[]'\\=", min_size=1, max_size=12).map(str.strip).filter(bool))
def test_text_survives_both_levels_of_quoting(text: str) -> None:
    """Any value of a text option, written canonically, is read back as it was."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Words(Params):
        words: str = option("", "any text")

    operation = replace(CATALOGUE["hflip"], params=Words)
    step = Step(operation=operation, params=Words(words=text))
    (read,) = parse_chain(format_chain([step]), {"hflip": operation})
    assert read.params == step.params
