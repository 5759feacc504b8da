"""`runner submit --sample 10`: a few seconds first, and what the whole would take and cost by that measure."""

from __future__ import annotations

import sys
import tempfile
import time
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.cli.carry import Manner, carry_quietly
from runner.cli.output import clock, size_text

if TYPE_CHECKING:
    from fractions import Fraction

    from runner.clock import StopRequest
    from runner.provider import Provider
    from runner.spec import JobSpec
    from runner.submission import Submitted
    from storage.uri import LocalUri, ObjectUri

LOSSLESS_DB = 999.0
"""Said of a sample that equals the source; JSON has no infinity."""
OVERHEAD_S = 300.0
"""Around the work itself: pulling the image, probing, joining, destroying."""


def sample(
    spec: JobSpec,
    provider: Provider,
    root: LocalUri | ObjectUri,
    stop: StopRequest,
    *,
    seconds: Fraction,
    manner: Manner,
) -> dict[str, Any]:
    """Do the first `seconds` of the job on a machine as the whole would have; what they say about the whole."""
    from runner.bucket import Bucket
    from runner.cli.progress import progress_display
    from runner.cli.submit import begin, code_version
    from runner.submission import draft

    length = seconds if spec.duration_s is None else min(seconds, spec.duration_s)
    whole = draft(spec, provider, now_s=time.time(), code_version=code_version(), check=stop.check)
    with tempfile.TemporaryDirectory(prefix="framehaul-sample-") as folder:
        path = Path(folder) / f"sample.{spec.container}"
        small = spec.model_copy(update={"duration_s": length, "output": str(path), "overwrite": True})
        quiet = manner.quiet or manner.json
        run = begin(small, provider, root, stop=stop, quiet=quiet, offers=whole.offers)
        with progress_display(quiet=quiet) as display:
            told = carry_quietly(run, provider, stop, manner=Manner(quiet=quiet), display=display)
        size_bytes = path.stat().st_size
        quality = _quality(spec, path, length)
    elapsed_s = _work_s(run)
    fps = run.plan.frames / elapsed_s if elapsed_s else 0.0
    frames = whole.plan.work.frames
    price = float(_price(Bucket(root), run.plan.run))
    wall_s = frames / fps if fps else 0.0
    return {
        "frames": run.plan.frames,
        "fps": round(fps, 2),
        "size_bytes": size_bytes,
        **quality,
        "spent_usd": told["spent_usd"],
        "whole": {
            "frames": frames,
            "duration_s": round(wall_s, 1),
            "size_bytes": round(size_bytes * frames / run.plan.frames),
            "usd": round(price * (wall_s + OVERHEAD_S) / 3600, 4) if price else 0.0,
        },
    }


def show_sample(found: dict[str, Any]) -> None:
    """What `sample` found, for people."""
    whole = found["whole"]
    if found["psnr_db"] is not None:
        ssim = f", SSIM {found['ssim']:.4f}" if found["ssim"] is not None else ""
        print(f"quality: PSNR {found['psnr_db']:.2f} dB{ssim} against the source")
    else:
        print("quality: not measured, since the chain changes the size or the format of the picture")
    print(f"speed: {found['fps']:.1f} fps over {found['frames']} frames, {size_text(found['size_bytes'])}")
    cost = f", about ${whole['usd']:.3f}" if whole["usd"] else ""
    print(
        f"the whole: {whole['frames']} frames in about {clock(whole['duration_s']).partition('.')[0]}, "
        f"{size_text(whole['size_bytes'])}{cost}"
    )


def agrees(found: dict[str, Any], spec: JobSpec) -> bool:
    """Whether the whole is to be done now: asked on a terminal; elsewhere, whether it fits into the budget."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        sys.stderr.write("runner: go on with the whole? [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower().startswith("y")
    return spec.budget_usd is None or found["whole"]["usd"] <= float(spec.budget_usd)


def _quality(spec: JobSpec, path: Path, length: Fraction) -> dict[str, float | None]:
    """PSNR in dB and SSIM of the sample against the same part of the source; None where they cannot be compared."""
    from kernels.compare.compare import compare_frames
    from kernels.errors import KernelsError
    from kernels.io.reader import open_video
    from runner.media import open_input
    from storage.uri import parse

    try:
        with (
            open_input(parse(spec.input)) as source,
            open_video(source, start=spec.start_s, duration=length) as before,
            open_video(path) as after,
        ):
            found = compare_frames(after, before)
    except KernelsError:
        return {"psnr_db": None, "ssim": None}
    psnr, ssim = found.psnr["average"], found.ssim["all"]
    return {"psnr_db": min(psnr, LOSSLESS_DB), "ssim": None if isnan(ssim) else ssim}


def _work_s(run: Submitted) -> float:
    """Seconds that machines have spent on the segments."""
    from runner.records import Commit

    folder = run.bucket.folder
    found = [run.bucket.read_told(folder.object(folder.commit_name(one.number)), Commit) for one in run.plan.segments]
    return sum(one.elapsed_s for one in found if one is not None)


def _price(bucket: Any, run: str) -> Any:
    """Dollars per hour of the last machine it had."""
    from runner.accounts import read_rents

    rents = read_rents(bucket.run(run))
    return rents[-1].price_usd_per_h if rents else 0
