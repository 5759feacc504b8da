"""The `runner` command: its groups, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.bench import bench
from runner.cli.compare import compare
from runner.cli.config import config
from runner.cli.cp import cp
from runner.cli.demo import demo
from runner.cli.doctor import doctor
from runner.cli.exit_codes import ExitCode, exit_code
from runner.cli.follow import attach, cancel, logs, resume
from runner.cli.gc import gc
from runner.cli.interrupt import end_on_signals, ignore_signals
from runner.cli.ls import ls
from runner.cli.offers import offers
from runner.cli.ops import ops
from runner.cli.output import one_line
from runner.cli.plan import plan
from runner.cli.presign import presign
from runner.cli.probe import probe
from runner.cli.ps import ps
from runner.cli.reap import reap
from runner.cli.rm import rm
from runner.cli.run import run
from runner.cli.stat import stat
from runner.cli.submit import submit
from runner.cli.worker import worker

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    name="runner",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command, summary in (
    (run, "Filter a video into another one."),
    (submit, "Do the same on a rented machine."),
    (offers, "List machines that could be rented."),
    (ps, "List runs on rented machines."),
    (attach, "Follow a run to its end."),
    (logs, "Print what a run's workers wrote."),
    (cancel, "End a run and its machines."),
    (resume, "Go on with a run where it stopped."),
    (reap, "Destroy machines that nobody needs."),
    (probe, "Show what a file holds."),
    (plan, "Show what a chain will do to a file."),
    (ops, "List the operations and their options."),
    (compare, "Measure how far two videos lie apart."),
    (doctor, "Show what this machine can do."),
    (bench, "Measure how fast this machine is."),
    (demo, "See all of it on a clip it makes itself."),
    (ls, "List objects in a bucket or a folder."),
    (stat, "Show what is known about one object."),
    (cp, "Copy objects: up, down, between stores."),
    (rm, "Delete objects, or versions of them."),
    (presign, "Print a URL that lets others read an object."),
    (gc, "Find what is stored and of no use."),
):
    app.command(short_help=summary)(command)
app.add_typer(config, name="config")
app.command(hidden=True)(worker)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"framehaul {version('framehaul')}")
        raise typer.Exit


@app.callback()
def runner(
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from, and what is tried again (works anywhere).")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Restore video: decode, filter, encode.

    \b
    Start here:
      runner demo                                     see what it does, in a minute
      runner run in.mp4 out.mp4 --vf scale=1920:-2    scale a video to 1920 columns
      runner run b2://bucket/in.mp4 b2://bucket/out.mp4 --vf cas=0.5
      runner ops                                      list the operations a chain is made of
      runner COMMAND --help                           options and examples of one command

    \b
    Exit codes:
      0 done       1 fault in the program   2 usage       3 input
      4 storage    5 provider               6 a rented machine may still be billing
      7 backend or codec missing            130 interrupted
    """
    from runner.dotenv import load_dotenv

    del debug, version  # `main` and `_print_version` have seen to them
    load_dotenv(Path.cwd(), os.environ)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; what `runner.cli.main` calls."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    if arguments is None and not (debug or sys.warnoptions):
        warnings.simplefilter("ignore")  # those of libraries are for developers; ours are printed as lines
    if arguments is None and debug:
        _log_tries()
    _print_any_name()
    held: list[BaseException] = []
    code = _run([word for word in given if word != "--debug"] or ["--help"], held, debug=debug)
    if arguments is None:
        ignore_signals()
    flushed = _flush(debug=debug)  # what was found before something failed is worth reading too
    code = code or flushed
    if held and arguments is None:
        # A failed job leaves an encoder with frames in it. Closing it as the interpreter ends can take half a
        # minute, so the process ends while the error still holds it.
        sys.stderr.flush()
        os._exit(code)
    return code


def _run(words: list[str], held: list[BaseException], *, debug: bool) -> int:
    """The exit code of one command; what it raised goes into `held`."""
    try:
        end_on_signals()
        status = typer.main.get_command(app).main(words, prog_name="runner", standalone_mode=False)
    except typer.TyperException as error:
        return _report_usage(error)
    except SystemExit as request:  # completion scripts, and a reader that closed the pipe
        return request.code if isinstance(request.code, int) else ExitCode.DONE
    except Exception as error:  # noqa: BLE001 - the edge of the process: nothing may pass but a line and a code
        held.append(error)
        return _report(error, debug=debug)
    except KeyboardInterrupt:
        status = ExitCode.INTERRUPTED
    if status == ExitCode.INTERRUPTED:
        print("runner: interrupted", file=sys.stderr)
    return status if isinstance(status, int) else ExitCode.DONE


def _flush(*, debug: bool) -> int:
    """Print what is still waiting; the exit code of what stands in the way, 0 when nothing does."""
    if sys.stdout is None:
        return ExitCode.DONE
    try:
        sys.stdout.flush()
    except OSError as error:
        # What could not be printed must not be tried again when the interpreter ends.
        with suppress(OSError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        # A closed pipe is a reader that has seen enough.
        return ExitCode.DONE if isinstance(error, BrokenPipeError) else _report(error, debug=debug)
    return ExitCode.DONE


def _log_tries() -> None:
    """With --debug, say what is tried again and why, by the store or by the provider."""
    import logging

    logging.basicConfig(format="%(name)s: %(message)s")
    for package in ("storage", "runner"):
        logging.getLogger(package).setLevel(logging.INFO)


def _print_any_name() -> None:
    """File names may hold bytes that are no text: show those as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _report_usage(error: typer.TyperException) -> int:
    """One line for a command line that Typer refused, and where to read more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "runner"
    print(f"runner: {error.format_message().rstrip('.')}; see `{command} --help`", file=sys.stderr)
    return ExitCode.USAGE


def _report(error: Exception, *, debug: bool) -> int:
    """One line for what went wrong; the lines of the chain with it when the chain is at fault."""
    if debug:
        import traceback

        traceback.print_exception(error)
    from storage.errors import WriteError

    code = exit_code(error)
    if code is None and isinstance(error, OSError) and WriteError.explains(error):
        # Raised past the places that know what was written: by print, or by Numba's cache.
        path = Path(error.filename or "standard output or the kernel cache")
        error, code = WriteError.from_os(path, error), ExitCode.OUTPUT
    if code is not None:
        # Machines and hosts have their say in messages, and lines of a chain are lines.
        print("\n".join(map(one_line, f"runner: {error}".split("\n"))), file=sys.stderr)
        return code
    told = str(error).splitlines()
    what = f"{type(error).__name__}: {one_line(told[0])}" if told else type(error).__name__
    advice = "" if debug else "; run it again with --debug to see where, and please report it"
    print(f"runner: unexpected {what}{advice}", file=sys.stderr)
    return ExitCode.UNEXPECTED
