"""NVENC alone: each codec at each of its presets, on frames that are where it takes them from."""

from __future__ import annotations

import io
import time
from fractions import Fraction
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from kernels.backends import probe
from kernels.backends.driver import find_driver
from kernels.errors import UnavailableError
from kernels.frame import VideoFormat
from kernels.io.capabilities import refuse_encode
from kernels.io.encode import EncodeSettings
from kernels.io.mux import Muxer, Reserve
from kernels.io.nvcaps import encoder_caps
from kernels.io.nvenc import DeviceMemory, HostMemory, NvEncoder, pack, surface_shape
from kernels.io.nvenc_options import PRESETS
from kernels.pixel_format import pixel_format
from runner.bench.cases import FORMAT, Case, size_of
from runner.bench.pipeline_suite import RATE, moving
from runner.bench.rows import Report, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kernels.frame import Frame
    from kernels.io.capabilities import EncoderCaps

DISTINCT: Final = 24
"""Pictures that take turns."""


def _cases() -> Iterator[tuple[Case, EncodeSettings]]:
    for codec, presets in PRESETS.items():
        names = {number: name for name, number in reversed(list(presets.items()))}
        for number in sorted(names):
            settings = EncodeSettings(codec=codec, preset=names[number])
            yield Case(name=f"{codec} P{number}", chain=""), settings


_SETTINGS: Final = {case.name: settings for case, settings in _cases()}
ENCODERS: Final = tuple(case for case, _ in _cases())
"""One case for each codec and each of NVENC's presets."""


def measure_encoder(
    cases: Sequence[Case], heights: Sequence[int], on_row: Callable[[Row], None], *, frames: int
) -> Report:
    """Every case at every height, `frames` of each; `on_row` is told each as it is found."""
    rows: list[Row] = []
    missing: list[str] = []
    for height in heights:
        width, _ = size_of(height)
        form = VideoFormat(width=width, height=height, pixel_format=pixel_format(FORMAT), frame_rate=Fraction(RATE))
        pictures = _placed(form)
        for case in cases:
            settings = _SETTINGS[case.name]
            try:
                seconds = _seconds(settings, pictures, _caps(settings, form), frames)
            except UnavailableError as error:
                missing.append(f"{settings.codec} at {height} lines: {error.reason}")
                continue
            rows.append(Row(name=case.name, chain="", size=f"{width}x{height}", seconds=seconds))
            on_row(rows[-1])
    return Report(
        suite="encoder",
        device=", ".join(find_driver().devices[:1]) or "no GPU",
        on_gpu=bool(rows),
        rows=tuple(rows),
        not_measured=tuple(dict.fromkeys(missing)),
    )


def _caps(settings: EncodeSettings, form: VideoFormat) -> EncoderCaps:
    """Raises `UnavailableError` where this GPU does not encode that."""
    caps = encoder_caps(settings.codec)
    refused = refuse_encode(settings, form, caps)
    if refused:
        raise UnavailableError(refused)
    return caps


def _placed(form: VideoFormat) -> list[Frame]:
    """Pictures as the GPU's last kernel leaves them; in host memory where no kernels run on the GPU."""
    frames = list(moving(form, DISTINCT))
    if probe():
        return frames
    import numpy as np

    from kernels.backends.cuda import engine
    from kernels.io.nvdec_memory import surface_planes

    blocks = []
    for frame in frames:
        block = np.empty(surface_shape(form), form.pixel_format.dtype)
        pack(frame, block, np.left_shift)
        blocks.append(engine().upload(block))
    pairs = zip(frames, blocks, strict=True)
    return [frame.replace(planes=surface_planes(block, form)) for frame, block in pairs]


def _seconds(settings: EncodeSettings, pictures: Sequence[Frame], caps: EncoderCaps, frames: int) -> float:
    """Of one frame, from the first that goes in to the last that comes out; opening the session is not counted."""
    form, base = pictures[0].format, Fraction(1, RATE)
    memory: Any = HostMemory() if probe() else DeviceMemory.on_gpu()
    muxer = Muxer(io.BytesIO(), "mkv", reserve=Reserve(), origin_s=Fraction(0))
    try:
        encoder = NvEncoder(settings, form, time_base=base, side_data={}, caps=caps, memory=memory)
        encoder.attach(muxer.container)
        begin = time.perf_counter()
        for number, picture in enumerate(islice(cycle(pictures), frames)):
            for _ in encoder.encode(picture.replace(pts=number, index=number, duration=1, time_base=base)):
                pass
        for _ in encoder.flush():
            pass
        return (time.perf_counter() - begin) / frames
    finally:
        muxer.abandon()
