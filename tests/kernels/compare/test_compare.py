"""What a comparison reports beside the numbers, and where it refuses."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from kernels.color import Color, Matrix
from kernels.compare import compare_frames, score_pair
from kernels.compare.psnr import decibels, squared_error
from kernels.compare.rows import flat_rows
from kernels.compare.ssim import structural_similarity
from kernels.errors import FormatError
from kernels.frame import Frame, VideoFormat
from kernels.pixel_format import pixel_format

if TYPE_CHECKING:
    from numpy.typing import NDArray


def picture(seed: int, *, name: str = "yuv420p", size: tuple[int, int] = (32, 24), **facts: Any) -> Frame:
    """A frame of noise in 10..99."""
    rng = np.random.default_rng(seed)
    width, height = size
    video_format = VideoFormat(width=width, height=height, pixel_format=pixel_format(name))
    sizes = [video_format.plane_size(i) for i in range(video_format.pixel_format.plane_count)]
    planes: tuple[Any, ...] = tuple(
        rng.integers(10, 100, shape).astype(video_format.pixel_format.dtype) for shape in sizes
    )
    return Frame(planes=planes, format=video_format).replace(**facts)


def test_equal_pictures_are_infinitely_alike() -> None:
    frames = [picture(n, pts=n * 40) for n in range(3)]
    found = compare_frames(frames, list(frames))
    assert found.psnr == {"y": math.inf, "u": math.inf, "v": math.inf, "average": math.inf}
    assert found.ssim == {"y": 1.0, "u": 1.0, "v": 1.0, "all": 1.0}
    assert found.warnings == ()


def test_one_code_off_everywhere_is_48_decibels() -> None:
    """MSE 1 at peak 255: 20 log10(255) = 48.1308."""
    a = picture(1, name="gray")
    b = a.replace(planes=(a.planes[0] + np.uint8(1),))
    assert score_pair(a, b).psnr == pytest.approx((48.1308,), abs=1e-4)


def test_file_psnr_is_from_the_mean_error_not_from_mean_decibels() -> None:
    a = picture(1, name="gray")
    off_by_one = a.replace(planes=(a.planes[0] + np.uint8(1),))
    found = compare_frames([a, a], [a, off_by_one])
    assert found.scores[0].psnr_avg == math.inf
    assert found.psnr["average"] == pytest.approx(10 * math.log10(255**2 / 0.5))


def test_ssim_agrees_with_a_direct_evaluation() -> None:
    a, b = (picture(seed, name="gray10", size=(29, 22)).planes[0] for seed in (1, 2))
    c1, c2 = (int((k * 1023) ** 2 * n + 0.5) for k, n in ((0.01, 64), (0.03, 64 * 63)))
    values = []
    for y in range(0, 22 // 4 * 4 - 4, 4):
        for x in range(0, 29 // 4 * 4 - 4, 4):
            p, q = (plane[y : y + 8, x : x + 8].astype(np.float64) for plane in (a, b))
            s, t = p.sum(), q.sum()
            variance = 64 * ((p * p).sum() + (q * q).sum()) - s * s - t * t
            covariance = 64 * (p * q).sum() - s * t
            values.append((2 * s * t + c1) * (2 * covariance + c2) / ((s * s + t * t + c1) * (variance + c2)))
    assert structural_similarity(a, b, 1023) == pytest.approx(np.mean(values), abs=1e-12)


def test_full_scale_16_bit_differences_do_not_overflow() -> None:
    black, white = np.zeros((40, 72), np.uint16), np.full((40, 72), 65535, np.uint16)
    assert squared_error(black, white) == 40 * 72 * 65535**2
    assert structural_similarity(white, white, 65535) == 1.0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_views_with_a_pitch_or_a_step_measure_as_their_copies(dtype: type[Any]) -> None:
    rng = np.random.default_rng(3)
    whole: NDArray[Any] = rng.integers(0, 255, (40, 80)).astype(dtype)
    other: NDArray[Any] = rng.integers(0, 255, (20, 30)).astype(dtype)
    for view in (whole[3:23, 7:37], whole[::2, 1:61:2], whole[20::-1, 5:35][:20], whole[2:22, 40:10:-1]):
        copy = np.ascontiguousarray(view)
        assert squared_error(view, other) == squared_error(copy, other)
        assert structural_similarity(view, other, 255) == structural_similarity(copy, other, 255)


def test_a_cropped_plane_is_read_in_place() -> None:
    whole = np.zeros((40, 80), np.uint8)
    flat, pitch = flat_rows(whole[3:23, 7:37])
    assert pitch == 80
    assert np.shares_memory(flat, whole)


def test_planes_under_a_window_have_no_ssim_and_take_no_part() -> None:
    a, b = picture(1, size=(14, 12)), picture(2, size=(14, 12))
    score = score_pair(a, b)
    assert math.isnan(score.ssim[1])
    assert score.ssim_all == score.ssim[0]
    assert compare_frames([a], [b]).to_json()["ssim"]["u"] is None


def test_an_unequal_count_is_reported_and_the_common_part_compared() -> None:
    frames = [picture(n, pts=n * 40) for n in range(5)]
    found = compare_frames(frames, frames[:3])
    assert (found.frames, found.frames_a, found.frames_b) == (3, 5, 3)
    assert found.warnings == ("5 frames against 3: only the first 3 were compared",)


def test_a_shift_of_the_whole_video_is_no_difference_of_time_but_a_drift_is() -> None:
    a = [picture(n, pts=n * 40) for n in range(3)]
    shifted = [f.replace(pts=f.pts * 90 + 777, time_base=Fraction(1, 90000)) for f in a]
    assert compare_frames(a, shifted).warnings == ()
    drifted = [f.replace(pts=f.pts * 2) for f in a]
    assert compare_frames(a, drifted).warnings == ("frames are paired in order, but some pairs lie 80.0 ms apart",)


def test_different_colour_matrices_are_reported() -> None:
    a = picture(1)
    tagged = VideoFormat(width=32, height=24, pixel_format=a.format.pixel_format, color=Color(matrix=Matrix.BT2020_NCL))
    assert "matrix" in compare_frames([a], [a.replace(format=tagged)]).warnings[0]


@pytest.mark.parametrize("other", [{"size": (34, 24)}, {"name": "yuv444p"}, {"name": "yuv420p10"}])
def test_other_sizes_and_formats_are_refused_with_the_chain_to_use(other: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="scale=32:24,format=yuv420p'"):
        compare_frames([picture(1)], [picture(1, **other)])


def test_no_frames_are_refused() -> None:
    with pytest.raises(FormatError, match="nothing to compare: 0 frames against 1"):
        compare_frames([], [picture(1)])


def test_scores_are_handed_out_in_order() -> None:
    frames = [picture(n) for n in range(12)]
    seen: list[int] = []
    compare_frames(frames, frames, on_frame=lambda score: seen.append(score.n))
    assert seen == list(range(12))


def test_json_is_strict_json() -> None:
    a, b = picture(1, pts=80), picture(2)
    written = json.loads(json.dumps(compare_frames([a, a], [a, b]).to_json(), allow_nan=False))
    assert written["frames"] == 2
    assert list(written["psnr"]) == ["y", "u", "v", "average"]
    assert list(written["ssim"]) == ["y", "u", "v", "all"]
    assert written["per_frame"][0]["psnr_avg"] == "inf"
    assert written["per_frame"][1] == {
        "n": 1,
        "time_s": 0.08,
        **{f"psnr_{c}": round(float(decibels(score_pair(a, b).mse[i], 255)), 6) for i, c in enumerate("yuv")},
        "psnr_avg": round(score_pair(a, b).psnr_avg, 6),
        **{f"ssim_{c}": round(score_pair(a, b).ssim[i], 6) for i, c in enumerate("yuv")},
        "ssim_all": round(score_pair(a, b).ssim_all, 6),
    }
