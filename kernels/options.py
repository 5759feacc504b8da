"""Options of operations: declared once as dataclass fields, read from text with FFmpeg's rules."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from kernels.errors import FormatError, nearest
from kernels.expression import Expression

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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


def option(default: Any, help: str, **facts: Any) -> Any:  # noqa: A002 - FFmpeg and argparse call it help  # noqa: A002 - argparse and FFmpeg call it help
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
        if self.type == "float" and isinstance(value, int):
            value = float(value)
        expected = {"int": int, "float": float, "bool": bool}.get(self.type)
        if expected is not None and (not isinstance(value, expected) or (expected is int and isinstance(value, bool))):
            raise FormatError(f"{self.name}={value!r}: {self.allowed()}")
        if isinstance(value, int | float) and self.type in ("int", "float"):
            self._check_range(value)
        if self.option.verify is not None:
            self.option.verify(value)
        return value

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
        words = {"1": True, "true": True, "yes": True, "y": True, "0": False, "false": False, "no": False, "n": False}
        if text.lower() not in words:
            raise FormatError(f"{self.name}={text}: must be 0 or 1")
        return words[text.lower()]

    def _read_number(self, text: str) -> float:
        try:
            return int(text) if self.type == "int" else float(text)
        except ValueError:
            message = f"{self.name}={text}: must be {self.allowed()}"
            if self.option.choices:
                message += nearest(text, self.option.choices)
            raise FormatError(message) from None

    def _check_range(self, value: float) -> None:
        low, high = self.option.low, self.option.high
        outside = (low is not None and not value >= low) or (high is not None and not value <= high)
        if outside or (self.option.odd and value % 2 == 0):
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
