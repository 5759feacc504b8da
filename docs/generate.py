"""Write the pages that follow from the code; with --check, only say whether they are up to date.

docs/operations/ comes from the catalogue, docs/containers.md from the tables of containers and encoders,
docs/settings.md from the list of settings.

Run by `just docs` and `just check`. Exit code 0 when every page is as the catalogue says, 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kernels.catalogue import CATALOGUE
from kernels.io.containers import AUDIO_CODECS, CONTAINERS, SUBTITLE_CODECS
from kernels.io.encode import ENCODERS
from kernels.options import OptionSpec, options_of
from runner.setting_table import SECRETS, SETTINGS, Setting
from runner.settings import allowed, preset_names, preset_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernels.io.containers import Container
    from kernels.io.encode import Encoder
    from kernels.operation import Operation

FOLDER: Final = Path(__file__).parent
NOTE: Final = "<!-- Written by docs/generate.py from the code: change that, then `just docs`. -->"

OPENING: Final = (
    "The ending of OUTPUT chooses the container. A stream that it cannot carry is refused before the first frame,\n"
    "with the option that solves it; nothing is dropped silently."
)
PRESETS_NOTE: Final = (
    "A preset fills in what nobody said; it never replaces a value of yours, so it raises no limit that you set.\n"
    "One of your own is a table `[presets.NAME]` in any of the files, with settings in it."
)
SECRETS_NOTE: Final = (
    "Read from the environment, `.env` or files of their own (see [Storage](storage.md)), never from files of\n"
    "settings, and never shown: `runner config show` says whether they are set."
)
SETTINGS_OPENING: Final = """\
What a job on a rented machine costs, needs and does where its command line does not say. The first place that says
something wins:

1. the option on the command line
2. the variable in the environment; then the same variable in `.env` of the folder the command runs in
3. `framehaul.toml` in that folder, or above it in the same repository
4. `$XDG_CONFIG_HOME/framehaul/config.toml`, else `~/.config/framehaul/config.toml`
5. TOML or JSON behind `remote_url`: https only, 256 KiB at most, read anew each time, and a failure where it cannot be
6. the machine preset
7. the default

`runner config show --origin` prints what holds here and why. A file with an unknown name or a value that cannot be is
refused with its place. From `.env` only this program's variables are taken; where a key is sent to (`VAST_URL`,
`B2_ENDPOINT`, `B2_REGION`, `AWS_...`) only if the key stands there too. A file of another user is refused.

    # framehaul.toml
    max_price = 0.40
    budget = 1.50
    machine_preset = "mine"
    exclude_country = ["CN", "RU"]

    [presets.mine]
    gpu = ["RTX 4090", "RTX 5090"]
    min_cpu_cores = 16"""


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


def containers() -> str:
    """The page of what each output container carries."""
    choices = (
        f"- `--audio-codec NAME` encodes audio again: {_words(AUDIO_CODECS)}",
        f"- `--subtitles NAME` converts text subtitles: {_words(SUBTITLE_CODECS)}; `--subtitles drop` leaves them out",
        "- `--drop-unsupported` leaves out whatever does not fit, and names it",
    )
    head = ("codec", "encoder", "--crf", "default", "--preset", "default", "pixel formats")
    parts = (
        NOTE,
        "# Containers",
        OPENING,
        _table(("", *CONTAINERS), _container_rows(CONTAINERS.values())),
        "## A stream that does not fit",
        "\n".join(choices),
        "## Encoders",
        "`--codec` chooses one; `--crf` is its constant quality, lower is better; `--preset` trades speed for size.",
        _table(head, (_encoder_row(codec, encoder) for codec, encoder in ENCODERS.items())),
    )
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """The page of every setting."""
    head = ("setting", "option", "variable", "takes", "default", "meaning")
    presets = preset_names()
    values = {name: preset_values(name) for name in presets}
    in_presets = [one.name for one in SETTINGS if any(one.name in table for table in values.values())]
    rows = ((f"`{name}`", *(f"{values[preset].get(name, '')}" for preset in presets)) for name in in_presets)
    parts = (
        NOTE,
        "# Settings",
        SETTINGS_OPENING,
        "## Every setting",
        _table(head, map(_setting_row, SETTINGS)),
        "## Machine presets",
        PRESETS_NOTE,
        _table(("", *(f"`{name}`" for name in presets)), rows),
        "## Secrets",
        SECRETS_NOTE,
        _table(("variable", "what it is for"), ((f"`{one.variable}`", one.summary) for one in SECRETS)),
    )
    return "\n\n".join(parts) + "\n"


def _setting_row(setting: Setting) -> tuple[str, ...]:
    flag = f"`{setting.flag}`" if setting.flag else "none"
    default = "" if setting.default is None else f"`{setting.default}`"
    cells = (f"`{setting.name}`", flag, f"`{setting.variable}`", allowed(setting), default, setting.summary)
    return tuple(map(_cell, cells))


def _container_rows(rows: Iterable[Container]) -> Iterable[tuple[str, ...]]:
    rows = tuple(rows)
    yield ("video", *(_words(row.video) for row in rows))
    yield ("audio", *(_words(row.audio) for row in rows))
    yield ("subtitles", *(_words(row.subtitles) for row in rows))
    yield ("attachments", *("yes" if row.attachments else "no" for row in rows))
    yield ("cover picture", *("yes" if row.cover else "no" for row in rows))


def _encoder_row(codec: str, encoder: Encoder) -> tuple[str, ...]:
    bounds = "none" if encoder.crf_range is None else "{:g} to {:g}".format(*encoder.crf_range)
    default = "" if encoder.crf is None else f"{encoder.crf:g}"
    return (
        codec,
        encoder.name,
        bounds,
        default,
        _words(encoder.presets, keep_order=True) or "none",
        encoder.preset or "",
        _words(encoder.pixel_formats, keep_order=True),
    )


def _words(names: Iterable[str], *, keep_order: bool = False) -> str:
    return ", ".join(f"`{name}`" for name in (names if keep_order else sorted(names)))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pages() -> dict[str, str]:
    """Path under docs/ -> text, for every generated page."""
    operations = {f"operations/{name}.md": page(operation) for name, operation in CATALOGUE.items()}
    return {"containers.md": containers(), "settings.md": settings(), "operations/index.md": index()} | operations


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
        rows.append(f"| {names} | `{spec.write(spec.default)}` | {_cell(spec.allowed())} | {_cell(spec.option.help)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is out of date")
    check = parser.parse_args().check
    wanted = pages()
    present = {
        str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8")
        for path in (FOLDER / "containers.md", FOLDER / "settings.md", *FOLDER.glob("operations/*.md"))
        if path.exists()
    }
    stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
    if check and stale:
        print(f"docs: out of date: {', '.join(stale)}; run `just docs`", file=sys.stderr)
        return 1
    for name in stale:
        path = FOLDER / name
        if name in wanted:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
