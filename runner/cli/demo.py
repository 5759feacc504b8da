"""`runner demo`: the whole of it on a clip that it makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    *,
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder for the results.")] = Path("demo"),
) -> None:
    """Make a noisy, low-resolution clip with sound, restore it, and compare it with its clean original.

    It needs no video of yours, and says at the end which files to look at.

    \b
    Examples:
      runner demo
      runner demo /tmp/demo
    """
    from runner.demo import run_demo

    run_demo(directory, say=typer.echo)
