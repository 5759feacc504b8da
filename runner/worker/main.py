"""The work on one machine, from the boot document to the done marker; its watchdog is the process that started it."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from kernels.errors import KernelsError, UnavailableError
from runner.errors import MissingInputError, RefusedPlaceError, RunnerError, WorkerError
from runner.records import Done, WorkPlan
from runner.source_index import unpack_index
from runner.worker.boot import KeyAccess, job_notes, load_boots, write_private
from runner.worker.events import LogBuffer, Reporter, Vital
from runner.worker.finalise import Joiner
from runner.worker.kept import Kept
from runner.worker.notes import first_start_s
from runner.worker.probe import GiveUpError, probe
from runner.worker.redact import Redactor
from runner.worker.refusal import Trials, check_places, find_refusal
from runner.worker.segments import SegmentWork
from runner.worker.with_keys import KeyWorkspace
from runner.worker.with_urls import UrlWorkspace
from storage.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from runner.records import Commit
    from runner.worker.boot import Boot
    from runner.worker.workspace import Workspace

log = logging.getLogger(__name__)

DONE: Final = 0
GIVEN_UP: Final = 75
"""Nothing more will come of this machine, and a restart would change nothing (EX_TEMPFAIL of sysexits.h)."""
STARTED: Final = "FRAMEHAUL_STARTED_S"
"""When the machine's first process began, seconds since 1970."""
LIFELINE: Final = "FRAMEHAUL_LIFELINE"
"""Set by the watchdog: standard input ends when the watchdog does, and then this process does."""


def work(location: str, notes: Path) -> int:
    """Do all that is left of the jobs whose boot document is at `location`; the exit code for the watchdog."""
    started_s = float(os.environ.get(STARTED, time.time()))
    if os.environ.get(LIFELINE):
        threading.Thread(target=_end_with_watchdog, name="lifeline", daemon=True).start()
    redact = Redactor([location if "?" in location else "", os.environ.get("CONTAINER_API_KEY", "")])
    _start_logging(redact)
    vital = Vital(notes)
    try:
        boots = load_boots(location, notes)
    except (StorageError, WorkerError) as error:
        log.error("%s", error)  # noqa: TRY400 - the line says it all
        return GIVEN_UP
    for boot in boots:
        redact.add(boot.secrets())
    write_private(notes / "limits.json", json.dumps(_limits(boots[0], notes)).encode())
    vital.keep_beating()
    for number, boot in enumerate(boots):
        vital.begin_job(job_notes(notes, number))
        code = _do(boot, vital, redact, started_s)
        if code != DONE:
            return code
    return DONE


def _do(boot: Boot, vital: Vital, redact: Redactor, started_s: float) -> int:
    """One job."""
    lines = _start_logging(redact)
    workspace = open_workspace(boot)
    report = Reporter(workspace, boot.worker, vital, lines, redact, deadline_s=boot.deadline_s)
    try:
        return _work(boot, workspace, report, started_s)
    except (GiveUpError, UnavailableError) as error:
        log.warning("this machine is given up: %s", error)
        report.say("giving-up", str(error))
    except (KernelsError, MissingInputError, RefusedPlaceError) as error:
        return _fail_job(boot, workspace, report, error)
    except (StorageError, RunnerError) as error:
        if (refusal := find_refusal(boot, error)) is not None:
            return _fail_job(boot, workspace, report, refusal)
        log.error("the work failed: %s", error)  # noqa: TRY400 - as above
        report.say("failed", str(error))
    except Exception as error:  # the edge of the process: the watchdog has to be told, whatever happened
        log.exception("an unexpected fault")
        report.say("failed", f"unexpected {type(error).__name__}: {error}")
    return GIVEN_UP


def open_workspace(boot: Boot) -> Workspace:
    """The run's folder as this machine may reach it."""
    access = boot.access
    return KeyWorkspace(boot, access) if isinstance(access, KeyAccess) else UrlWorkspace(boot, access)


def _work(boot: Boot, workspace: Workspace, report: Reporter, started_s: float) -> int:
    if _is_done(boot, workspace):
        log.info("run %s is done already", boot.run)
        return DONE
    report.say("booting")
    plan = _read_plan(boot, workspace)
    index = unpack_index(workspace.read_index(), digest=plan.index_digest)
    report.say("probing")
    found = probe(workspace, plan)
    check_places(boot)
    log.info("%s", found)
    report.say("processing", found)
    kept, trials = Kept(), Trials(boot)
    with Joiner(workspace, plan, index, report, kept=kept) as joiner:

        def take(commit: Commit) -> None:
            joiner.take(commit)
            trials.tick()

        SegmentWork(workspace, plan, index, boot.worker, report, kept=kept, on_commit=take).run()
        joiner.finish()
    if report.first_frame_s is not None:
        log.info("first frame %.1f s after the start", report.first_frame_s - started_s)
    return DONE


def _is_done(boot: Boot, workspace: Workspace) -> bool:
    data = workspace.read_done()
    try:
        return data is not None and Done.model_validate_json(data).plan == boot.plan_digest
    except ValidationError:
        return False


def _read_plan(boot: Boot, workspace: Workspace) -> WorkPlan:
    """Raises `WorkerError` for any plan but the one that this machine was started for."""
    try:
        plan = WorkPlan.model_validate_json(workspace.read_plan())
    except ValidationError as error:
        wrong = ".".join(str(part) for part in error.errors()[0]["loc"]) or "content"
        raise WorkerError(f"the plan has no sound {wrong}: image and runner must be of one version") from None
    if plan.run != boot.run or plan.digest != boot.plan_digest:
        raise WorkerError(f"the plan of {boot.run} is not the one that this machine was started for")
    return plan


def _fail_job(boot: Boot, workspace: Workspace, report: Reporter, error: Exception) -> int:
    """The job itself is at fault: no other machine should try it again. The exit code, as of `work`."""
    from runner.cli.exit_codes import exit_code

    log.error("the job cannot be done: %s", error)
    code = exit_code(error)
    done = Done(plan=boot.plan_digest, ok=False, frames=0, message=str(error)[:2000], exit_code=int(code or 1))
    try:
        workspace.put_done(done.model_dump_json().encode())
    except StorageError as failure:  # whose keys are dead, or whose bucket is gone, has no say
        log.error("that cannot be told: %s", failure)  # noqa: TRY400 - the line says it all
        return GIVEN_UP
    report.say("failed", str(error))
    return DONE


def _limits(boot: Boot, notes: Path) -> dict[str, Any]:
    """What the watchdog has to know."""
    return {
        "provider": boot.provider,
        "deadline_s": boot.ends_s(first_start_s(notes) or time.time()),
        "idle_s": boot.idle_s,
        "stall_s": boot.stall_s,
    }


def _start_logging(redact: Redactor) -> LogBuffer:
    """Every record goes, redacted, to standard error and into the log that is stored."""

    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return redact(super().format(record).replace("\n", "\n  "))

    printed = logging.StreamHandler(sys.stderr)
    printed.setFormatter(Formatter("%(asctime)s %(name)s: %(message)s"))
    lines = LogBuffer(redact)
    for name in ("runner", "storage", "kernels"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handlers[:] = [printed, lines]
    return lines


def _end_with_watchdog() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would outlive the interpreter
        pass
    os._exit(GIVEN_UP)
