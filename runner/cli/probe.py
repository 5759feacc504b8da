"""`runner probe`: what a file holds, as the pipeline will see it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.output import print_json


def probe(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to look into.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show the streams of a file: sizes, rates, colour, HDR, field order, rotation.

    \b
    Examples:
      runner probe film.mkv
      runner probe film.mkv --json
    """
    from kernels.io.source import probe as probe_file

    info = probe_file(file)
    print_json(info.to_json())
