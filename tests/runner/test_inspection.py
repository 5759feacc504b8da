"""A job is looked at before anything is rented, and what cannot be done is refused as a run on this machine would."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from kernels.errors import ChainError, ContainerError, EncodeSettingsError, FormatError, InputError, KernelsError
from runner.errors import MissingInputError
from runner.inspection import inspect_source
from runner.planning import plan_job
from runner.spec import EncodeSpec
from storage.errors import OutputExistsError, SameFileError, StorageError
from tests.kernels.io.clips import X264_OPEN_GOP, Clip, Sound, make
from tests.runner.jobs import conditions, offer_of, spec_of

if TYPE_CHECKING:
    from pathlib import Path

    from runner.errors import RunnerError
    from runner.spec import JobSpec


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "in.mkv"
    path.write_bytes(make(Clip(container="mkv", options=X264_OPEN_GOP, frames=60, sounds=(Sound(),))))
    return path


def job(clip: Path, **changes: Any) -> JobSpec:
    values: dict[str, Any] = {
        "input": str(clip),
        "output": str(clip.with_name("out.mp4")),
        "segment_s": 0.5,
        "max_price_usd_per_h": None,
        "budget_usd": None,
    }
    return spec_of(**(values | changes))


def test_a_real_file_is_planned(clip: Path) -> None:
    spec = job(clip)
    facts = inspect_source(spec)
    assert len(facts.index) == 60
    assert facts.id.size_bytes == clip.stat().st_size
    assert facts.workload.target_megapixels == pytest.approx(128 * 96 / 1e6)
    assert (facts.workload.cuda_problem, facts.workload.nvenc_problem) == ("", "")
    assert 1 < facts.workload.gpu_memory_gb < 1.1
    here = offer_of(price_usd_per_h=Decimal(0), gpu_name="")
    plan = plan_job(spec, facts, [here], run="r", code_version="1", now=conditions(costs=False))
    assert [s.last - s.first for s in plan.work.segments] == [12] * 5
    assert plan.share.lead_frames == sum(facts.index.lead_in(n) for n in (0, 12, 24, 36, 48)) == 8


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"chain": "scael=2"}, ChainError),
        ({"chain": "crop=9999:10"}, FormatError),
        ({"container": "webm"}, ContainerError),
        ({"container": "webm", "encode": EncodeSpec(codec="av1")}, ContainerError),
        ({"encode": EncodeSpec(codec="h264", crf=99)}, EncodeSettingsError),
        ({"encode": EncodeSpec(codec="hevc"), "chain": "crop=32:32"}, FormatError),
        ({"encode": EncodeSpec(codec="h264"), "chain": "scale=33:33"}, FormatError),
    ],
)
def test_what_kernels_would_refuse_is_refused(
    clip: Path, changes: dict[str, object], error: type[KernelsError]
) -> None:
    with pytest.raises((error, ChainError) if error is FormatError else error):
        inspect_source(job(clip, **changes))


def test_an_output_that_is_there_stays(clip: Path) -> None:
    clip.with_name("out.mp4").write_bytes(b"precious")
    with pytest.raises(OutputExistsError, match="add -y"):
        inspect_source(job(clip))
    assert inspect_source(job(clip, overwrite=True)).index


@pytest.mark.parametrize(
    ("names", "error"),
    [(("in.mkv", "in.mkv"), SameFileError), (("none.mkv", "out.mp4"), (MissingInputError, InputError))],
)
def test_files_that_are_wrong(
    clip: Path, names: tuple[str, str], error: type[StorageError | RunnerError | KernelsError]
) -> None:
    source, target = (str(clip.with_name(name)) for name in names)
    with pytest.raises(error):
        inspect_source(job(clip, input=source, output=target))
