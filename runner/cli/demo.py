"""`runner demo`: the whole of it on a clip that it makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import threading

    from runner.demo import DemoResult


def demo(
    *,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the results; files of an earlier demo are replaced.")
    ] = Path("demo"),
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; the steps and the result only.")] = False,
) -> None:
    """Make a noisy, low-resolution clip with sound, restore it, and compare it with its clean original.

    It needs no video of yours, and says at the end which files to look at.

    \b
    Examples:
      runner demo
      runner demo /tmp/demo
    """
    from runner.cli.interrupt import run_interruptibly
    from runner.cli.progress import progress_display
    from runner.demo import run_demo

    with progress_display(quiet=quiet) as display:

        def work(stop: threading.Event) -> DemoResult:
            return run_demo(directory, say=print, on_progress=display.show, stop=stop)

        run_interruptibly(work, discard=display.close)
