"""Encoder settings: validated here, true to what the encoders take."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from kernels.color import ChromaLocation, Color
from kernels.errors import EncodeSettingsError
from kernels.frame import Frame, VideoFormat
from kernels.io.encode import ENCODERS, EncodeSettings, encoder_options, encoder_pixel_format
from kernels.io.software_encoder import SoftwareEncoder
from kernels.pixel_format import PIXEL_FORMATS, Family, pixel_format


@pytest.mark.parametrize("codec", ENCODERS)
def test_the_table_lists_what_the_encoder_takes(codec: str) -> None:
    taken = {f.name.removesuffix("le") for f in av.Codec(ENCODERS[codec].name, "w").video_formats or ()}
    assert set(ENCODERS[codec].pixel_formats) == taken & set(PIXEL_FORMATS)


@pytest.mark.parametrize("codec", ENCODERS)
def test_every_pixel_format_of_the_table_encodes(codec: str) -> None:
    for name in ENCODERS[codec].pixel_formats:
        settings = EncodeSettings(codec=codec, preset=_fastest(codec))
        form = VideoFormat(width=64, height=64, pixel_format=pixel_format(name), frame_rate=Fraction(25))
        form = replace(form, color=form.resolved_color)
        with av.open(io.BytesIO(), "w", format="matroska") as out:
            encoder = SoftwareEncoder(out, settings, form, time_base=Fraction(1, 25), side_data={})
            planes = tuple(
                np.zeros(form.plane_size(i), form.pixel_format.dtype) for i in range(form.pixel_format.plane_count)
            )
            packets = [*encoder.encode(Frame(planes=planes, format=form, time_base=Fraction(1, 25))), *encoder.flush()]
            assert len(packets) == 1
            out.mux(packets)


def _fastest(codec: str) -> str | None:
    presets = ENCODERS[codec].presets
    if not presets:
        return None
    return presets[0] if codec in ("h264", "hevc") else presets[-1]


@pytest.mark.parametrize(
    ("codec", "wanted", "expected"),
    [
        ("h264", "yuv420p", "yuv420p"),
        ("h264", "yuv420p10", "yuv420p10"),
        ("h264", "yuv420p12", "yuv420p10"),
        ("h264", "yuv444p16", "yuv444p10"),
        ("h264", "gbrp", "yuv444p"),
        ("h264", "gray", "gray"),
        ("h264", "yuv411p", "yuv422p"),
        ("hevc", "gbrp12", "gbrp12"),
        ("hevc", "yuv422p12", "yuv422p12"),
        ("av1", "yuv444p", "yuv420p"),
        ("av1", "yuv422p16", "yuv420p10"),
        ("av1", "gray", "yuv420p"),
        ("vp9", "yuv440p", "yuv440p"),
        ("vp9", "yuv420p10", "yuv420p"),
        ("ffv1", "gbrp", "gbrp9"),
        ("ffv1", "yuv422p14", "yuv422p14"),
    ],
)
def test_the_nearest_format_loses_least(codec: str, wanted: str, expected: str) -> None:
    assert encoder_pixel_format(EncodeSettings(codec=codec), pixel_format(wanted)).name == expected


@pytest.mark.parametrize("codec", ENCODERS)
@pytest.mark.parametrize("name", PIXEL_FORMATS)
def test_there_is_a_nearest_format_for_every_one(codec: str, name: str) -> None:
    found = encoder_pixel_format(EncodeSettings(codec=codec), pixel_format(name))
    assert found.name in ENCODERS[codec].pixel_formats
    assert found.family is not Family.GRAY or pixel_format(name).family is Family.GRAY


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codec": "h265"}, "unknown codec 'h265'; did you mean 'h264'"),
        ({"crf": 52}, r"crf 52: h264 takes 0 \(best\) to 51"),
        ({"crf": -1}, "crf -1"),
        ({"crf": float("nan")}, "crf nan"),
        ({"codec": "ffv1", "crf": 10}, "lossless and takes no crf"),
        ({"codec": "av1", "crf": 0}, "av1 takes 1"),
        ({"preset": "fastest"}, "unknown h264 preset 'fastest'; allowed: ultrafast"),
        ({"codec": "vp9", "preset": "9"}, "allowed: 0, 1"),
        ({"codec": "ffv1", "preset": "fast"}, "ffv1 has no presets"),
        ({"pixel_format": pixel_format("yuv420p12")}, "h264 cannot encode yuv420p12; allowed: yuv420p"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(EncodeSettingsError, match=message) as caught:
        EncodeSettings(**settings)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_options_of_the_user_win_and_library_parameters_add_up() -> None:
    settings = EncodeSettings(codec="hevc", crf=22.5, options={"x265-params": "aq-mode=3", "preset": "slow"})
    color = Color(chroma_location=ChromaLocation.TOPLEFT)
    form = VideoFormat(width=64, height=64, pixel_format=pixel_format("yuv420p"), color=color)
    options, lost = encoder_options(settings, form, {})
    assert options == {
        "crf": "22.5",
        "preset": "slow",
        "chroma_sample_location": "topleft",
        "x265-params": "log-level=none:aq-mode=3",
    }
    assert lost == ()


def test_an_unknown_option_is_refused() -> None:
    form = VideoFormat(width=64, height=64, pixel_format=pixel_format("yuv420p"))
    settings = EncodeSettings(options={"sharpness_of_mind": "9"})
    with (
        av.open(io.BytesIO(), "w", format="matroska") as out,
        pytest.raises(EncodeSettingsError, match="no option 'sharpness_of_mind'"),
    ):
        SoftwareEncoder(out, settings, form, time_base=Fraction(1, 25), side_data={})
