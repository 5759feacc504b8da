"""The text form of a filter chain, FFmpeg's `-vf` grammar: `name=value:key=value,name=…`.

Text is read at two levels, as FFmpeg reads it: the chain level splits at commas, the argument level at
colons; at both, `\\` takes the next character literally and single quotes everything between them.
Positions are kept through both levels so that every error can put a caret under the character it means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kernels.errors import ChainError, FormatError, nearest
from kernels.expression import Expression
from kernels.options import Params, options_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kernels.operation import Operation
    from kernels.options import OptionSpec

    Characters = list[tuple[str, int]]
    """Characters with their position in the chain as typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation of a chain with its parameters."""

    operation: Operation
    params: Params
    chain: str = ""
    """The chain as typed; empty for steps that were not typed."""
    position: int = 0
    """Where it starts in `chain`."""

    def __str__(self) -> str:
        return format_step(self)


def parse_chain(text: str, catalogue: Mapping[str, Operation]) -> tuple[Step, ...]:
    """The steps of chain `text`; an empty chain and the operations `null` and `copy` have none.

    Raises `ChainError` with the position of the first thing that is wrong.
    """
    if not text.strip():
        return ()
    steps = []
    start = 0
    for raw in _split(list(zip(text, range(len(text)), strict=True)), ",", text):
        step = _parse_step(raw, start, text, catalogue)
        if step is not None:
            steps.append(step)
        start += len(raw) + 1
    return tuple(steps)


def format_chain(steps: Sequence[Step]) -> str:
    """`steps` as canonical text: full option names, only what differs from the default, one spelling."""
    return ",".join(map(format_step, steps))


def format_step(step: Step) -> str:
    words = []
    for spec in options_of(type(step.params)):
        value = getattr(step.params, spec.name)
        default = spec.check(spec.default)
        if value != default:
            words.append(f"{spec.name}={_quoted(spec.write(value))}")
    return f"{step.operation.name}={':'.join(words)}" if words else step.operation.name


def read_params(operation: Operation, arguments: Mapping[str, Any]) -> Params:
    """Parameters from keyword arguments; text values are read as in a chain.

    Raises `FormatError` for an unknown name (with the nearest) or a value out of range.
    """
    specs = options_of(operation.params)
    by_name = {name: spec for spec in specs for name in spec.names}
    values = {}
    for name, value in arguments.items():
        if name not in by_name:
            raise FormatError(_no_option(operation, name, by_name))
        spec = by_name[name]
        values[spec.name] = spec.read(value) if isinstance(value, str) else value
    return operation.params(**values)


def _no_option(operation: Operation, name: str, allowed: Collection[str]) -> str:
    known = nearest(name, allowed) if allowed else "; it takes none"
    return f"{operation.name} has no option {name!r}{known}"


def _parse_step(raw: Characters, start: int, chain: str, catalogue: Mapping[str, Operation]) -> Step | None:
    """The step in `raw`, which begins at character `start`; None for one that does nothing."""
    raw = _strip(raw)
    if not raw:
        raise ChainError("an operation is missing", chain=chain, position=start)
    for character, position in raw:
        if character == "=":
            break
        if character in "[];":
            raise ChainError(
                "only a single chain is supported: no labels [..] and no second chain ;",
                chain=chain,
                position=position,
            )
    cut = next((i for i, (c, _) in enumerate(raw) if c == "="), len(raw))
    name = "".join(c for c, _ in _unescape(raw[:cut])).partition("@")[0]
    if name in ("null", "copy"):
        return None
    if name not in catalogue:
        message = f"unknown operation {name!r}{nearest(name, catalogue)}"
        raise ChainError(message, chain=chain, position=raw[0][1])
    operation = catalogue[name]
    values = _read_arguments(operation, raw[cut + 1 :], chain)
    try:
        params = operation.params(**values)
    except FormatError as error:
        raise ChainError(f"{name}: {error}", chain=chain, position=raw[0][1]) from None
    return Step(operation=operation, params=params, chain=chain, position=raw[0][1])


def _read_arguments(operation: Operation, raw: Characters, chain: str) -> dict[str, Any]:
    """Option values of one step: first by position, then by name, as FFmpeg reads them."""
    specs = options_of(operation.params)
    by_name = {name: spec for spec in specs for name in spec.names}
    order = [spec for spec in specs if spec.option.positional]
    values: dict[str, Any] = {}
    named = False
    arguments = _split(_unescape(raw), ":", chain) if raw else []
    if arguments and not arguments[-1]:
        del arguments[-1]  # a colon may end the arguments
    for argument in arguments:
        key, value = _split_key(argument)
        start = argument[0][1] if argument else len(chain)
        if key is None:
            if named or len(values) >= len(order):
                message = f"{operation.name}: a value without a name; write name=value"
                raise ChainError(message, chain=chain, position=start)
            spec = order[len(values)]
        elif key not in by_name:
            message = _no_option(operation, key, by_name)
            raise ChainError(message, chain=chain, position=start)
        else:
            named, spec = True, by_name[key]
        plain = _unescape(value)
        values[spec.name] = _read_value(operation, spec, plain, chain, start)
    return values


def _read_value(operation: Operation, spec: OptionSpec, value: Characters, chain: str, start: int) -> Any:
    text = "".join(c for c, _ in value)
    position = value[0][1] if value else start
    try:
        read = spec.check(spec.read(text))
        return replace(read, position=position) if isinstance(read, Expression) else read
    except FormatError as error:
        raise ChainError(f"{operation.name}: {error}", chain=chain, position=position) from None


def _split_key(argument: Characters) -> tuple[str | None, Characters]:
    """('key', value) when the argument starts with `word=`; expressions such as `eq(a,b)` have no key."""
    for i, (character, _) in enumerate(argument):
        if character == "=":
            key = "".join(c for c, _ in argument[:i]).strip()
            return key, argument[i + 1 :]
        if not (character.isalnum() or character in "_ "):
            break
    return None, argument


def _split(raw: Characters, separator: str, chain: str) -> list[Characters]:
    """Split at `separator` outside quotes and escapes, leaving both in place."""
    parts: list[Characters] = [[]]
    quote_at: int | None = None
    i = 0
    while i < len(raw):
        character, position = raw[i]
        if quote_at is not None:
            quote_at = None if character == "'" else quote_at
        elif character == "'":
            quote_at = position
        elif character == "\\" and i + 1 < len(raw):
            parts[-1].append(raw[i])
            i += 1
        elif character == separator:
            parts.append([])
            i += 1
            continue
        parts[-1].append(raw[i])
        i += 1
    if quote_at is not None:
        raise ChainError("this quote is never closed", chain=chain, position=quote_at)
    return parts


def _unescape(raw: Characters) -> Characters:
    """One level of quoting and escaping removed."""
    plain: Characters = []
    quoted = False
    i = 0
    while i < len(raw):
        character, _ = raw[i]
        if character == "'":
            quoted = not quoted
        elif character == "\\" and not quoted and i + 1 < len(raw):
            i += 1
            plain.append(raw[i])
        else:
            plain.append(raw[i])
        i += 1
    return _strip(plain)


def _strip(raw: Characters) -> Characters:
    start, end = 0, len(raw)
    while start < end and raw[start][0].isspace():
        start += 1
    while end > start and raw[end - 1][0].isspace():
        end -= 1
    return raw[start:end]


def _quoted(text: str) -> str:
    """`text` so that both levels of reading give it back."""
    text = re.sub(r"([\\':])", r"\\\1", text)  # for the level of arguments; the quotes are for the chain's
    return "'" + text.replace("'", r"'\''") + "'" if any(c in text for c in ",;[]'\\ ") else text
