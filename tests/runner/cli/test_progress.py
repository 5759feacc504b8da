"""What is shown of a running job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.cli.cp import progress_line
from runner.cli.progress import PlainProgress, progress_text
from runner.copying import Amount

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True, kw_only=True)
class Seen:
    frames_out: int = 120
    frames_total: int | None = 480
    fps: float = 34.12
    eta_s: float | None = 3671.4
    phase: str = "filtering"


def test_everything_known() -> None:
    assert progress_text(Seen()) == "filtering  120/480 frames  25 %  34.1 fps  1:01:11 left"


def test_length_unknown() -> None:
    assert progress_text(Seen(frames_total=None, eta_s=None)) == "filtering  120 frames  34.1 fps"


def test_no_frames_yet() -> None:
    assert progress_text(Seen(frames_out=0, fps=0.0, phase="compiling kernels")) == "compiling kernels"


def test_more_frames_than_announced_stay_at_100_percent() -> None:
    assert "100 %" in progress_text(Seen(frames_out=500))


def test_a_copy_says_bytes_speed_and_the_time_left() -> None:
    amount = Amount(done_bytes=12_300_000, total_bytes=50_000_000, bytes_per_s=4_010_000.0)
    assert str(progress_line(amount)) == "copying  12.3 MB of 50.0 MB  25 %  4.0 MB/s  0:00:09 left"
    amount = Amount(done_bytes=0, total_bytes=50_000_000, bytes_per_s=0.0)
    assert str(progress_line(amount)) == "copying  0 B of 50.0 MB  0 %"


def test_a_line_for_each_phase_and_none_between(capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainProgress(interval_s=1000.0)
    for phase in ("compiling kernels", "compiling kernels", "filtering", "filtering"):
        display.show(Seen(phase=phase))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["compiling kernels", "filtering"]


def test_quiet_says_nothing_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    PlainProgress(interval_s=None).show(Seen())
    assert capsys.readouterr().err == ""
