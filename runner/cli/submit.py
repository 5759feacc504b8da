"""`runner submit`: rent, process, survive, destroy."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.batch import is_batch
from runner.cli.carry import STOPPING, Manner, carry
from runner.cli.job_options import JobOptions, job_options, make_spec, read_settings
from runner.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.batch import Pair
    from runner.clock import StopRequest
    from runner.provider import Offer, Provider
    from runner.settings import Settings
    from runner.spec import JobSpec
    from runner.submission import Draft, Submitted
    from storage.uri import LocalUri, ObjectUri


@job_options
def submit(
    *,
    source: Annotated[
        str, typer.Argument(metavar="INPUT", path_type=str, help="The video: a path, b2://, s3:// or https://.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="OUTPUT", path_type=str, help="The video to write: mp4, mov, mkv or webm.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Show plan, machines and dollars; rent and write nothing.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once a machine is at work.")] = False,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="TIME", help="Do so many seconds first; say quality, speed and dollars."),
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Of many files, leave out those whose outputs are up to date.")
    ] = False,
    ending: Annotated[
        str | None, typer.Option("--ending", metavar="NAME", help="Of many files' outputs: mp4, mov, mkv or webm.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; warnings and errors only.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
    options: JobOptions,
) -> int:
    """Do INPUT -> CHAIN -> OUTPUT on a rented machine, and destroy the machine.

    What it may cost is bounded, by --max-price dollars per hour (the machine preset's, if not given) and --budget
    dollars in all. The work is cut into segments, and nothing that is done is done again when a machine is lost.
    `--on local` does the same on this machine, without any account.

    With a folder as OUTPUT, INPUT is a folder or a pattern, and every file of it is done: several by one machine,
    all within one budget, and one that fails stops none of the others.

    \b
    Examples:
      runner submit in.mp4 out.mp4 --on local --vf scale=1920:-2
      runner submit b2://bucket/in.mp4 b2://bucket/out.mp4 --vf cas=0.5 --max-price 0.40 --budget 1
      runner submit b2://bucket/in.mp4 b2://bucket/out.mp4 --vf cas=0.5 --dry-run
      runner submit 'b2://bucket/in/*.mp4' b2://bucket/out/ --vf cas=0.5 --max-price 0.40 --budget 5 --skip-existing
    """
    from runner.cli.places import look_first, open_buckets
    from runner.cli.plan_view import show_plan
    from runner.clock import StopRequest, stop_on_signals
    from runner.providers import open_provider
    from runner.submission import draft
    from storage.uri import parse

    settings = read_settings(options)
    manner = Manner(quiet=quiet, json=json, detaches=detach)
    if is_batch(source, target):
        if sample is not None:
            raise UsageError("--sample is for one file: try it on one of them first, with a file as OUTPUT")
        return _submit_many(source, target, options, settings, manner, skip_existing, ending, dry_run=dry_run)
    if skip_existing or ending is not None:
        raise UsageError(f"--skip-existing and --ending are for many files; {target} is no folder (add a slash)")
    spec = make_spec(parse(source), parse(target), options, settings)
    provider = open_provider(spec.provider)
    root = run_root(spec, settings)
    if dry_run:
        now_s = time.time()
        made = draft(spec, provider, now_s=now_s, code_version=code_version())
        show_plan(made.plan, now_s=now_s, json=json)
        return 0
    look_first({provider.name: provider}, open_buckets(str(root)))
    with stop_on_signals(StopRequest(), say=STOPPING) as stop:
        if sample is not None:
            left = _after_sample(spec, provider, root, stop, sample, manner)
            if left is None:
                return 0
            spec = left
        run = begin(spec, provider, root, stop=stop, quiet=quiet or json)
        carry(run, provider, stop, manner=manner)
    return 0


def _after_sample(
    spec: JobSpec, provider: Provider, root: LocalUri | ObjectUri, stop: StopRequest, seconds: str, manner: Manner
) -> JobSpec | None:
    """Do a sample and show what it says; the job with what is left of its budget, None where it is not to be done."""
    from decimal import Decimal

    from runner.cli.output import print_json
    from runner.cli.sample import agrees, show_sample
    from runner.cli.sample import sample as do_sample
    from runner.cli.times import parse_length

    length = parse_length(seconds, option="--sample")
    assert length is not None
    found = do_sample(spec, provider, root, stop, seconds=length, manner=manner)
    if spec.budget_usd is not None:
        left = spec.budget_usd - Decimal(str(found["spent_usd"]))
        if left <= 0:
            raise UsageError(f"the sample has used up the budget of ${spec.budget_usd}; raise --budget")
        spec = spec.model_copy(update={"budget_usd": left})
    if not manner.json:
        show_sample(found)
    if agrees(found, spec):
        return spec
    if manner.json:
        print_json({"sample": found})
    print("runner: the whole was not done: it does not fit into the budget, or was not wanted", file=sys.stderr)
    return None


def _submit_many(
    source: str,
    target: str,
    options: JobOptions,
    settings: Settings,
    manner: Manner,
    skip_existing: bool,
    ending: str | None,
    *,
    dry_run: bool,
) -> int:
    """Every file that `source` means; the exit code."""
    from runner.cli.batch import find_pairs, run_batch
    from runner.cli.batch_view import show_batch
    from runner.cli.places import look_first, open_buckets
    from runner.clock import StopRequest, stop_on_signals
    from runner.providers import open_provider

    if manner.detaches:
        raise UsageError("--detach is for one file: a batch is followed, so that what is done is put away")
    found = find_pairs(source, target, ending=ending)

    def make(pair: Pair) -> JobSpec:
        return make_spec(pair.source, pair.target, options, settings)

    first = make(found[0])
    provider, root = open_provider(first.provider), run_root(first, settings)
    if dry_run:
        return show_batch(
            found, make, provider, manner=manner, skip_existing=skip_existing, code_version=code_version()
        )
    look_first({provider.name: provider}, open_buckets(str(root)))
    with stop_on_signals(StopRequest(), say=STOPPING) as stop:
        return run_batch(
            found, make, provider, root, stop, manner=manner, skip_existing=skip_existing, code_version=code_version()
        )


def begin(
    spec: JobSpec,
    provider: Provider,
    root: LocalUri | ObjectUri,
    *,
    stop: StopRequest,
    quiet: bool,
    offers: Sequence[Offer] | None = None,
) -> Submitted:
    """A run of `spec` in its folder below `root`, remembered on this machine; nothing is rented yet.

    `offers` are those of an earlier search. Raises `Interrupted` once `stop` is set.
    """
    from runner.cli.output import warn
    from runner.submission import draft

    made = draft(spec, provider, now_s=time.time(), code_version=code_version(), offers=offers, check=stop.check)
    stop.check()
    for text in made.plan.warnings:
        warn(text)
    return send(made, provider, root, stop=stop, quiet=quiet)


def send(
    made: Draft,
    provider: Provider,
    root: LocalUri | ObjectUri,
    *,
    stop: StopRequest,
    quiet: bool,
    batch: str | None = None,
) -> Submitted:
    """What a run needs before anything is rented, brought into its bucket and remembered on this machine.

    `batch` is the run of the batch that it belongs to.
    """
    from runner.bucket import Bucket
    from runner.cli.carry import show_copying
    from runner.cli.output import one_line, warn
    from runner.cli.progress import progress_display
    from runner.runs import remember
    from runner.submission import submit

    sent = [0, 0]
    with progress_display(quiet=quiet) as display:
        show = show_copying(display, "uploading")

        def on_progress(done_bytes: int, total_bytes: int) -> None:
            sent[:] = done_bytes, total_bytes
            show(done_bytes, total_bytes)

        try:
            run = submit(made, provider, Bucket(root), batch=batch, on_progress=on_progress, check=stop.check)
        except Interrupted:
            if 0 < sent[0] < sent[1]:
                name = one_line(made.spec.input)
                warn(f"what was sent of {name} is kept: the same command goes on with it, and `runner gc` deletes it")
            raise
    remember(run.plan.run, root)
    return run


def run_root(spec: JobSpec, settings: Settings) -> LocalUri | ObjectUri:
    """Where the runs' folders lie: as the settings say, else beside the output or input, else on this machine.

    Raises `UsageError` where rented machines could not reach it.
    """
    from runner.runs import bucket_at, local_root
    from storage.uri import LocalUri, ObjectUri, parse

    named = settings.get("bucket")
    if named:
        root = bucket_at(named)
    elif spec.provider == "local":
        return local_root()
    else:
        objects = [uri for uri in (parse(spec.output), parse(spec.input)) if isinstance(uri, ObjectUri)]
        if not objects:
            raise UsageError("rented machines need a bucket to work in: give --bucket b2://bucket")
        root = objects[0].with_key("")
    if isinstance(root, LocalUri) and spec.provider != "local":
        raise UsageError(f"{root} is on this machine, where no rented one can reach it; give --bucket b2://bucket")
    return root


def code_version() -> str:
    from importlib.metadata import version

    return version("framehaul")
