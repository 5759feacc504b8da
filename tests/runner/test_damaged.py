"""Damaged clips, seeded: no hang, no traceback, no crash, and an output only where the exit code is 0.

`--damaged N` says how many. Clip number n is the same everywhere: one of a few small clips with a handful of
bytes flipped, blanked, cut out, doubled or put in at random places.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.runner.clips import write_clip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BATCH: Final = 8
"""Clips for one process: starting it costs more than a clip does."""

CLIP_LIMIT_S: Final = 60
"""Longest a clip may take, on a busy machine too; sound ones of this size take a tenth of a second."""

# Ending, video encoder, audio encoder.
KINDS: Final = (
    ("mp4", "libx264", "aac"),
    ("mkv", "libx264", "flac"),
    ("webm", "libvpx-vp9", "libopus"),
    ("ts", "mpeg2video", "mp2"),
    ("avi", "mpeg4", "ac3"),
    ("mov", "mpeg4", "aac"),
    ("mp4", "libx265", "aac"),
)

# Every other clip goes into an MP4, which is the stricter container.
PROGRAM: Final = """
import faulthandler, json, sys
from pathlib import Path
from runner.cli import main

WAYS = (("mkv", "--codec", "ffv1"), ("mp4", "--preset", "ultrafast"))
faulthandler.enable()
folder = Path(sys.argv[1])
for n, clip in enumerate(sorted((folder / "in").iterdir())):
    faulthandler.dump_traceback_later(float(sys.argv[2]), exit=True)
    print(json.dumps({"begins": clip.name}), flush=True)
    ending, *options = WAYS[n % 2]
    target = folder / "out" / f"{clip.name}.{ending}"
    code = main(["run", str(clip), str(target), "--vf", "hflip", "-q", "--drop-unsupported", *options])
    print(json.dumps({"ends": clip.name, "code": code, "made": target.exists()}), flush=True)
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "numbers" in metafunc.fixturenames:
        count = metafunc.config.getoption("--damaged")
        batches = [range(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]
        metafunc.parametrize("numbers", batches, ids=lambda batch: f"{batch[0]}-{batch[-1]}")


def flip(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice((1, 4, 32))):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def blank(data: bytearray, dice: random.Random) -> None:
    first = dice.randrange(len(data))
    last = min(len(data), first + dice.randrange(1, 400))
    data[first:last] = bytes(last - first)


def cut(data: bytearray, dice: random.Random) -> None:
    first = dice.randrange(len(data))
    del data[first : first + dice.randrange(1, 400)]


def double(data: bytearray, dice: random.Random) -> None:
    first = dice.randrange(len(data))
    data[first:first] = data[first : first + dice.randrange(1, 400)]


def insert(data: bytearray, dice: random.Random) -> None:
    first = dice.randrange(len(data))
    data[first:first] = dice.randbytes(dice.randrange(1, 400))


def end_early(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


WOUNDS: Final[tuple[Callable[[bytearray, random.Random], None], ...]] = (flip, blank, cut, double, insert, end_early)


def damage(sound: bytes, number: int) -> bytes:
    """`sound` with one to three wounds, the same for the same `number`."""
    dice = random.Random(number)
    data = bytearray(sound)
    for wound in dice.choices(WOUNDS, k=dice.randint(1, 3)):
        if data:
            wound(data, dice)
    return bytes(data)


@pytest.fixture(scope="session")
def sound_clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sound")
    return [
        write_clip(folder / f"{n}.{ending}", codec=video, audio=audio, frames=10)
        for n, (ending, video, audio) in enumerate(KINDS)
    ]


def test_damaged_clips_are_concealed_or_refused(
    sound_clips: list[Path], tmp_path: Path, numbers: range, record_property: Callable[[str, object], None]
) -> None:
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    for number in numbers:
        sound = sound_clips[number % len(sound_clips)]
        (inputs / f"{number:03}{sound.suffix}").write_bytes(damage(sound.read_bytes(), number))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(CLIP_LIMIT_S)],
        capture_output=True, text=True, check=False, timeout=CLIP_LIMIT_S * BATCH + 60,
    )  # fmt: skip
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{told[-1]}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    ended = [line for line in told if "ends" in line]
    assert len(ended) == len(numbers)
    for line in ended:
        assert line["code"] in (0, 3), f"{line}\n{done.stderr}"
        assert line["made"] == (line["code"] == 0), line
    assert not [entry for entry in outputs.iterdir() if entry.name.startswith(".")]
    record_property("damaged_concealed", sum(line["code"] == 0 for line in ended))
    record_property("damaged_refused", sum(line["code"] == 3 for line in ended))
