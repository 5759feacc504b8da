"""Arithmetic in options, such as `iw*2` or `min(iw,1920)`: FFmpeg's expression syntax, evaluated in float64.

Numbers may end in an SI prefix, `i` for its power of 1024, and `B` for eight times that: 2k, 1Mi, 3kB.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kernels.errors import FormatError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kernels.frame import VideoFormat

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:[yzafpnumcdhkKMGTPEZY]i?)?B?)"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>[-+*/^(),;]))",
    re.ASCII,
)
_NUMBER: Final = re.compile(r"(0[xX][0-9a-fA-F]+|[\d.]+(?:[eE][+-]?\d+)?)([a-zA-Z]?)(i?)(B?)", re.ASCII)
_PREFIXES: Final = {
    "y": -24, "z": -21, "a": -18, "f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "c": -2, "d": -1, "h": 2,
    "k": 3, "K": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21, "Y": 24,
}  # fmt: skip
_CONSTANTS: Final = {"PI": math.pi, "E": math.e, "PHI": (1 + math.sqrt(5)) / 2}
MAX_DEPTH: Final = 100
"""Deepest nesting of parentheses and calls, FFmpeg's own limit."""


def _truth(value: object) -> float:
    return 1.0 if value else 0.0


def _round(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value)  # halves away from zero, as C's round()


_FUNCTIONS: Final[dict[str, tuple[int, Callable[..., float]]]] = {
    "abs": (1, abs),
    "ceil": (1, math.ceil),
    "floor": (1, math.floor),
    "round": (1, _round),
    "trunc": (1, math.trunc),
    "sqrt": (1, math.sqrt),
    "exp": (1, math.exp),
    "log": (1, math.log),
    "sin": (1, math.sin),
    "cos": (1, math.cos),
    "tan": (1, math.tan),
    "atan": (1, math.atan),
    "sgn": (1, lambda a: _truth(a > 0) - _truth(a < 0)),
    "not": (1, lambda a: _truth(a == 0)),
    "min": (2, min),
    "max": (2, max),
    "mod": (2, lambda a, b: a - math.floor(a / b) * b),  # floored, unlike C's fmod()
    "pow": (2, math.pow),
    "hypot": (2, math.hypot),
    "gcd": (2, lambda a, b: math.gcd(int(a), int(b))),
    "eq": (2, lambda a, b: _truth(a == b)),
    "gt": (2, lambda a, b: _truth(a > b)),
    "gte": (2, lambda a, b: _truth(a >= b)),
    "lt": (2, lambda a, b: _truth(a < b)),
    "lte": (2, lambda a, b: _truth(a <= b)),
    "between": (3, lambda x, a, b: _truth(a <= x <= b)),
    "clip": (3, lambda x, a, b: min(max(x, a), b)),
}
# `if` and `ifnot` take two or three arguments and evaluate only the chosen one.
_BRANCHES: Final = {"if": True, "ifnot": False}


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression, kept as written until the numbers for its names are known."""

    text: str
    position: int | None = field(default=None, compare=False)
    """Where it starts in the chain that it was typed in."""

    def evaluate(self, names: Mapping[str, float]) -> float:
        """The value with `names` put in.

        Raises `FormatError`, with this expression's position, naming the unknown word, or the place where it
        cannot be read, and for a value that is not a number (division by zero).
        """
        try:
            value = _evaluated(self.text, names)
        except FormatError as error:
            raise FormatError(str(error), position=self.position) from None
        except (ZeroDivisionError, OverflowError, ValueError) as error:
            raise FormatError(f"{self.text!r} has no value: {error}", position=self.position) from None
        if not math.isfinite(value):
            raise FormatError(f"{self.text!r} has no finite value", position=self.position)
        return value

    def __str__(self) -> str:
        return self.text


def picture_names(source: VideoFormat) -> dict[str, float]:
    """What an expression of a size or place may use of the incoming picture, by FFmpeg's names."""
    aspect, sar = source.width / source.height, float(source.sample_aspect_ratio)
    return {
        "in_w": source.width, "iw": source.width, "in_h": source.height, "ih": source.height,
        "a": aspect, "sar": sar, "dar": aspect * sar,
        "hsub": 1 << source.pixel_format.log2_chroma_w, "vsub": 1 << source.pixel_format.log2_chroma_h,
    }  # fmt: skip


