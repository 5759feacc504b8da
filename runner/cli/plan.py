"""`runner plan`: what a chain will do to a file, without doing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.output import print_json, print_rows


def plan(
    *,
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="The video to plan for.")],
    vf: Annotated[str, typer.Option("--vf", metavar="CHAIN", help="Operations, as for `runner run`.")],
    pix_fmt: Annotated[
        str | None, typer.Option("--pix-fmt", metavar="NAME", help="Pixel format to end in; default: the chain's.")
    ] = None,
    autorotate: Annotated[
        bool, typer.Option("--autorotate/--no-autorotate", help="Rotate as the input's tag says, as `run` does.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show the stages a chain becomes, with the pixel formats and the bytes each reads and writes.

    \b
    Examples:
      runner plan in.mp4 --vf scale=iw*2:-2,cas=0.6
      runner plan in.mkv --vf format=yuv420p10 --json
    """
    from kernels.catalogue import CATALOGUE
    from kernels.chain import parse_chain
    from kernels.io.source import probe
    from kernels.pixel_format import pixel_format
    from kernels.plan import plan_chain

    steps = parse_chain(vf, CATALOGUE)
    wanted = pixel_format(pix_fmt) if pix_fmt is not None else None
    format_in = probe(source).video_format(autorotate=autorotate)
    described = plan_chain(format_in, steps, pixel_format=wanted).describe()
    if json:
        print_json(described)
        return
    print(f"in   {described['source']}")
    stages = described["stages"]
    rows = [
        (
            f"{i}",
            stage["steps"],
            f"{stage['from']} -> {stage['to']}",
            f"reads {stage['read_bytes_per_pixel']:g}, writes {stage['write_bytes_per_pixel']:g} bytes per pixel"
            + (", dithers" if stage["dither"] else ""),
        )
        for i, stage in enumerate(stages, 1)
    ]
    print_rows(rows, indent="  ")
    print(f"out  {described['target']}")
