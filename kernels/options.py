"""Options of operations: declared once as dataclass fields, read from text with FFmpeg's rules."""

from __future__ import annotations

import dataclasses
import math
import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from kernels.errors import FormatError, nearest
from kernels.expression import Expression

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


# FFmpeg's words for a boolean.
_TRUE: Final = ("1", "true", "y", "yes", "on", "enable", "enabled")
_FALSE: Final = ("0", "false", "n", "no", "off", "disable", "disabled")

# What an option of each type takes, NumPy's scalars among them, and what it keeps.
_NUMBERS: Final[Mapping[str, tuple[type, Any]]] = {
    "int": (numbers.Integral, int),
    "float": (numbers.Real, float),
    "bool": (numbers.Integral, bool),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """What one option takes."""

    help: str
    aliases: tuple[str, ...] = ()
    low: float | None = None
    """Smallest allowed number."""
    high: float | None = None
    """Largest allowed number."""
    odd: bool = False
    choices: Mapping[str, Any] | None = None
    """Allowed words and the value each stands for."""
    verify: Callable[[Any], object] | None = None
    """Called with the value; raises `FormatError` for one that cannot be."""
    positional: bool = True
    """Whether FFmpeg's shorthand (values without names) reaches it, in declaration order."""


def option(default: Any, help: str, **facts: Any) -> Any:  # noqa: A002 - FFmpeg and argparse call it help
    """A dataclass field with its `Option` attached."""
    return dataclasses.field(default=default, metadata={"option": Option(help=help, **facts)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Base of every operation's parameters. Subclasses are frozen, slotted dataclasses of `option` fields."""

    TYPES: ClassVar[tuple[str, ...]] = ("int", "float", "bool", "str", "Expression")

    def __post_init__(self) -> None:
        for spec in options_of(type(self)):
            value = getattr(self, spec.name)
            object.__setattr__(self, spec.name, spec.check(value))
        self.validate()

    def validate(self) -> None:
        """Conditions between options; raises `FormatError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionSpec:
    """An option with its name, type and default: what `runner ops` prints and the parser needs."""

    name: str
    type: str
    default: Any
    option: Option

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.option.aliases)

    def read(self, text: str) -> Any:
        """The value that `text` stands for; raises `FormatError` saying what is allowed."""
        choices = self.option.choices
        if choices is not None and text in choices:
            return choices[text]
        if self.type == "bool":
            return self._read_bool(text)
        if self.type in ("int", "float"):
            return self._read_number(text)
        if choices is not None:
            raise FormatError(f"{self.name}={text}: unknown value{nearest(text, choices)}")
        return Expression(text) if self.type == "Expression" else text

    def check(self, value: Any) -> Any:
        """`value`, of the right type and within the allowed range; raises `FormatError`."""
        choices = self.option.choices
        if self.type == "Expression" and not isinstance(value, Expression):
            value = Expression(str(value))
        if choices is not None and isinstance(value, str) and value in choices:
            return choices[value]
        if choices is not None and self.type not in ("int", "float") and value not in choices.values():
            raise FormatError(f"{self.name}={value}: unknown value{nearest(str(value), choices)}")
        if self.type in ("int", "float", "bool"):
            value = self._as_number(value)
        if self.option.verify is not None:
            self.option.verify(value)
        return value

    def word(self, value: Any) -> str | None:
        """The word among the choices that stands for `value`; None when no word does."""
        for word, stands_for in (self.option.choices or {}).items():
            if value == stands_for and type(value) is type(stands_for):
                return word
        return None

    def write(self, value: Any) -> str:
        """`value` as the shortest text that `read` takes for it."""
        word = self.word(value)
        if word is not None:
            return word
        if isinstance(value, bool):
            return str(int(value))
        return f"{value:.10g}" if isinstance(value, float) else str(value)

    def allowed(self) -> str:
        """What the option takes, for messages and docs: 'an odd integer from 3 to 23'."""
        if self.type == "Expression":
            return "an expression such as iw*2"
        odd = "odd " if self.option.odd else ""
        noun = {"int": f"an {odd}integer", "float": "a number", "bool": "0 or 1", "str": "text"}[self.type]
        if self.option.choices:
            words = ", ".join(filter(None, self.option.choices))
            return words if self.type in ("str", "bool") else f"{noun} or one of {words}"
        low, high = self.option.low, self.option.high
        bounds = "" if low is None or high is None else f" from {low:g} to {high:g}"
        return f"{noun}{bounds}"

    def _read_bool(self, text: str) -> bool:
        word = text.lower()
        if word not in _TRUE and word not in _FALSE:
            raise FormatError(f"{self.name}={text}: must be {self.allowed()}")
        return word in _TRUE

    def _read_number(self, text: str) -> float:
        try:
            value = Expression(text).evaluate({})
        except FormatError:
            value = math.nan
        if math.isnan(value) or (self.type == "int" and not value.is_integer()):
            message = f"{self.name}={text}: must be {self.allowed()}"
            if self.option.choices:
                message += nearest(text, self.option.choices)
            raise FormatError(message)
        return int(value) if self.type == "int" else value

    def _as_number(self, value: Any) -> bool | int | float:
        """`value`, of Python's or NumPy's types, as the option's own; raises `FormatError`."""
        kind, own = _NUMBERS[self.type]
        if not isinstance(value, kind) or (value not in (0, 1) if own is bool else isinstance(value, bool)):
            raise FormatError(f"{self.name}={value}: must be {self.allowed()}")
        number: bool | int | float = own(value)
        if own is not bool:
            self._check_range(number)
        return number

    def _check_range(self, value: float) -> None:
        low, high = self.option.low, self.option.high
        outside = (low is not None and value < low) or (high is not None and value > high)
        if outside or not math.isfinite(value) or (self.option.odd and value % 2 == 0):
            raise FormatError(f"{self.name}={value:g}: must be {self.allowed()}")


def options_of(params: type[Params]) -> tuple[OptionSpec, ...]:
    """The options of a parameter class in declaration order."""
    specs = []
    for field in dataclasses.fields(params):
        kind = field.type if isinstance(field.type, str) else field.type.__name__
        if kind not in Params.TYPES:
            kind = "str"
        specs.append(OptionSpec(name=field.name, type=kind, default=field.default, option=field.metadata["option"]))
    return tuple(specs)
