"""What would be refused at the start of a job is refused before it, in the same words; and what it would be is told."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.context import chain_context
from kernels.errors import KernelsError
from kernels.io.containers import StreamChoices
from kernels.io.encode import EncodeSettings
from kernels.pipeline import process
from kernels.preflight import outline
from tests.kernels.io.clips import X264_OPEN_GOP, Clip, Sound, make

DATA = make(Clip(container="mkv", options=X264_OPEN_GOP, sounds=(Sound(codec="flac"),), rotation=90))


@pytest.mark.parametrize(
    "job",
    [
        {"chain": "scael=2"},
        {"chain": "crop=9999:10"},
        {"chain": "scale=33:33"},
        {"container": "webm"},
        {"container": "avi"},
        {"container": "webm", "encode": EncodeSettings(codec="av1")},
        {"container": "mov"},
        {"encode": EncodeSettings(codec="hevc"), "chain": "scale=32:32"},
        {"source": b"no video"},
        {"source": b""},
    ],
    ids=repr,
)
def test_what_a_job_refuses_is_refused_before_it_in_the_same_words(job: dict[str, Any]) -> None:
    values = {"source": DATA, "container": "mp4", "chain": "", "encode": EncodeSettings(), **job}
    source = values.pop("source")
    with pytest.raises(KernelsError) as before:
        outline(io.BytesIO(source), **values)
    with pytest.raises(KernelsError) as after:
        process(io.BytesIO(source), io.BytesIO(), backend="cpu", **values)
    assert (type(before.value), str(before.value)) == (type(after.value), str(after.value))


def test_what_can_be_done_is_told() -> None:
    job = outline(io.BytesIO(DATA), container="mkv", chain="scale=iw*2:-2,hflip", encode=EncodeSettings(codec="ffv1"))
    assert (job.codec, job.chain, job.context) == ("h264", "scale=w=iw*2:h=-2,hflip", (0, 0))
    # Turned upright first, then doubled.
    assert (job.plan.source.width, job.plan.source.height) == (64, 48)
    assert (job.plan.target.width, job.plan.target.height) == (96, 128)
    flat = outline(io.BytesIO(DATA), container="mkv", encode=EncodeSettings(), autorotate=False)
    assert (flat.plan.target.width, flat.plan.target.height) == (64, 48)


def test_what_will_be_left_out_is_told() -> None:
    choices = StreamChoices(drop_unsupported=True)
    job = outline(io.BytesIO(DATA), container="mov", encode=EncodeSettings(), streams=choices)
    assert any("flac" in warning for warning in job.warnings)


def test_context_adds_up_along_a_chain() -> None:
    def windowed(before: int, after: int) -> Any:
        (step,) = parse_chain("hflip", CATALOGUE)
        return replace(step, operation=replace(step.operation, context=lambda _: (before, after)))

    plain = parse_chain("scale=iw*2:-2,cas=0.5", CATALOGUE)
    assert chain_context(plain) == (0, 0)
    assert chain_context((windowed(1, 2), *plain, windowed(3, 0))) == (4, 2)
