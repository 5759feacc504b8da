"""`runner worker`: what a rented machine runs. Not for people, so it is in no list of commands."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from runner.errors import UsageError


def worker(
    *,
    boot: Annotated[
        str | None,
        typer.Option("--boot", metavar="PATH", help="The boot document, where FRAMEHAUL_BOOT_URL is not set."),
    ] = None,
    work: Annotated[
        bool, typer.Option("--work", help="Do the work; without it, watch over a child that does.")
    ] = False,
    health: Annotated[
        bool, typer.Option("--health", help="Say whether the worker here is well: exit code 0 or 1.")
    ] = False,
) -> int:
    """Process segments of one run until all are done, then join them.

    Started by a watchdog of its own, which ends the machine. FRAMEHAUL_BOOT_URL is one short-lived URL of a document
    that says everything else.
    """
    from runner.clock import SystemClock
    from runner.worker.notes import VARIABLE, notes_folder

    location = boot or os.environ.get(VARIABLE, "")
    if not location:
        raise UsageError(f"runner worker needs {VARIABLE} or --boot; it is started by `runner submit`")
    notes = notes_folder(location)
    if health:
        import time

        from runner.worker.notes import why_unhealthy

        problem = why_unhealthy(notes, now_s=time.time())
        print(problem or "well")
        return int(bool(problem))
    if work:
        from runner.worker.main import work as do_work

        return do_work(location, notes)
    from runner.worker.watchdog import watch

    return watch(location, notes, SystemClock())
