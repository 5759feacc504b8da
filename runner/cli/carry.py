"""Carrying a run through on a terminal: what `submit` and `resume` share."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from runner.cli.output import one_line, print_json, size_text, warn
from runner.cli.progress import Line, progress_display

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from runner.cli.progress import ProgressDisplay
    from runner.clock import StopRequest
    from runner.fleet import Conductor
    from runner.job import Access, Job
    from runner.provider import Instance, Provider
    from runner.records import Done
    from runner.standing import Choice, Standing
    from runner.submission import Submitted

STOPPING = "runner: stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a run is carried through."""

    quiet: bool = False
    json: bool = False
    rents: bool = True
    """Whether machines that are lost are replaced."""
    detaches: bool = False
    """Whether it is left to itself once a machine is at work."""
    unattended: Literal["cancel", "detach"] = "cancel"
    """What a request to stop means where nobody can be asked."""


def carry(
    run: Submitted, provider: Provider, stop: StopRequest, *, manner: Manner, adopted: Sequence[Instance] = ()
) -> None:
    """Follow `run` to its end, print what became of it, and leave nothing running. Raises what ended it."""
    display = progress_display(quiet=manner.quiet or manner.json)
    result = carry_quietly(run, provider, stop, adopted=adopted, manner=manner, display=display)
    if manner.json:
        print_json(result)
    elif not manner.quiet:
        print(_summary(result))


def carry_quietly(
    run: Submitted,
    provider: Provider,
    stop: StopRequest,
    *,
    manner: Manner,
    display: ProgressDisplay,
    adopted: Sequence[Instance] = (),
) -> dict[str, Any]:
    """As `carry`, without printing the result: what `--json` shows."""
    from runner.access import RunAccess
    from runner.cli.places import open_market
    from runner.errors import Interrupted
    from runner.fleet import Conductor
    from runner.follow import Follower
    from runner.standing import Outcome
    from runner.submission import choose

    started_s = time.time()
    plan, ticket = run.plan, run.ticket
    job = make_job(run, provider, RunAccess(run.bucket, plan, provider=provider.name))  # type: ignore[arg-type]
    with display:
        conductor = Conductor(
            job,
            open_market(provider, stop),
            Follower(run.bucket, plan),
            choose=lambda shunned, spent, done: choose(
                provider, plan, ticket, run.facts, now_s=time.time(), spent=spent, shunned=shunned, done=done
            ),
            show=shower(display),
            ask=lambda: ask_what_next(plan.run, display, manner),
        )
        try:
            outcome = conductor.conduct(adopted, rents=manner.rents, detaches=manner.detaches)
        except Interrupted:
            if not manner.rents:
                raise
            outcome = Outcome.CANCELLED
        except BaseException:  # whatever it is must take back what the machines were given
            if manner.rents:  # who only looked on ends no run: another machine may carry it on
                _give_up(run, conductor, "failed")
            raise
        if outcome is Outcome.DETACHED:
            return _describe(run, conductor, "detached", started_s)
        if outcome is Outcome.CANCELLED:
            _give_up(run, conductor, "cancelled")
            display.say(f"{plan.run} is cancelled; `runner resume {plan.run}` goes on with what is done")
            raise Interrupted
        return _finish(run, conductor, display, started_s, stop)


def make_job(run: Submitted, provider: Provider, access: Access) -> Job:
    """`run` as a conductor takes it, with the rhythm that suits the provider."""
    from runner.images import default_image
    from runner.job import Job

    local = not provider.costs
    return Job(
        plan=run.plan,
        ticket=run.ticket,
        bucket=run.bucket,
        access=access,
        image="local" if local else run.plan.spec.image or default_image(),
        image_login=_image_login(),
        poll_s=0.3 if local else 3.0,
        ask_s=1.0 if local else 12.0,
        least_s=1.0 if local else 120.0,
    )


def _finish(
    run: Submitted, conductor: Conductor, display: ProgressDisplay, started_s: float, stop: StopRequest
) -> dict[str, Any]:
    """Take back what was given, bring the output to where it is wanted, delete what only the work needed."""
    from runner.submission import tidy

    done = conductor.done
    assert done is not None
    if done.ok:  # before the output is fetched, which may take hours and fail
        take_back(run.plan.run, conductor.job.access)
    else:
        _give_up(run, conductor, "failed", done.message)
    delivered = deliver_done(run, done, display, check=stop.check)
    _give_up(run, conductor, "finished")
    tidy(run.bucket, run.ticket, delivered=delivered, now_s=time.time())
    return _describe(run, conductor, "done", started_s)


