"""`runner compare`: how far two videos lie apart."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from runner.cli.output import print_json, print_rows, warn
from runner.errors import Interrupted, UsageError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from fractions import Fraction

    from kernels.compare import Comparison, FrameScore
    from runner.cli.progress import ProgressDisplay
    from runner.report import ReportPicture
    from storage.uri import Uri

PAGE_ENDINGS: Final = (".html", ".htm")


class _Span(NamedTuple):
    """The part of both videos that is compared, in seconds."""

    start: Fraction | None
    duration: Fraction | None


def compare(
    *,
    a: Annotated[str, typer.Argument(metavar="A", path_type=str, help="The video to judge: a path or a URL.")],
    b: Annotated[
        str, typer.Argument(metavar="B", path_type=str, help="The reference, of the same size and pixel format.")
    ],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with a before/after slider.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="TIME", help="Where to begin in both: 90 or 1:30.5.")
    ] = None,
    duration: Annotated[str | None, typer.Option("--duration", metavar="TIME", help="How much to compare.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; warnings and errors only.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with a score for every frame.")] = False,
) -> None:
    """Measure PSNR and SSIM for every plane and frame, as FFmpeg defines them.

    \b
    Examples:
      runner compare restored.mp4 original.mp4
      runner compare restored.mp4 original.mp4 --html report.html
      runner compare restored.mp4 original.mp4 --start 1:30 --duration 10 --json
    """
    from runner.cli.times import parse_length, parse_time

    span = _Span(start=parse_time(start, option="--start"), duration=parse_length(duration, option="--duration"))
    if html is not None:
        _check_page(html)

    from runner.cli.interrupt import run_interruptibly
    from runner.cli.progress import progress_display
    from storage.uri import parse

    first, second = parse(a), parse(b)
    with progress_display(quiet=quiet) as display:

        def work(stop: threading.Event) -> Comparison:
            found = _compare(first, second, span, display, stop)
            if html is not None:
                _write_page(html, first, second, span, found)
            return found

        found: Comparison = run_interruptibly(work, discard=display.close)
    for warning in found.warnings:
        warn(warning)
    if json:
        print_json(found.to_json())
    else:
        _print(found, html)


def _check_page(html: Path) -> None:
    """Refuse before the work what cannot be written after it."""
    from storage.errors import OutputFolderError

    if html.suffix.lower() not in PAGE_ENDINGS:
        raise UsageError(f"--html {html}: the page must be named .html, so that it never replaces a video")
    if not html.parent.is_dir():
        raise OutputFolderError(f"{html.parent} is no folder; create it (mkdir -p) or write elsewhere")


def _compare(a: Uri, b: Uri, span: _Span, display: ProgressDisplay, stop: threading.Event) -> Comparison:
    from kernels.compare import compare as compare_videos
    from kernels.pipeline import Progress
    from runner.media import open_input

    began = monotonic()

    def on_frame(score: FrameScore) -> None:
        if stop.is_set():
            raise Interrupted
        count, elapsed_s = score.n + 1, max(monotonic() - began, 1e-9)
        display.show(Progress(phase="comparing", frames_out=count, fps=count / elapsed_s))

    with open_input(a) as first, open_input(b) as second:
        return compare_videos(first, second, start=span.start, duration=span.duration, on_frame=on_frame)


def _write_page(html: Path, a: Uri, b: Uri, span: _Span, found: Comparison) -> None:
    from runner.report import choose_frames, write_report
    from storage.errors import WriteError

    names = (a.name, b.name) if a.name != b.name else (str(a), str(b))
    pictures = list(_pictures((a, b), names, span, choose_frames(found)))
    try:
        write_report(html, {names[0]: found}, pictures, title=f"{names[0]} against {names[1]}")
    except OSError as error:
        raise WriteError.from_os(html, error) from error


def _pictures(
    videos: tuple[Uri, Uri], names: tuple[str, str], span: _Span, labels: dict[int, str]
) -> Iterator[ReportPicture]:
    """The frames worth looking at, from a second reading: keeping all frames of the first would fill the memory."""
    from kernels.io.reader import open_video
    from runner.media import open_input
    from runner.report import ReportPicture

    with (
        open_input(videos[0]) as a,
        open_input(videos[1]) as b,
        open_video(a, start=span.start, duration=span.duration) as first,
        open_video(b, start=span.start, duration=span.duration) as second,
    ):
        for n, pair in enumerate(zip(first, second, strict=False)):
            if n in labels:
                yield ReportPicture(label=labels[n], n=n, frames=dict(zip(names, pair, strict=True)))
            if n >= max(labels):
                return


def _print(found: Comparison, html: Path | None) -> None:
    print(f"{found.frames} frames of {found.width}x{found.height} {found.pixel_format}")
    rows: list[tuple[str, ...]] = [("", *found.psnr.keys())]
    rows.append(("PSNR", *(f"{value:.4f}" for value in found.psnr.values()), "dB"))
    rows.append(("SSIM", *(f"{value:.6f}" for value in found.ssim.values()), ""))
    print_rows(rows)
    if html is not None:
        print(f"\nOpen {html} in a browser.")