def _evaluated(text: str, names: Mapping[str, float]) -> float:
    parser = _Parser(text, names)
    value = parser.sum()
    if parser.token:
        raise FormatError(f"{text!r}: unexpected {parser.token!r}")
    return value


def _number(text: str) -> float:
    """The value of a number token: digits, SI prefix, `i` for powers of 1024, `B` for eight times as much."""
    match = _NUMBER.fullmatch(text)
    assert match is not None, text
    digits, prefix, binary, byte = match.groups()
    value = float(int(digits, 16)) if digits[:2].lower() == "0x" else float(digits)
    power = _PREFIXES.get(prefix, 0)
    return value * (2.0 ** (power / 3 * 10) if binary else 10.0**power) * (8 if byte else 1)


class _Parser:
    """Recursive descent over `text`, evaluating as it goes. Precedence, loosest first: + -, * /, sign, ^.

    So -2^2 is -4, and a power takes its factors from the left: 2^3^2 is 64.
    """

    def __init__(self, text: str, names: Mapping[str, float]) -> None:
        self._text = text
        self._names = {**_CONSTANTS, **names}
        self._at = 0
        self.token = ""
        self._kind = ""
        self._depth = 0
        self._advance()

    def sum(self) -> float:
        value = self._product()
        while self.token in ("+", "-"):
            sign = self._take()
            term = self._product()
            value = value + term if sign == "+" else value - term
        return value

    def _product(self) -> float:
        value = self._power()
        while self.token in ("*", "/"):
            sign = self._take()
            factor = self._power()
            value = value * factor if sign == "*" else value / factor
        return value

    def _power(self) -> float:
        sign, value = self._sign(), self._primary()
        while self.token == "^":
            self._take()
            value = math.pow(value, self._sign() * self._primary())
        return sign * value

    def _sign(self) -> int:
        sign = 1
        while self.token in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        return sign

    def _primary(self) -> float:
        if self._kind == "number":
            return _number(self._take())
        if self.token == "(":
            values = self._nested()
            if len(values) == 1:
                return values[0]
            raise FormatError(f"{self._text!r}: a ',' outside a function")
        if self._kind == "name":
            name = self._take()
            return self._call(name) if self.token == "(" else self._lookup(name)
        raise FormatError(f"{self._text!r}: expected a number or a name, found {self.token or 'the end'!r}")

    def _lookup(self, name: str) -> float:
        if name not in self._names:
            raise FormatError(f"{self._text!r}: unknown name {name!r}{nearest(name, self._names)}")
        return float(self._names[name])

    def _nested(self) -> list[float]:
        """What stands between parentheses, separated by commas."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormatError(f"an expression is nested more than {MAX_DEPTH} levels deep")
        self._expect("(")
        values = [self.sum()]
        while self.token == ",":
            self._take()
            values.append(self.sum())
        self._expect(")")
        self._depth -= 1
        return values

    def _call(self, name: str) -> float:
        arguments = self._nested()
        if name in _BRANCHES and len(arguments) in (2, 3):
            chosen = (arguments[0] != 0) is _BRANCHES[name]
            return arguments[1] if chosen else (*arguments, 0.0)[2]
        if name not in _FUNCTIONS:
            known = (*_FUNCTIONS, *_BRANCHES)
            raise FormatError(f"{self._text!r}: unknown function {name!r}{nearest(name, known)}")
        count, function = _FUNCTIONS[name]
        if len(arguments) != count:
            raise FormatError(f"{self._text!r}: {name}() takes {count} values, not {len(arguments)}")
        return float(function(*arguments))

    def _expect(self, sign: str) -> None:
        if self.token != sign:
            raise FormatError(f"{self._text!r}: expected {sign!r}, found {self.token or 'the end'!r}")
        self._take()

    def _take(self) -> str:
        token = self.token
        self._advance()
        return token

    def _advance(self) -> None:
        rest = self._text[self._at :]
        if not rest.strip():
            self.token, self._kind = "", ""
            return
        match = _TOKEN.match(rest)
        if match is None:
            raise FormatError(f"{self._text!r}: cannot read {rest.strip()[0]!r}")
        self._kind = str(match.lastgroup)
        self.token = match.group(self._kind)
        self._at += match.end()
