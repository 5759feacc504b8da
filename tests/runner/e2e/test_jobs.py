"""`runner submit` on rented machines, bucket to bucket: the output is what one run on this machine writes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING, Final

import av
import numpy as np
import pytest

from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from runner.cli import main
from tests.kernels.io.clips import of_kind
from tests.kernels.io.jobs import samples
from tests.kernels.test_segments import facts, shown
from tests.runner.e2e.stage import cuts_inside_groups, has_open_groups

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.runner.e2e.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Work:
    """One job."""

    source: str
    target: str
    chain: str
    codec: tuple[str, ...] = ("--codec", "ffv1")
    options: tuple[str, ...] = ()
    segment_s: str = "0.55"
    """Sixty frames in four segments."""

    @property
    def mode(self) -> str:
        return "urls" if "--keyless" in self.options else "keys"


LOSSLESS: Final = {
    "CFR, keys": Work(
        source="cfr.mp4", target="out.mkv",
        chain="crop=90:60:3:2,pad=96:64:2:2,hflip,vflip,transpose=clock,unsharp",
    ),
    "VFR, URLs": Work(
        source="vfr.mkv", target="out.mkv", chain="scale=120:-2,cas=0.5,eq=contrast=1.1", options=("--keyless",)
    ),
    "10 bit, URLs": Work(
        source="ten.mp4", target="out.mkv", chain="nlmeans=s=2:p=3:r=5,colorspace=all=bt2020,format=yuv422p10le",
        options=("--keyless",),
    ),
    "HDR10, keys": Work(source="hdr.mkv", target="out.mkv", chain="crop=64:48"),
}  # fmt: skip
LOSSY: Final = {
    "CFR to mp4, URLs": Work(
        source="long.mp4", target="out.mp4", chain="", options=("--keyless",),
        codec=("--codec", "h264", "--crf", "20", "--preset", "veryfast"), segment_s="3.4",
    ),
    "VFR to mp4, keys": Work(
        source="long.mkv", target="out.mp4", chain="",
        codec=("--codec", "h264", "--crf", "20", "--preset", "veryfast"), segment_s="3.4",
    ),
}  # fmt: skip


def test_every_operation_is_in_one_of_the_jobs() -> None:
    used = {step.operation.name for work in LOSSLESS.values() for step in parse_chain(work.chain, CATALOGUE)}
    assert used == set(CATALOGUE)


def first_always(works: dict[str, Work]) -> Sequence[object]:
    """All of them, of which an ordinary run takes the first and some others."""
    first, *others = works.items()
    return [pytest.param(first[1], id=first[0])] + [
        pytest.param(work, id=name, marks=pytest.mark.long) for name, work in others
    ]


@pytest.mark.parametrize("work", first_always(LOSSLESS))
def test_lossless_jobs_are_what_one_run_gives(
    stage: Stage, work: Work, sources: dict[str, bytes], tmp_path: Path
) -> None:
    made = submit(stage, work, sources[work.source])
    wanted = run_here(work, sources[work.source], tmp_path)
    assert samples(made) == samples(wanted)
    assert shown(made) == shown(wanted)
    assert facts(made) == facts(wanted)  # colour tags and the bytes of the sound among them
    assert colors(made) == colors(wanted)


@pytest.mark.parametrize("work", first_always(LOSSY))
def test_lossy_jobs_are_as_good_as_one_run(stage: Stage, work: Work, sources: dict[str, bytes], tmp_path: Path) -> None:
    source = sources[work.source]
    made, wanted = submit(stage, work, source), run_here(work, source, tmp_path)
    assert shown(made) == shown(wanted)
    assert of_kind(made, "audio") == of_kind(wanted, "audio")
    assert facts(made) == facts(wanted)
    ours, theirs = psnr(source, made), psnr(source, wanted)
    assert ours == pytest.approx(theirs, abs=0.1)


def submit(stage: Stage, work: Work, source: bytes) -> bytes:
    """What the job writes into the bucket."""
    stage.store("input").put(work.source, source)
    options = ("--vf", work.chain) if work.chain else ()
    words = stage.words(work.source, work.target, *options, *work.codec, *work.options, "--segment-s", work.segment_s)
    told = stage.desk.json(*words)
    assert (told["state"], told["frames"]) == ("done", len(samples(source)))
    assert told["segments"] >= 3
    plan = stage.plan(told["run"])
    assert has_open_groups(source)
    assert len(cuts_inside_groups(source, plan)) >= 2
    assert bool(stage.native.given) == (work.mode == "keys")
    assert stage.native.keys == {}  # taken back
    assert stage.vast.billing() == []
    assert 0 < stage.vast.spent_usd() <= told["spent_usd"] < 1
    return stage.read("output", work.target)


def run_here(work: Work, source: bytes, tmp_path: Path) -> bytes:
    given, target = tmp_path / work.source, tmp_path / work.target
    given.write_bytes(source)
    options = ("--vf", work.chain) if work.chain else ()
    assert main(["run", str(given), str(target), *options, *work.codec, "-q"]) == 0
    return target.read_bytes()


def colors(data: bytes) -> set[tuple[int, ...]]:
    """What the decoded frames say about their colours."""
    with av.open(io.BytesIO(data)) as opened:
        return {
            (int(one.colorspace), int(one.color_range), int(one.color_trc), int(one.color_primaries))
            for one in opened.decode(video=0)
        }


def psnr(a: bytes, b: bytes) -> float:
    """Of all samples of two videos of 8 bits, in decibels."""
    first, second = samples(a), samples(b)
    pairs = [(np.frombuffer(x, np.uint8), np.frombuffer(y, np.uint8)) for x, y in zip(first, second, strict=True)]
    error = np.mean([np.mean((x.astype(np.float64) - y) ** 2) for x, y in pairs])
    return 10 * log10(255**2 / error)
