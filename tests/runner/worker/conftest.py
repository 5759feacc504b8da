"""Sources for runs, made once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import pytest

from tests.kernels.io.clips import X264_OPEN_GOP, Clip, Sound, make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.storage.server import Server

NTSC: Final = Fraction(1001, 30000)
CFR: Final = Clip(frames=44, options=X264_OPEN_GOP, sounds=(Sound(),), rate=1 / NTSC, time_base=NTSC)
CLIPS: Final = {
    "cfr.mp4": CFR,
    "vfr.mkv": replace(CFR, container="mkv", time_base=Fraction(1, 1000), pts=[n * 33 + n * n % 17 for n in range(44)]),
    "ten.mp4": replace(
        CFR,
        pixel_format="yuv420p10le",
        color={"color_range": 1, "colorspace": 9, "color_trc": 16, "color_primaries": 9},
    ),
    "large.mp4": replace(CFR, frames=60, size=(320, 240)),
}


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of `CLIPS`."""
    folder = tmp_path_factory.mktemp("sources")
    for name, clip in CLIPS.items():
        (folder / name).write_bytes(make(clip))
    return folder


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process notes about itself stays in the test's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def account(server: Server, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Locations in an empty bucket by their key; the key of its account is in this process's environment alone."""
    given = server.credentials
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", given.key_id)
    monkeypatch.setenv("B2_APPLICATION_KEY", given.key)
    return lambda key: f"s3://{bucket}/{key}?endpoint={server.url}&region={given.region}"
