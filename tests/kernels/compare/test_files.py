"""Comparing files, with FFmpeg's own filters reading the same files as the oracle."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kernels.compare import compare
from kernels.errors import FormatError, InputError
from kernels.frame import Frame, VideoFormat
from kernels.io.authoring import ClipCodec, ClipWriter
from kernels.pixel_format import pixel_format

if TYPE_CHECKING:
    from pathlib import Path


def write_clip(path: Path, *, crf: int, size: tuple[int, int] = (64, 48), frames: int = 12) -> Path:
    """A clip of moving waves, 25 frames a second with one long gap."""
    video_format = VideoFormat(
        width=size[0], height=size[1], pixel_format=pixel_format("yuv420p"), frame_rate=Fraction(25)
    )
    codec = ClipCodec(options={"crf": str(crf), "preset": "ultrafast"})
    with ClipWriter(path, video_format, time_base=Fraction(1, 1000), codec=codec) as writer:
        for n in range(frames):
            planes = []
            for plane in range(3):
                rows, columns = video_format.plane_size(plane)
                y, x = np.mgrid[:rows, :columns]
                planes.append((128 + 90 * np.sin(0.3 * x + 0.2 * y * (plane + 1) + n)).astype(np.uint8))
            pts = n * 40 + (200 if n > 5 else 0)
            writer.write(Frame(planes=tuple(planes), format=video_format, pts=pts, time_base=Fraction(1, 1000)))
    return path


def test_files_score_as_the_ffmpeg_command_says(tmp_path: Path, ffmpeg: str) -> None:
    a, b = (write_clip(tmp_path / f"{crf}.mp4", crf=crf) for crf in (38, 5))
    found = compare(a, b)
    graph = "[0:v]split[a][c];[1:v]split[b][d];[a][b]psnr;[c][d]ssim"
    command = [ffmpeg, "-hide_banner", "-i", str(a), "-i", str(b), "-lavfi", graph, "-f", "null", "-"]
    log = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    psnr = re.search(r"PSNR y:(\S+) u:(\S+) v:(\S+) average:(\S+)", log)
    ssim = re.search(r"SSIM Y:(\S+) .*U:(\S+) .*V:(\S+) .*All:(\S+)", log)
    assert psnr is not None
    assert ssim is not None
    assert list(found.psnr.values()) == pytest.approx([float(v) for v in psnr.groups()], abs=5e-5)
    assert list(found.ssim.values()) == pytest.approx([float(v) for v in ssim.groups()], abs=5e-5)
    assert found.frames == 12
    assert found.warnings == ()


def test_times_are_those_of_the_first_file(tmp_path: Path) -> None:
    a = write_clip(tmp_path / "a.mp4", crf=20)
    times = [score.time_s for score in compare(a, a).scores]
    assert times == pytest.approx([n * 0.04 + (0.2 if n > 5 else 0) for n in range(12)])


def test_a_part_of_both_can_be_compared(tmp_path: Path) -> None:
    a, b = (write_clip(tmp_path / f"{crf}.mkv", crf=crf) for crf in (35, 5))
    whole, part = compare(a, b), compare(a, b, start=0.08, duration=0.12)
    assert part.frames == 3
    assert [score.mse for score in part.scores] == [score.mse for score in whole.scores[2:5]]


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    a = write_clip(tmp_path / "a.mp4", crf=20, frames=3)
    b = write_clip(tmp_path / "b.mp4", crf=20, frames=3, size=(32, 48))
    with pytest.raises(FormatError, match="scale=64:48"):
        compare(a, b)
    with pytest.raises(InputError):
        compare(a, tmp_path / "missing.mp4")
