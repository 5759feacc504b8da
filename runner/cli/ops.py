"""`runner ops`: the operations that chains are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli import complete
from runner.cli.output import print_json, print_rows

if TYPE_CHECKING:
    from kernels.operation import Operation
    from kernels.options import OptionSpec


def ops(
    *,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", autocompletion=complete.operations, help="Only this operation, with its options."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of text.")] = False,
) -> None:
    """List the operations and what they take.

    \b
    Examples:
      runner ops                   one line for each operation
      runner ops scale             the options of scale, with defaults and allowed values
      runner ops --json            everything, for another program to read
    """
    from kernels.catalogue import CATALOGUE
    from kernels.errors import nearest
    from runner.errors import UsageError

    if name is not None and name not in CATALOGUE:
        raise UsageError(f"unknown operation {name!r}{nearest(name, CATALOGUE)}")
    chosen = [CATALOGUE[name]] if name is not None else [CATALOGUE[key] for key in sorted(CATALOGUE)]
    if json:
        print_json([_describe(operation) for operation in chosen])
    elif name is not None:
        _print_operation(chosen[0])
    else:
        print_rows((operation.name, operation.summary) for operation in chosen)
        print("\nOptions of one operation: runner ops NAME")


def _describe(operation: Operation) -> dict[str, Any]:
    from kernels.options import options_of

    return {
        "name": operation.name,
        "kind": operation.kind.name.lower(),
        "backends": _backends(operation),
        "summary": operation.summary,
        "source": operation.source,
        "options": [_describe_option(spec) for spec in options_of(operation.params)],
    }


def _backends(operation: Operation) -> list[str]:
    """The backends this operation has code for."""
    return [name for name in ("cpu", "cuda") if getattr(operation, name, None) is not None]


def _describe_option(spec: OptionSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "aliases": list(spec.option.aliases),
        "type": spec.type.lower(),
        "default": _default(spec),
        "allowed": spec.allowed(),
        "help": spec.option.help,
    }


def _default(spec: OptionSpec) -> str | float | bool | None:
    """The default as one would write it in a chain."""
    value, word = spec.default, spec.word(spec.default)
    if word is not None:
        return word
    return value if isinstance(value, int | float | bool) or value is None else str(value)


def _print_operation(operation: Operation) -> None:
    from kernels.options import options_of

    print(f"{operation.name}: {operation.summary}")
    print(f"runs on: {', '.join(_backends(operation))}; source: {operation.source}")
    specs = options_of(operation.params)
    if specs:
        print("\nOptions (as name=value; values without a name are taken in this order):")
        print_rows(map(_option_row, specs), indent="  ")
    print("\nExamples:")
    for sample in operation.samples:
        print(f"  runner run in.mp4 out.mp4 --vf '{sample}'")


def _option_row(spec: OptionSpec) -> tuple[str, str, str]:
    names = ", ".join(spec.names)
    default = _default(spec)
    shown = f"default {int(default) if isinstance(default, bool) else default}" if default not in (None, "") else ""
    return names, shown, f"{spec.option.help} ({spec.allowed()})"
