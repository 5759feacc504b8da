"""`runner plan`: what a chain will do to a file, without doing it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from runner.cli import complete
from runner.cli.output import print_json, print_rows, size_text


def plan(
    *,
    source: Annotated[
        str, typer.Argument(metavar="INPUT", path_type=str, help="The video to plan for: a path or a URL.")
    ],
    vf: Annotated[str, typer.Option("--vf", metavar="CHAIN", help="Operations, as for `runner run`.")],
    codec: Annotated[
        str,
        typer.Option("--codec", autocompletion=complete.codecs, metavar="NAME", help="Codec that the frames go to."),
    ] = "h264",
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            "--pix-fmt",
            autocompletion=complete.pixel_formats,
            metavar="NAME",
            help="Pixel format to encode; default: what fits the chain.",
        ),
    ] = None,
    autorotate: Annotated[
        bool, typer.Option("--autorotate/--no-autorotate", help="Rotate as the input's tag says, as `run` does.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show the stages a chain becomes, with the pixel formats and the bytes each reads and writes.

    The last line says what that is on a GPU between its decoder and its encoder; none is needed here.

    \b
    Examples:
      runner plan in.mp4 --vf scale=iw*2:-2,cas=0.6
      runner plan in.mkv --vf colorspace=all=bt709 --codec hevc --pix-fmt yuv420p10
      runner plan in.mkv --vf format=yuv444p --json
    """
    from kernels.catalogue import CATALOGUE
    from kernels.chain import parse_chain
    from kernels.device_plan import describe_device
    from kernels.io.encode import EncodeSettings, encoder_pixel_format
    from kernels.io.info import read_format
    from kernels.pixel_format import pixel_format
    from kernels.plan import plan_chain
    from runner.media import open_input
    from storage.uri import parse

    steps = parse_chain(vf, CATALOGUE)
    encode = EncodeSettings(codec=codec, pixel_format=pixel_format(pix_fmt) if pix_fmt is not None else None)
    with open_input(parse(source)) as opened:
        format_in, rotation = read_format(opened)
    if autorotate:
        steps = (*parse_chain(rotation, CATALOGUE), *steps)
    chosen = encoder_pixel_format(encode, plan_chain(format_in, steps).target.pixel_format)
    planned = plan_chain(format_in, steps, pixel_format=chosen)
    described = {**planned.describe(), "cuda": describe_device(planned)}
    if json:
        print_json(described)
    else:
        _print(described)


def _print(described: dict[str, Any]) -> None:
    print(f"in   {described['source']}")
    print_rows((_row(number, stage) for number, stage in enumerate(described["stages"], 1)), indent="  ")
    print(f"out  {described['target']}")
    print(f"gpu  {_gpu_line(described['cuda'])}")


def _gpu_line(figures: dict[str, Any]) -> str:
    """What the device runs for a frame, in words."""
    if "unavailable" in figures:
        return str(figures["unavailable"])
    launches, nodes = int(figures["launches"]), int(figures["graph_nodes"])
    counts = f"{launches} launch{'es' * (launches != 1)}, {nodes} graph node{'s' * (nodes != 1)}"
    moved = f"{figures['bytes_per_pixel']:g} bytes per pixel, {size_text(figures['bytes_per_frame'])}"
    memory = f"up to {size_text(figures['memory_bytes'])} of GPU memory"
    frames = int(figures["frames_per_launch"])
    each = "a frame" if frames == 1 else f"for {frames} frames together"
    return f"{counts} {each}; {moved} a frame; {memory}"


def _row(number: int, stage: dict[str, Any]) -> tuple[str, ...]:
    moved = f"reads {stage['read_bytes_per_pixel']:g}, writes {stage['write_bytes_per_pixel']:g} bytes per pixel"
    dithers = ", dithers" if stage["dither"] else ""
    return str(number), stage["steps"], f"{stage['from']} -> {stage['to']}", moved + dithers
