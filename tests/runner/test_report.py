"""The report page: self-contained, truthful, and safe with whatever names files have."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from kernels.color import Color, Matrix, Range
from kernels.compare import compare_frames
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import pixel_format
from runner.report import ReportPicture, choose_frames, write_report

if TYPE_CHECKING:
    from pathlib import Path

    from kernels.compare import Comparison


def clip(seed: int, noise: float) -> list[Frame]:
    """Ten frames of BT.709 grey ramps with more and more noise; frame 0 has none."""
    rng = np.random.default_rng(seed)
    video_format = VideoFormat(
        width=48,
        height=32,
        pixel_format=pixel_format("yuv420p"),
        color=Color(matrix=Matrix.BT709, range=Range.LIMITED),
    )
    frames = []
    for n in range(10):
        luma = np.linspace(40, 200, 48 * 32).reshape(32, 48) + rng.normal(0, noise * n + 1e-6, (32, 48))
        chroma = np.full((16, 24), 128, np.uint8)
        frames.append(Frame(planes=(luma.round().astype(np.uint8), chroma, chroma), format=video_format, pts=n * 40))
    return frames


@pytest.fixture
def compared() -> tuple[list[Frame], list[Frame], Comparison]:
    clean, noisy = clip(1, 0.0), clip(1, 1.0)
    return clean, noisy, compare_frames(noisy, clean)


class Page(HTMLParser):
    """What a page refers to, and the text of its elements by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.labelled_by: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [f"{tag} {given[key]}" for key in ("src", "href") if given.get(key)]
        self.ids |= {given["id"] or ""} if "id" in given else set()
        self.labelled_by += [given["aria-labelledby"] or ""] if "aria-labelledby" in given else []


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def write(tmp_path: Path, compared: tuple[list[Frame], list[Frame], Comparison], **texts: str) -> str:
    clean, noisy, comparison = compared
    pictures = [
        ReportPicture(label=label, n=n, frames={"noisy.mp4": noisy[n], "clean.mp4": clean[n]})
        for n, label in choose_frames(comparison).items()
    ]
    path = tmp_path / "report.html"
    write_report(path, {"noisy.mp4": comparison}, pictures, title=texts.pop("title", "a title"), **texts)
    return path.read_text(encoding="utf-8")


def test_page_needs_nothing_but_itself(tmp_path: Path, compared: tuple[list[Frame], list[Frame], Comparison]) -> None:
    text = write(tmp_path, compared)
    page = Page(text)
    assert page.links == []
    assert "@import" not in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert not re.search(r"{{[A-Z]+}}", text)
    assert set(page.labelled_by) <= page.ids


def test_page_holds_every_score(tmp_path: Path, compared: tuple[list[Frame], list[Frame], Comparison]) -> None:
    text = write(tmp_path, compared)
    _, _, comparison = compared
    series = data_of(text)["series"][0]
    assert series["name"] == "noisy.mp4"
    assert series["time"] == [round(0.04 * n, 3) for n in range(10)]
    assert series["psnr"]["y"][0] is None, "the first pictures are equal"
    assert series["psnr"]["y"][1:] == [round(s.psnr[0], 3) for s in comparison.scores[1:]]
    assert series["ssim"]["all"] == [round(s.ssim_all, 5) for s in comparison.scores]
    assert f"<td>{comparison.psnr['average']:.2f} dB</td>" in text
    assert "<td>identical dB</td>" not in text


def test_pictures_are_the_frames(tmp_path: Path, compared: tuple[list[Frame], list[Frame], Comparison]) -> None:
    """Decoded by OpenCV: grey of code y is (y - 16) / 219 * 255, give or take the lossy picture format."""
    text = write(tmp_path, compared)
    clean, _, _ = compared
    shown = data_of(text)["pictures"]
    assert [picture["label"] for picture in shown] == ["first and best frame", "worst frame", "median frame"]
    for picture in shown:
        source = picture["images"][1]["src"]
        packed = np.frombuffer(base64.b64decode(source.partition("base64,")[2]), np.uint8)
        decoded = cv2.imdecode(packed, cv2.IMREAD_COLOR)
        assert decoded is not None
        expected = (clean[picture["n"]].planes[0].astype(float) - 16) / 219 * 255
        assert np.abs(decoded.mean(axis=2) - expected).mean() < 2.5


def test_names_cannot_break_out_of_the_page(
    tmp_path: Path, compared: tuple[list[Frame], list[Frame], Comparison]
) -> None:
    clean, _, comparison = compared
    evil = "</script><img src=x onerror=alert(1)>.mp4"
    path = tmp_path / "report.html"
    pictures = [ReportPicture(label="first", n=0, frames={evil: clean[0], "b": clean[0]})]
    write_report(path, {evil: comparison}, pictures, title=evil, subtitle=evil)
    text = path.read_text(encoding="utf-8")
    assert Page(text).links == []
    assert data_of(text)["series"][0]["name"] == evil


def test_warnings_are_shown(tmp_path: Path) -> None:
    clean = clip(1, 0.0)
    path = tmp_path / "report.html"
    write_report(path, {"x": compare_frames(clean, clean[:4])}, [], title="t")
    assert "<li>x: 10 frames against 4: only the first 4 were compared</li>" in path.read_text(encoding="utf-8")


def test_equal_videos_have_a_page_too(tmp_path: Path) -> None:
    clean = clip(1, 0.0)
    comparison = compare_frames(clean, clean)
    path = tmp_path / "report.html"
    write_report(path, {"x": comparison}, [], title="t")
    assert "<td>identical</td>" in path.read_text(encoding="utf-8")
