"""`runner cp`: objects and files, from anywhere to anywhere."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runner.cli.output import one_line, print_json, size_text
from runner.errors import UsageError

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from runner.cli.progress import Line
    from runner.copying import Amount, Copy
    from storage.store import ObjectInfo


def cp(
    *,
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", path_type=str, help="Files, objects or web pages; with -r also folders."),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", path_type=str, help="A name, or a folder or prefix with / at its end.")
    ],
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Copy all of a folder, or all that matches a pattern.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("-y", "--overwrite", help="Replace targets that exist.")] = False,
    update: Annotated[
        bool, typer.Option("-u", "--update", help="Replace those that differ in size or are older; skip the others.")
    ] = False,
    version_id: Annotated[
        str | None, typer.Option("--version-id", metavar="ID", help="Copy that version of the one SOURCE.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume/--no-resume", help="Go on where an earlier copy stopped, and leave that to a later."),
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; warnings and errors only.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Copy objects and files: up, down, and between stores.

    A target appears once all of it is there. A copy that was interrupted, killed or cut off goes on where it
    stopped when the same command is given again. With -r, SOURCE/ copies what is in a folder, SOURCE the folder.

    \b
    Examples:
      runner cp film.mp4 b2://bucket/clips/
      runner cp b2://bucket/clips/film.mp4 film.mp4
      runner cp -r clips/ b2://bucket/clips/ --update
      runner cp -r 'b2://bucket/clips/**/*.mp4' here/
      runner cp b2://bucket/film.mp4 's3://other/film.mp4?endpoint=https://s3.example.com'
    """
    from runner.copying import check_free, plan_copies

    if version_id is not None and (recursive or len(sources) > 1):
        raise UsageError("--version-id is for one SOURCE, without -r")
    planned = plan_copies(sources, target, recursive=recursive, version=version_id)
    copies = [copy for copy in planned if not (update and copy.is_done)]
    if not (overwrite or update):
        check_free(copies)
    began = monotonic()
    done = _run(copies, overwrite=overwrite or update, resume=resume, quiet=quiet)
    moved = sum(copy.source.info.size_bytes for copy in copies)
    elapsed_s = monotonic() - began
    skipped = len(planned) - len(copies)
    if json:
        print_json(
            {
                "copied": [_describe(copy, info) for copy, info in zip(copies, done, strict=True)],
                "skipped": skipped,
                "bytes": moved,
                "elapsed_s": round(elapsed_s, 3),
            }
        )
    elif not quiet:
        print(_summary(copies, skipped, moved, elapsed_s))


def _run(copies: Sequence[Copy], *, overwrite: bool, resume: bool, quiet: bool) -> list[ObjectInfo]:
    from runner.cli.interrupt import run_interruptibly
    from runner.cli.progress import progress_display
    from runner.copying import copy_all
    from runner.media import INTERRUPTED_S
    from runner.uploads import OpenUploads

    uploads = None if resume else OpenUploads()
    with progress_display(quiet=quiet) as display:

        def work(stop: threading.Event) -> list[ObjectInfo]:
            return copy_all(
                copies,
                overwrite=overwrite,
                uploads=uploads,
                stop=stop,
                on_progress=lambda amount: display.show_line(progress_line(amount)),
            )

        def discard() -> None:
            if uploads is not None:
                uploads.abort(INTERRUPTED_S)
            display.close()

        done: list[ObjectInfo] = run_interruptibly(work, discard=discard)
    return done


def progress_line(amount: Amount) -> Line:
    """`copying  12.3 MB of 50.0 MB  25 %  4.0 MB/s  0:00:09 left`."""
    from runner.cli.progress import Line

    return Line(
        phase="copying",
        done=amount.done_bytes,
        total=amount.total_bytes,
        amount=f"{size_text(amount.done_bytes)} of {size_text(amount.total_bytes)}",
        speed=f"{size_text(amount.bytes_per_s)}/s" if amount.bytes_per_s > 0 else "",
        eta_s=amount.eta_s,
    )


def _describe(copy: Copy, info: ObjectInfo) -> dict[str, Any]:
    return {
        "source": copy.source_name,
        "target": copy.target_name,
        "size_bytes": info.size_bytes,
        "etag": info.etag,
        "version": info.version,
    }


def _summary(copies: Sequence[Copy], skipped: int, moved: int, elapsed_s: float) -> str:
    what = one_line(copies[0].target_name) if len(copies) == 1 else f"{len(copies)} objects copied"
    speed = f", {size_text(moved / elapsed_s)}/s" if copies and elapsed_s > 0 else ""
    left = f"; {skipped} were there already" if skipped else ""
    return f"{what}: {size_text(moved)} in {elapsed_s:.1f} s{speed}{left}"
