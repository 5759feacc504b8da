"""The demo's clips: drawn alike every time, timed irregularly, with sound that fits the picture."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from runner.demo.ball import Ball
from runner.demo.clip import DemoClip, DemoSettings, make_demo_clip
from runner.demo.glyphs import draw_text
from runner.demo.scene import Scene
from runner.demo.sound import SAMPLE_RATE, draw_sound

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TINY = DemoSettings(width=96, height=56, frames=20)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> DemoClip:
    return make_demo_clip(tmp_path_factory.mktemp("clip"), settings=TINY)


def decoded(path: Path) -> tuple[list[float], list[NDArray[Any]]]:
    """(times in seconds, luma) of the frames of a file."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    base = frames[0].time_base or Fraction(1)
    return [float((f.pts or 0) * base) for f in frames], [f.to_ndarray()[: f.height, : f.width] for f in frames]


def test_both_clips_have_the_same_irregular_times_and_the_second_half_the_size(clip: DemoClip) -> None:
    times, pictures = decoded(clip.original)
    small_times, small_pictures = decoded(clip.degraded)
    assert len(times) == clip.frames == TINY.frames
    assert times == small_times
    assert len(set(np.diff(times).round(3))) > 2
    assert pictures[0].shape == (56, 96)
    assert small_pictures[0].shape == (28, 48)


def test_the_small_clip_is_as_noisy_as_asked_for(clip: DemoClip) -> None:
    """Encoding takes some of the noise away, never most of it."""
    _, clean = decoded(clip.original)
    _, noisy = decoded(clip.degraded)
    half = clean[5].astype(float).reshape(28, 2, 48, 2).mean(axis=(1, 3))
    sky = slice(0, 14)
    noise = (noisy[5][sky] - half[sky]).std()
    assert 0.3 * TINY.noise_sigma < noise < 1.3 * TINY.noise_sigma


def test_clips_carry_stereo_sound_of_the_same_length_and_tagged_colour(clip: DemoClip) -> None:
    for path in (clip.original, clip.degraded):
        with av.open(path) as container:
            video, sound = container.streams.video[0], container.streams.audio[0]
            assert (sound.codec_context.name, sound.channels, sound.rate) == ("aac", 2, 48_000)
            assert float((sound.duration or 0) * (sound.time_base or 0)) == pytest.approx(clip.duration_s, abs=0.03)
            context = video.codec_context
            assert (context.colorspace, context.color_trc, context.color_primaries, context.color_range) == (1, 1, 1, 1)


def test_pictures_follow_from_the_seed() -> None:
    first, again, other = (Scene(96, 56, seed=seed, duration_s=1).picture(0.5) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (3, 56, 96)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1


def test_the_ball_touches_the_ground_when_a_note_starts() -> None:
    ball = Ball(duration_s=2.5)
    assert ball.bounces_s == pytest.approx((0.4, 1.2, 2.0))
    lowest = max(ball.center(t)[1] for t in np.linspace(0, 2.5, 500))
    for bounce_s in ball.bounces_s:
        assert ball.center(bounce_s)[1] == pytest.approx(lowest, abs=1.5)
    sound = draw_sound(2.5, ball.bounces_s)
    for bounce_s in ball.bounces_s:
        at = round(bounce_s * SAMPLE_RATE)
        before, after = (np.abs(part).max() for part in (sound[:, at - 2000 : at], sound[:, at : at + 2000]))
        assert after > 2 * before


def test_text_is_made_of_whole_dots() -> None:
    mask = draw_text("HI", 3)
    assert mask.shape == (7 * 3, 11 * 3)
    assert set(np.unique(mask)) == {0.0, 1.0}


def test_sizes_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(ValueError, match="multiples of 4"):
        DemoSettings(width=98)
