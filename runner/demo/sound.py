"""The demo's sound: a note whenever the ball touches the ground, over a quiet chord."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

SAMPLE_RATE: Final = 48_000
"""Samples a second."""
# A pentatonic scale from A4, equal temperament: semitones above 440 Hz.
_SCALE: Final = (0, 2, 4, 7, 9, 12)
_CHORD_HZ: Final = (110.0, 164.8, 220.0)
_DECAY_S: Final = 0.22


def draw_sound(duration_s: float, notes_s: Iterable[float]) -> NDArray[np.float32]:
    """(2, samples) float32 in -1..1 at 48 kHz: a note starts at each of `notes_s` and moves from left to right."""
    time_s = np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
    fade = np.clip(np.minimum(time_s, duration_s - time_s) / 0.5, 0, 1)
    chord = sum(np.sin(2 * np.pi * hertz * time_s) for hertz in _CHORD_HZ) * fade * 0.03
    sound = np.stack([chord, chord])
    for number, start_s in enumerate(notes_s):
        first = round(start_s * SAMPLE_RATE)
        since_s = time_s[first:] - start_s
        hertz = 440.0 * 2 ** (_SCALE[number % len(_SCALE)] / 12)
        strike = np.clip(since_s / 0.003, 0, 1) * np.exp(-since_s / _DECAY_S)
        note = 0.4 * strike * (np.sin(2 * np.pi * hertz * since_s) + 0.25 * np.sin(4 * np.pi * hertz * since_s))
        right = start_s / duration_s
        sound[:, first:] += np.stack([note * (1 - right), note * right])
    return np.clip(sound, -1, 1).astype(np.float32)
