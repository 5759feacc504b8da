"""A comparison as one HTML file: before/after sliders, quality over time, and the numbers.

The page needs no network and no other file: style, script and pictures are inside it.
"""

from __future__ import annotations

import base64
import html
import json
import math
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from kernels.io.still import WEBP_MAX_SIDE, encode_still, to_rgb
from storage.local import LocalOutput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from kernels.compare import Comparison, FrameScore
    from kernels.frame import Frame

_PSNR_DECIMALS: Final = 3
_SSIM_DECIMALS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPicture:
    """One moment, as each of the compared videos shows it."""

    label: str
    """What it stands for, such as 'worst frame'."""
    n: int
    """Number of the frame."""
    frames: Mapping[str, Frame]
    """Name of a video -> its frame; the slider starts with the first two."""


def choose_frames(comparison: Comparison) -> dict[int, str]:
    """{frame number: label} of the frames worth looking at: worst, median and best by SSIM, and the first."""
    ranked = sorted(comparison.scores, key=_by_quality)
    labels: dict[int, list[str]] = {}
    picks = (("worst", ranked[0]), ("median", ranked[len(ranked) // 2]), ("best", ranked[-1]))
    for label, score in (("first", comparison.scores[0]), *picks):
        labels.setdefault(score.n, []).append(label)
    return {n: f"{' and '.join(words)} frame" for n, words in labels.items()}


def write_report(
    path: Path,
    comparisons: Mapping[str, Comparison],
    pictures: Sequence[ReportPicture],
    *,
    title: str,
    subtitle: str = "",
) -> None:
    """Write the page to `path`.

    `comparisons` maps the name of each curve to its comparison: one for `runner compare`, more to show
    several versions against one reference. Raises
    `storage.errors.StorageError` when the file cannot be written.
    """
    warnings = [f"{name}: {text}" for name, found in comparisons.items() for text in found.warnings]
    data = {
        "series": [_series(name, comparison) for name, comparison in comparisons.items()],
        "pictures": [_picture(picture) for picture in pictures],
    }
    page = files("runner").joinpath("report.html").read_text(encoding="utf-8")
    fields = {
        "TITLE": html.escape(title),
        "SUBTITLE": html.escape(subtitle),
        "SUMMARY": _summary(comparisons),
        "WARNINGS": "".join(f"<li>{html.escape(text)}</li>" for text in warnings),
        # "</" would end the script element from inside a string.
        "DATA": json.dumps(data, allow_nan=False, separators=(",", ":")).replace("</", "<\\/"),
    }
    for name, value in fields.items():
        page = page.replace(f"{{{{{name}}}}}", value)
    with LocalOutput(path, overwrite=True) as file:
        file.write(page.encode())


def _by_quality(score: FrameScore) -> tuple[float, float]:
    return (score.ssim_all if not math.isnan(score.ssim_all) else 0.0, score.psnr_avg)


def _summary(comparisons: Mapping[str, Comparison]) -> str:
    """Rows of the table: per comparison and metric, one cell per plane and one for all of them."""
    components = next(iter(comparisons.values())).components
    heads = "".join(f'<th scope="col">{name}</th>' for name in (*map(str.upper, components), "all"))
    rows = []
    for name, found in comparisons.items():
        for metric, values, unit in (("PSNR", found.psnr, " dB"), ("SSIM", found.ssim, "")):
            decimals = 2 if metric == "PSNR" else 4
            cells = "".join(f"<td>{_shown(value, decimals, unit)}</td>" for value in values.values())
            rows.append(f'<tr><th scope="row">{html.escape(name)}</th><td>{metric}</td>{cells}</tr>')
    return (
        f'<thead><tr><th scope="col">video</th><th scope="col">metric</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody>"
    )


def _series(name: str, comparison: Comparison) -> dict[str, Any]:
    scores = comparison.scores
    psnr = {"all": _rounded((s.psnr_avg for s in scores), _PSNR_DECIMALS)}
    ssim = {"all": _rounded((s.ssim_all for s in scores), _SSIM_DECIMALS)}
    for i, component in enumerate(comparison.components):
        psnr[component] = _rounded((s.psnr[i] for s in scores), _PSNR_DECIMALS)
        ssim[component] = _rounded((s.ssim[i] for s in scores), _SSIM_DECIMALS)
    return {
        "name": name,
        "n": [s.n for s in scores],
        "time": [round(s.time_s, 3) for s in scores],
        "psnr": psnr,
        "ssim": ssim,
    }


def _picture(picture: ReportPicture) -> dict[str, Any]:
    images = []
    for name, frame in picture.frames.items():
        kind = "webp" if max(frame.width, frame.height) <= WEBP_MAX_SIDE else "png"
        encoded = base64.b64encode(encode_still(to_rgb(frame), kind)).decode("ascii")
        images.append({"name": name, "src": f"data:image/{kind};base64,{encoded}"})
    first = next(iter(picture.frames.values()))
    return {
        "label": picture.label,
        "n": picture.n,
        "time": round(first.time_s, 3),
        "width": first.width,
        "height": first.height,
        "images": images,
    }


def _rounded(values: Iterable[float], decimals: int) -> list[float | None]:
    """Values for JSON; None where there is none or it is infinite (equal pictures)."""
    return [round(value, decimals) if math.isfinite(value) else None for value in values]


def _shown(value: float, decimals: int, unit: str) -> str:
    if math.isnan(value):
        return "-"
    return "identical" if math.isinf(value) else f"{value:.{decimals}f}{unit}"