def deliver_done(run: Submitted, done: Done, display: ProgressDisplay, *, check: Callable[[], object]) -> bool:
    """Check what the worker says it has made, and copy it to where it is wanted; whether that could be done here.

    Raises `JobFailedError` for a job that failed, `WorkerError` for an output that is not what was told,
    and what `check` does: what was copied by then is kept, and the next call goes on with it.
    """
    from runner.errors import Interrupted, JobFailedError, WorkerError
    from runner.submission import deliver, is_made
    from storage.errors import StorageError

    if not done.ok:
        raise JobFailedError(done.message or "the worker failed and gives no reason", done.exit_code)
    if not is_made(run.ticket, done):
        raise WorkerError(
            f"the worker says that {run.ticket.made} is done, and it is not there as it was written; "
            f"`runner resume {run.plan.run}` makes it again"
        )
    if done.message:
        warn(one_line(done.message))
    try:
        delivered = deliver(
            run.ticket,
            overwrite=run.plan.spec.overwrite,
            on_progress=show_copying(display, "downloading"),
            check=check,
        )
    except (Interrupted, StorageError):
        warn(f"{run.plan.run} is done, and its output at {run.ticket.made}: `runner attach {run.plan.run}` fetches it")
        raise
    if not delivered:
        warn(f"the output stays at {run.ticket.made}: {run.ticket.given_output} is a path on {run.ticket.host}")
    return delivered


def _give_up(run: Submitted, conductor: Conductor, state: str, message: str = "") -> None:
    from runner.errors import RunnerError
    from runner.job import end_run
    from storage.errors import StorageError

    try:
        end_run(conductor.job, state, now_s=time.time(), spent=conductor.accounts.spent_usd(), message=message)
    except (StorageError, RunnerError) as error:
        warn(f"keys and notes of {run.plan.run} could not be put away: {error}; keys expire by themselves")


def take_back(run: str, access: Access) -> None:
    """Make keys and URLs of a run worthless; a store that does not answer is a warning, since they expire."""
    from runner.errors import RunnerError
    from storage.errors import StorageError

    try:
        access.revoke()
    except (StorageError, RunnerError) as error:
        warn(f"what the machines of {run} were given could not be taken back, and expires by itself: {error}")


def shower(display: ProgressDisplay) -> Callable[[Standing], None]:
    """Draws how a run stands, and says each message once."""
    said: set[str] = set()

    def show(standing: Standing) -> None:
        if standing.message and standing.message not in said:
            said.add(standing.message)
            display.say(f"runner: {one_line(standing.message)}")
        display.show_line(standing_line(standing))

    return show


def standing_line(standing: Standing) -> Line:
    """`processing  3/12 segments  120/480 frames  34.1 fps  RTX 4090 $0.342/h  $0.014 so far`."""
    segments = f"{standing.segments_done}/{standing.segments} segments"
    words = [segments, f"{standing.frames_done}/{standing.frames} frames"]
    speed = [f"{standing.fps:.1f} fps"] if standing.fps > 0 else []
    if standing.instance is not None and standing.price_usd_per_h:
        gpu = standing.instance.gpu_name or "machine"
        speed += [f"{gpu} {standing.instance.state.value} ${standing.price_usd_per_h:.3f}/h"]
    if standing.spent_usd:
        speed.append(f"${standing.spent_usd:.3f} so far")
    return Line(
        phase=standing.phase,
        done=standing.frames_done,
        total=standing.frames,
        amount="  ".join(words),
        speed="  ".join(speed),
        eta_s=standing.eta_s,
    )


def show_copying(display: ProgressDisplay, phase: str) -> Callable[[int, int], None]:
    """For what is called with `(done_bytes, total_bytes)`."""

    def show(done: int, total: int) -> None:
        amount = f"{size_text(done)}/{size_text(total)}"
        display.show_line(Line(phase=phase, done=done, total=total, amount=amount, speed="", eta_s=None))

    return show


def ask_what_next(run: str, display: ProgressDisplay, manner: Manner, *, may_detach: bool = True) -> Choice:
    """What becomes of the run after Ctrl-C."""
    from runner.standing import Choice

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Choice(manner.unattended)
    display.close()
    detach = "[d]etach and let it go on, " if may_detach else ""
    sys.stderr.write(f"\nrunner: {run}: {detach}[c]ancel and end the machine, or go on? ")
    sys.stderr.flush()
    try:
        answer = sys.stdin.readline().strip().lower()
    except (OSError, ValueError):
        return Choice.CANCEL
    display.__enter__()
    if may_detach and answer.startswith("d"):
        return Choice.DETACH
    return Choice.CANCEL if answer.startswith("c") else Choice.GO_ON


def _image_login() -> str | None:
    import os

    return os.environ.get("FRAMEHAUL_IMAGE_LOGIN") or None


def _describe(run: Submitted, conductor: Conductor, state: str, started_s: float) -> dict[str, Any]:
    done = conductor.done
    spent: Decimal = conductor.accounts.spent_usd()
    return {
        "run": run.plan.run,
        "state": state,
        "output": run.ticket.given_output,
        "frames": done.frames if done is not None else None,
        "segments": len(run.plan.segments),
        "elapsed_s": round(time.time() - started_s, 3),
        "fps": round(done.frames / (time.time() - started_s), 2) if done is not None else None,
        "spent_usd": round(float(spent), 6),
        "bucket": str(run.bucket.bucket),
    }


def _summary(result: dict[str, Any]) -> str:
    if result["state"] == "detached":
        run = result["run"]
        return f"{run} goes on by itself; `runner attach {run}` follows it, `runner cancel {run}` ends it"
    cost = f", at most ${result['spent_usd']:.3f}" if result["spent_usd"] else ""
    return f"{result['output']}: {result['frames']} frames in {result['elapsed_s']:.1f} s{cost}"
