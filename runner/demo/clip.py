"""The demo's two clips: a clean original, and what a bad camera and a thrifty encoder left of it."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.color import LUMA_WEIGHTS, ChromaLocation, Color, Matrix, Primaries, Range, Transfer
from kernels.frame import Frame, VideoFormat
from kernels.io.authoring import ClipCodec, ClipWriter, Sound
from kernels.pixel_format import PIXEL_FORMATS
from runner.demo.scene import Scene
from runner.demo.sound import SAMPLE_RATE, draw_sound
from storage.local import LocalOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

CHAIN: Final = "nlmeans=s=5.5:p=5:r=9,scale=iw*2:ih*2:flags=lanczos,cas=0.4"
"""Removes the noise while it is small, doubles the size, brings the edges back."""

TIME_BASE: Final = Fraction(1, 1000)
# As phones record in the evening: mostly 25 a second, some frames held longer, a few in quick succession.
_DURATIONS_MS: Final = (40, 40, 40, 33, 50, 40, 67, 33)
_ORIGINAL: Final = ClipCodec(options={"crf": "8", "preset": "veryfast"})
_DEGRADED: Final = ClipCodec(options={"crf": "24", "preset": "veryfast"})
_COLOR: Final = Color(
    matrix=Matrix.BT709,
    transfer=Transfer.BT709,
    primaries=Primaries.BT709,
    range=Range.LIMITED,
    chroma_location=ChromaLocation.LEFT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What the clip is like."""

    width: int = 960
    """A multiple of 4, so that the half-size clip has whole chroma columns."""
    height: int = 540
    frames: int = 112
    noise_sigma: float = 10.0
    """Standard deviation of the noise in 8-bit codes, on every plane of the small clip."""
    seed: int = 7

    def __post_init__(self) -> None:
        if self.width % 4 or self.height % 4:
            raise ValueError(f"demo clip {self.width}x{self.height}: width and height must be multiples of 4")


def degraded_format(settings: DemoSettings) -> VideoFormat:
    """What the degraded clip's frames are like, known before it is drawn."""
    return _video_format(settings.width // 2, settings.height // 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoClip:
    """Where the two clips are, and the chain that restores the second."""

    original: Path
    degraded: Path
    chain: str = CHAIN
    frames: int
    duration_s: float


def make_demo_clip(
    directory: Path, *, settings: DemoSettings | None = None, on_frame: Callable[[int, int], None] | None = None
) -> DemoClip:
    """Write `original.mp4` and `degraded.mp4` into `directory`; equal settings draw equal pictures.

    `on_frame(done, total)` is told of the progress. Each file appears when it is complete. Raises
    `storage.errors.StorageError` or `kernels.errors.OutputError` when one cannot be written.
    """
    settings = settings or DemoSettings()
    durations_ms = np.random.default_rng(settings.seed).choice(_DURATIONS_MS, settings.frames).tolist()
    duration_s = sum(durations_ms) / 1000
    scene = Scene(settings.width, settings.height, seed=settings.seed, duration_s=duration_s)
    sound = Sound(samples=draw_sound(duration_s, scene.ball.bounces_s), rate=SAMPLE_RATE)
    original, degraded = directory / "original.mp4", directory / "degraded.mp4"
    large = _video_format(settings.width, settings.height)
    small = degraded_format(settings)
    with (
        LocalOutput(original, overwrite=True) as clean_file,
        LocalOutput(degraded, overwrite=True) as spoilt_file,
        _writer(clean_file, large, _ORIGINAL, sound) as clean,
        _writer(spoilt_file, small, _DEGRADED, sound) as spoilt,
    ):
        for done, (large_frame, small_frame) in enumerate(_drawn_in_order(scene, settings, durations_ms), 1):
            clean.write(large_frame)
            spoilt.write(small_frame)
            if on_frame is not None:
                on_frame(done, settings.frames)
    return DemoClip(original=original, degraded=degraded, frames=settings.frames, duration_s=duration_s)


def _writer(file: BinaryIO, video_format: VideoFormat, codec: ClipCodec, sound: Sound) -> ClipWriter:
    return ClipWriter(file, video_format, time_base=TIME_BASE, codec=codec, sound=sound, container="mp4")


def _video_format(width: int, height: int) -> VideoFormat:
    return VideoFormat(
        width=width, height=height, pixel_format=PIXEL_FORMATS["yuv420p"], color=_COLOR, frame_rate=Fraction(25)
    )


def _drawn_in_order(scene: Scene, settings: DemoSettings, durations_ms: Iterable[int]) -> Iterator[tuple[Frame, Frame]]:
    """(clean frame, degraded frame) pairs, drawn on all cores with a bounded number in memory."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[tuple[Frame, Frame]]] = deque()
    pts = 0
    with ThreadPoolExecutor(workers, thread_name_prefix="demo") as pool:
        for index, duration in enumerate(durations_ms):
            waiting.append(pool.submit(_draw_pair, scene, settings, index, pts, duration))
            pts += duration
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _draw_pair(scene: Scene, settings: DemoSettings, index: int, pts: int, duration: int) -> tuple[Frame, Frame]:
    yuv = _to_yuv(scene.picture(float(pts * TIME_BASE)))
    half = yuv.reshape(3, settings.height // 2, 2, settings.width // 2, 2).mean(axis=(2, 4), dtype=np.float32)
    rng = np.random.default_rng((settings.seed, index))
    frames = []
    for picture, sigma in ((yuv, 0.0), (half, settings.noise_sigma)):
        planes = [picture[0], _subsample(picture[1]), _subsample(picture[2])]
        if sigma:
            planes = [plane + sigma * rng.standard_normal(plane.shape, np.float32) for plane in planes]
        codes = tuple(np.clip(np.rint(plane), 0, 255).astype(np.uint8) for plane in planes)
        frame_format = _video_format(picture.shape[2], picture.shape[1])
        frames.append(
            Frame(planes=codes, format=frame_format, pts=pts, time_base=TIME_BASE, duration=duration, index=index)
        )
    return frames[0], frames[1]


def _to_yuv(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """R'G'B' 0..1 as Y', Cb, Cr codes of limited range, H.273 equations 38 to 40 with BT.709's weights."""
    kr, kb = (float(weight) for weight in LUMA_WEIGHTS[Matrix.BT709])
    red, green, blue = rgb
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    codes = [16 + 219 * luma, 128 + 112 / (1 - kb) * (blue - luma), 128 + 112 / (1 - kr) * (red - luma)]
    return np.stack(codes).astype(np.float32, copy=False)


def _subsample(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half the columns and rows of a chroma plane, sited left: 1 2 1 across, the mean of two rows down.

    An odd last row is its own mean.
    """
    if plane.shape[0] % 2:
        plane = np.concatenate([plane, plane[-1:]])
    rows = (plane[0::2] + plane[1::2]) / np.float32(2)
    before = np.concatenate([rows[:, :1], rows[:, 1:-1:2]], axis=1)
    mean: NDArray[np.float32] = (before + np.float32(2) * rows[:, 0::2] + rows[:, 1::2]) / np.float32(4)
    return mean
