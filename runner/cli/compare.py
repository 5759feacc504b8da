"""`runner compare`: how far two videos lie apart."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    *,
    a: Annotated[Path, typer.Argument(metavar="A", help="The video to judge.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The reference; of the same size.")],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with a before/after slider.")
    ] = None,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="Where to begin: 90 or 1:30.5.")] = None,
    duration: Annotated[str | None, typer.Option("--duration", metavar="TIME", help="How much to compare.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Measure PSNR and SSIM for every plane and frame, as FFmpeg defines them.

    \b
    Examples:
      runner compare restored.mp4 original.mp4
      runner compare restored.mp4 original.mp4 --html report.html
      runner compare restored.mp4 original.mp4 --start 1:30 --duration 10 --json
    """
    raise NotImplementedError
