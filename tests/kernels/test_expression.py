"""Arithmetic in options."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.errors import FormatError
from kernels.expression import Expression

NAMES = {"iw": 640.0, "ih": 360.0, "a": 640 / 360}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("iw*2", 1280),
        ("-2", -2),
        ("2-3-4", -5),
        ("12/3/2", 2),
        ("2^3^2", 64),
        ("-2^2", 4),
        ("(1+2)*3", 9),
        ("min(iw,100)+max(1,2)", 102),
        ("if(gt(a,1),iw,ih)", 640),
        ("if(lt(a,1),iw)", 0),
        ("ifnot(0,5,6)", 5),
        ("trunc(iw/3/2)*2", 212),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("floor(-1.5)+ceil(1.2)", 0),
        ("mod(-7,3)", -1),
        ("0x10+1e2+.5", 116.5),
        ("PI", math.pi),
        ("between(3,1,3)", 1),
        ("clip(9,0,5)", 5),
        ("hypot(3,4)*sqrt(4)", 10),
        ("not(0)+eq(1,1)+gte(1,2)", 2),
        (" iw / 2 ", 320),
    ],
)
def test_value(text: str, value: float) -> None:
    assert Expression(text).evaluate(NAMES) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ix", "unknown name 'ix'; did you mean 'ih'|unknown name 'ix'"),
        ("foo(1)", "unknown function 'foo'"),
        ("min(1)", r"min\(\) takes 2 values, not 1"),
        ("1/0", "no value"),
        ("sqrt(-1)", "no value"),
        ("1+", "expected a number or a name"),
        ("(1", r"expected '\)'"),
        ("1 2", "unexpected '2'"),
        ("", "expected a number"),
        ("3$", r"cannot read '\$'"),
        ("10^400", "no value|no finite value"),
    ],
)
def test_refusal_names_the_place(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        Expression(text).evaluate(NAMES)


numbers = st.integers(0, 99).map(str)
expressions = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map("".join),
        inner.map("({})".format),
        inner.map("-({})".format),
    ),
    max_leaves=12,
)


@given(expressions)
def test_agrees_with_python(text: str) -> None:
    assert Expression(text).evaluate({}) == pytest.approx(eval(text))  # noqa: S307 - digits and operators only
