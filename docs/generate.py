"""Write docs/operations/ from the catalogue; with --check, only say whether what is there is up to date.

Run by `just docs` and `just check`. Exit code 0 when every page is as the catalogue says, 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kernels.catalogue import CATALOGUE
from kernels.options import OptionSpec, options_of

if TYPE_CHECKING:
    from kernels.operation import Operation

FOLDER: Final = Path(__file__).parent / "operations"
NOTE: Final = (
    "<!-- Written by docs/generate.py from the catalogue: change the operation's record, then `just docs`. -->"
)


def page(operation: Operation) -> str:
    """The Markdown page of one operation."""
    parts = [
        NOTE,
        f"# {operation.name}",
        operation.summary,
        _facts(operation),
        "## Options",
        _options(options_of(operation.params)),
        "## Examples",
        "\n".join(f"    {sample}" for sample in operation.samples),
    ]
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """The page that lists every operation."""
    rows = [
        f"| [{name}]({name}.md) | {operation.kind.value} | {operation.summary} |"
        for name, operation in sorted(CATALOGUE.items())
    ]
    head = "| operation | sees | does |\n| --- | --- | --- |\n"
    return f"{NOTE}\n\n# Operations\n\n{head}" + "\n".join(rows) + "\n"


def pages() -> dict[str, str]:
    """File name -> text, for every page of the folder."""
    return {"index.md": index()} | {f"{name}.md": page(operation) for name, operation in CATALOGUE.items()}


def _facts(operation: Operation) -> str:
    tolerance = operation.tolerance
    codes = f"{tolerance.max_codes} code{'' if tolerance.max_codes == 1 else 's'}"
    facts = {
        "Sees": operation.kind.value,
        "Formula": operation.source,
        "Exactness": f"implementations agree within {codes} of the output depth: {tolerance.reason}",
        "Samples": "moved, never changed" if operation.value_preserving else "computed, rounded once at the end",
    }
    return "\n".join(f"- **{name}:** {text}" for name, text in facts.items())


def _options(specs: tuple[OptionSpec, ...]) -> str:
    if not specs:
        return "None."
    rows = ["| option | default | takes | meaning |", "| --- | --- | --- | --- |"]
    for spec in specs:
        names = ", ".join(f"`{name}`" for name in spec.names)
        rows.append(f"| {names} | `{_default(spec)}` | {_cell(spec.allowed())} | {_cell(spec.option.help)} |")
    return "\n".join(rows)


def _default(spec: OptionSpec) -> str:
    """The default as it is written in a chain."""
    for word, value in (spec.option.choices or {}).items():
        if value == spec.default and type(value) is type(spec.default):
            return word
    if isinstance(spec.default, bool):
        return str(int(spec.default))
    return f"{spec.default:g}" if isinstance(spec.default, float) else str(spec.default)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is out of date")
    check = parser.parse_args().check
    wanted = pages()
    present = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    if present == wanted:
        return 0
    stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
    if check:
        print(f"docs/operations: out of date: {', '.join(stale)}; run `just docs`", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name], encoding="utf-8")
        else:
            (FOLDER / name).unlink()
        print(f"docs/operations/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
