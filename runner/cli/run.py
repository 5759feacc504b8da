"""`runner run`: a video in, a better video out."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from runner.cli import complete
from runner.cli.complete import BACKENDS
from runner.cli.output import print_json, warn
from runner.errors import Interrupted, UsageError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from kernels.pipeline import Result
    from storage.outputs import Output
    from storage.uri import Uri

DEFAULT_CODECS: Final = {"webm": "av1"}
"""Codec by container, where it is not h264."""


def run(
    *,
    source: Annotated[
        str, typer.Argument(metavar="INPUT", path_type=str, help="The video to read: a path, b2://, s3:// or https://.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT", path_type=str, help="The video to write; its ending decides: mp4, mov, mkv or webm."
        ),
    ],
    vf: Annotated[
        str, typer.Option("--vf", metavar="CHAIN", help="Operations in FFmpeg's -vf grammar; see `runner ops`.")
    ] = "",
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            autocompletion=complete.codecs,
            metavar="NAME",
            help="h264, hevc, av1, vp9 or ffv1; default h264, for webm av1.",
        ),
    ] = None,
    crf: Annotated[
        float | None, typer.Option("--crf", metavar="N", help="Quality: lower is better and larger.")
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            autocompletion=complete.presets,
            metavar="NAME",
            help="Speed of the encoder: veryfast, slow, ...; a number for av1 and vp9.",
        ),
    ] = None,
    pix_fmt: Annotated[
        str | None,
        typer.Option(
            "--pix-fmt",
            autocompletion=complete.pixel_formats,
            metavar="NAME",
            help="Pixel format to encode, such as yuv420p10.",
        ),
    ] = None,
    audio_codec: Annotated[
        str,
        typer.Option(
            "--audio-codec",
            autocompletion=complete.audio_codecs,
            metavar="NAME",
            help="copy, or encode audio again: aac, opus, flac, mp3, ac3.",
        ),
    ] = "copy",
    subtitles: Annotated[
        str,
        typer.Option(
            "--subtitles",
            autocompletion=complete.subtitles,
            metavar="WHAT",
            help="copy, drop, or convert to mov_text, srt or ass.",
        ),
    ] = "copy",
    drop_unsupported: Annotated[
        bool, typer.Option("--drop-unsupported", help="Leave out streams that the container cannot carry.")
    ] = False,
    start: Annotated[str | None, typer.Option("--start", metavar="TIME", help="Where to begin: 90 or 1:30.5.")] = None,
    duration: Annotated[
        str | None, typer.Option("--duration", metavar="TIME", help="How much to take, from --start on.")
    ] = None,
    autorotate: Annotated[
        bool, typer.Option("--autorotate/--no-autorotate", help="Rotate the picture as its tag says, or keep the tag.")
    ] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on damaged input instead of concealing it.")] = False,
    overwrite: Annotated[bool, typer.Option("-y", "--overwrite", help="Replace OUTPUT when it exists.")] = False,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            autocompletion=complete.backends,
            metavar="NAME",
            help="cpu or cuda, for all of decoding, filters and encoding; default: what the machine can do.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, help="Threads for filters; default: all cores.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; warnings and errors only.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Read INPUT, run CHAIN on every frame, write OUTPUT.

    Audio, subtitles, chapters, attachments and metadata are copied. OUTPUT appears when it is complete: a run that
    fails or is interrupted leaves nothing behind. Videos in buckets are streamed: nothing of them is stored here.

    \b
    Examples:
      runner run in.mp4 out.mp4 --vf scale=1920:-2
      runner run in.mp4 out.mkv --vf nlmeans=s=3,scale=iw*2:-2:flags=lanczos,cas=0.5
      runner run in.mov out.mp4 --vf format=yuv420p10 --codec hevc --crf 20 --preset slow
      runner run in.mkv out.webm --codec av1 --audio-codec opus --subtitles drop
      runner run in.mp4 cut.mp4 --start 1:30 --duration 10 -y
      runner run b2://bucket/in.mp4 b2://bucket/out.mp4 --vf scale=1920:-2
    """
    from runner.cli.times import parse_length, parse_time

    begin, length = parse_time(start, option="--start"), parse_length(duration, option="--duration")

    from kernels.catalogue import CATALOGUE
    from kernels.chain import format_chain, parse_chain
    from kernels.io.containers import StreamChoices, check_codec, container_of
    from kernels.io.encode import EncodeSettings
    from kernels.pipeline import process
    from kernels.pixel_format import pixel_format
    from runner.identity import job_identity
    from runner.media import check_different, open_input, output_to
    from storage.uri import parse

    if backend is not None and backend not in BACKENDS:
        raise UsageError(f"--backend {backend}: must be {' or '.join(BACKENDS)}")
    steps = parse_chain(vf, CATALOGUE)
    given, wanted = parse(source), parse(target)
    container = container_name(wanted)
    container_of(container)
    encode = EncodeSettings(
        codec=codec or DEFAULT_CODECS.get(container, "h264"),
        crf=crf,
        preset=preset,
        pixel_format=pixel_format(pix_fmt) if pix_fmt is not None else None,
    )
    check_codec(container, encode.codec)
    choices: dict[str, Any] = {
        "container": container,
        "encode": encode,
        "streams": StreamChoices(audio_codec=audio_codec, subtitles=subtitles, drop_unsupported=drop_unsupported),
        "start": begin,
        "duration": length,
        "autorotate": autorotate,
        "strict": strict,
        "backend": backend,
    }
    job = partial(process, chain=steps, threads=threads, **choices)
    check_different(given, wanted)
    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder prints a page on standard error; 1 leaves its errors
    with open_input(given) as file:
        made = job_identity(given, file, chain=format_chain(steps), **choices)
        output = output_to(wanted, overwrite=overwrite, resume=made)
        result = _run_into(output, partial(job, file), quiet=quiet)
    if json:
        print_json(_describe(result, wanted))
    elif not quiet:
        print(f"{wanted}: {result.frames_out} frames in {result.elapsed_s:.1f} s, {result.fps:.1f} fps")


def _run_into(output: Output, job: Callable[..., Result], *, quiet: bool) -> Result:
    """Run `job` with its sink, progress and stop flag; `output` appears only when it ends by itself."""
    from runner.cli.interrupt import run_interruptibly
    from runner.cli.progress import progress_display

    with progress_display(quiet=quiet) as display:

        def work(stop: threading.Event) -> Result:
            with output as sink:
                result = job(sink, on_progress=display.show, stop=stop)
                if stop.is_set():
                    raise Interrupted
                return result

        def discard() -> None:
            output.discard()
            display.close()

        result: Result = run_interruptibly(work, discard=discard)
    for warning in result.warnings:
        warn(warning)
    return result


def container_name(target: Uri) -> str:
    """The container that the ending of `target` asks for, in lower case; `process` knows which there are."""
    if getattr(target, "folder", False):
        raise UsageError(f"{target} is a folder; give the name of a file in it")
    name = target.suffix.removeprefix(".").lower()
    if not name:
        raise UsageError(f"{target} has no ending to tell the container by; name it .mp4, .mov, .mkv or .webm")
    return name


def _describe(result: Result, target: Uri) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "frames_in": result.frames_in,
        "frames_out": result.frames_out,
        "damaged_packets": result.damaged_packets,
        "elapsed_s": round(result.elapsed_s, 3),
        "fps": round(result.fps, 2),
        "backend": result.backend,
        "decoder": result.decoder,
        "encoder": result.encoder,
        "output": str(target),
        "stages": [asdict(stage) for stage in result.stages],
        "warnings": list(result.warnings),
    }
