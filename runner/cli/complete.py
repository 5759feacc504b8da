"""Values that the shell completes; each is looked up where it is defined, when the shell asks."""

from __future__ import annotations

from typing import Final

BACKENDS: Final = ("cpu", "cuda")


def codecs() -> list[str]:
    from kernels.io.encode import ENCODERS

    return list(ENCODERS)


def presets() -> list[str]:
    from kernels.io.encode import ENCODERS

    return list(dict.fromkeys(preset for encoder in ENCODERS.values() for preset in encoder.presets))


def pixel_formats() -> list[str]:
    from kernels.io.encode import ENCODERS

    return sorted({name for encoder in ENCODERS.values() for name in encoder.pixel_formats})


def audio_codecs() -> list[str]:
    from kernels.io.containers import AUDIO_CODECS

    return ["copy", *AUDIO_CODECS]


def subtitles() -> list[str]:
    from kernels.io.containers import SUBTITLE_CODECS

    return ["copy", "drop", *SUBTITLE_CODECS]


def operations() -> list[str]:
    from kernels.catalogue import CATALOGUE

    return sorted(CATALOGUE)


def backends() -> list[str]:
    return list(BACKENDS)
