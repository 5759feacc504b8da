"""Arithmetic in options, such as `iw*2` or `min(iw,1920)`: FFmpeg's expression syntax, evaluated in float64."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernels.errors import FormatError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))"
    r"|(?P<name>[A-Za-z_]\w*)|(?P<sign>[-+*/^(),;]))"
)
_CONSTANTS: Final = {"PI": math.pi, "E": math.e, "PHI": (1 + math.sqrt(5)) / 2}


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
    "not": (1, lambda a: _truth(a == 0)),
    "min": (2, min),
    "max": (2, max),
    "mod": (2, math.fmod),
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

    def evaluate(self, names: Mapping[str, float]) -> float:
        """The value with `names` put in.

        Raises `FormatError` naming the unknown word, or the place where it cannot be read, and for a value
        that is not a number (division by zero).
        """
        parser = _Parser(self.text, names)
        try:
            value = parser.sum()
        except (ZeroDivisionError, OverflowError, ValueError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{self.text!r} has no value: {error}") from None
        if parser.token:
            raise FormatError(f"{self.text!r}: unexpected {parser.token!r}")
        if not math.isfinite(value):
            raise FormatError(f"{self.text!r} has no finite value")
        return value

    def __str__(self) -> str:
        return self.text


class _Parser:
    """Recursive descent over `text`, evaluating as it goes. Precedence, loosest first: + -, * /, ^, sign."""

    def __init__(self, text: str, names: Mapping[str, float]) -> None:
        self._text = text
        self._names = {**_CONSTANTS, **names}
        self._at = 0
        self.token = ""
        self._kind = ""
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
        value = self._signed()
        while self.token == "^":
            self._take()
            value = float(math.pow(value, self._signed()))
        return value

    def _signed(self) -> float:
        if self.token in ("+", "-"):
            return -self._signed() if self._take() == "-" else self._signed()
        return self._primary()

    def _primary(self) -> float:
        if self._kind == "number":
            text = self._take()
            return float(int(text, 16)) if text[:2].lower() == "0x" else float(text)
        if self.token == "(":
            self._take()
            value = self.sum()
            self._expect(")")
            return value
        if self._kind == "name":
            name = self._take()
            return self._call(name) if self.token == "(" else self._lookup(name)
        raise FormatError(f"{self._text!r}: expected a number or a name, found {self.token or 'the end'!r}")

    def _lookup(self, name: str) -> float:
        if name not in self._names:
            raise FormatError(f"{self._text!r}: unknown name {name!r}{nearest(name, self._names)}")
        return float(self._names[name])

    def _call(self, name: str) -> float:
        self._expect("(")
        arguments = [self.sum()]
        while self.token == ",":
            self._take()
            arguments.append(self.sum())
        self._expect(")")
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
