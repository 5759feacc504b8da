"""The demo from its first line to its last, on a tiny clip."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from kernels.errors import StoppedError
from runner.demo import DemoResult, run_demo
from runner.demo.clip import DemoSettings
from runner.demo.picture import before_and_after
from storage.errors import OutputFolderError

if TYPE_CHECKING:
    from pathlib import Path

    from kernels.pipeline import Progress

TINY = DemoSettings(width=320, height=180, frames=14)


class Ran:
    """One run and all that it told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lines: list[str] = []
        self.progress: list[Progress] = []
        self.result: DemoResult = run_demo(
            directory, say=self.lines.append, settings=TINY, on_progress=self.progress.append
        )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("demo") / "new" / "folder")


def test_restoring_brings_the_clip_nearer_to_its_original(ran: Ran) -> None:
    before, after = ran.result.before, ran.result.after
    assert (before.frames, after.frames) == (14, 14)
    assert after.psnr["average"] > before.psnr["average"] + 0.3
    assert after.ssim["all"] > before.ssim["all"] + 0.03
    assert before.warnings == after.warnings == ()


def test_the_restored_clip_keeps_times_size_and_sound(ran: Ran) -> None:
    times, packets = [], []
    for path in (ran.result.clip.original, ran.result.clip.degraded, ran.result.restored):
        with av.open(path) as container:
            frames = list(container.decode(video=0))
            times.append([f.time for f in frames])
        with av.open(path) as container:
            packets.append([bytes(packet) for packet in container.demux(audio=0)])
    assert times[2] == pytest.approx(times[0], abs=1e-6)
    assert (frames[0].width, frames[0].height) == (320, 180)
    assert packets[1] == packets[2]


def test_what_it_says_is_what_it_made(ran: Ran) -> None:
    said = "\n".join(ran.lines)
    assert f"{ran.result.after.psnr['average']:.2f} dB" in said
    for path in (ran.result.report, ran.result.picture, ran.result.restored):
        assert str(path) in said
        assert path.stat().st_size > 0
    names = {"original.mp4", "degraded.mp4", "restored.mp4", "report.html", "before-after.png"}
    assert {path.name for path in ran.directory.iterdir()} == names
    assert 0 < ran.result.first_frame_s <= ran.result.elapsed_s


def test_progress_covers_drawing_and_restoring(ran: Ran) -> None:
    drawn = [p.frames_out for p in ran.progress if p.phase == "drawing"]
    assert drawn == list(range(1, 15))
    assert max(p.frames_out for p in ran.progress if p.phase != "drawing") == 14


def test_the_picture_shows_both_sides_of_a_line(ran: Ran) -> None:
    picture = cv2.imread(str(ran.result.picture))
    assert picture is not None
    before, after = np.full((180, 320, 3), 40, np.uint8), np.full((180, 320, 3), 200, np.uint8)
    drawn = before_and_after(before, after)
    assert picture.shape == drawn.shape
    middle = drawn[drawn.shape[0] // 2]
    line = int(np.flatnonzero((middle == 255).all(axis=1))[0])
    assert (middle[:line] == 40).all()
    assert (middle[line + 2 :] == 200).all()


def test_running_it_again_replaces_what_it_made(ran: Ran) -> None:
    again = Ran(ran.directory)
    assert again.result.after.psnr["average"] == pytest.approx(ran.result.after.psnr["average"], abs=0.05)
    assert again.result.before.ssim["all"] == pytest.approx(ran.result.before.ssim["all"], abs=0.005)


def test_stopping_it_leaves_nothing(tmp_path: Path) -> None:
    stop = threading.Event()

    def on_progress(_progress: Progress) -> None:
        stop.set()

    with pytest.raises(StoppedError):
        run_demo(tmp_path, say=lambda _: None, settings=TINY, on_progress=on_progress, stop=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputFolderError, match="give another one"):
        run_demo(tmp_path / "file" / "demo", say=lambda _: None, settings=TINY)
