"""Whole jobs against decoding alone: what of a decoder's rate is left when frames are filtered and encoded too."""

from __future__ import annotations

import io
import tempfile
import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.choice import Choice, Wishes
from kernels.frame import Frame, VideoFormat
from kernels.io.authoring import ClipCodec, ClipWriter
from kernels.io.encode import EncodeSettings
from kernels.io.source import Source
from kernels.io.span import Span
from kernels.pipeline import process
from kernels.pixel_format import pixel_format
from runner.bench.cases import FORMAT, size_of
from runner.bench.rows import Report, Row, cores, cpu_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.bench.cases import Case

FRAMES: Final = 120
RATE: Final = 25
_CODEC: Final = ClipCodec(options={"crf": "18", "preset": "ultrafast"})


def measure_pipeline(
    cases: Sequence[Case], heights: Sequence[int], on_row: Callable[[Row], None], *, frames: int = FRAMES
) -> Report:
    """Every case on a clip of each height, decoding alone first; `on_row` is told each as it is found."""
    rows: list[Row] = []
    used: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for height in heights:
            clip = Path(folder) / f"{height}.mp4"
            _write(clip, height, frames)
            decode_s, decoder = _decode(clip)
            size = "{}x{}".format(*size_of(height))
            rows.append(Row(name=f"decode only ({decoder})", chain="", size=size, seconds=decode_s))
            on_row(rows[-1])
            for case in cases:
                seconds, how = _job(clip, case.chain, frames)
                used.add(how)
                row = Row(name=case.name, chain=case.chain, size=size, seconds=seconds, peers={"decode only": decode_s})
                rows.append(row)
                on_row(row)
    on_gpu = any("cuda" in how or "NVDEC" in how for how in used)
    left_out = () if on_gpu else ("GPU figures are not measured: no part of these jobs ran on a GPU",)
    device = f"{cpu_name()}, {cores()} threads; {'; '.join(sorted(used))}"
    return Report(suite="pipeline", device=device, on_gpu=on_gpu, rows=tuple(rows), not_measured=left_out)


def moving(form: VideoFormat, frames: int) -> Iterator[Frame]:
    """A soft picture with a little noise that moves: about as hard to code as film."""
    width, height = form.width, form.height
    rng = np.random.default_rng(5)
    y, x = np.mgrid[: 2 * height, : 2 * width]
    wide = 128 + 60 * np.sin(x / 37) * np.cos(y / 23) + rng.normal(0, 2, x.shape)
    luma = np.clip(wide, 16, 235).astype(np.uint8)
    chroma = np.full(form.plane_size(1), 128, np.uint8)
    for i in range(frames):
        top, left = 3 * i % height, 5 * i % width
        planes = (np.ascontiguousarray(luma[top : top + height, left : left + width]), chroma, chroma)
        yield Frame(planes=planes, format=form, pts=i, time_base=Fraction(1, RATE), duration=1, index=i)


def _write(path: Path, height: int, frames: int) -> None:
    width, height = size_of(height)
    form = VideoFormat(width=width, height=height, pixel_format=pixel_format(FORMAT), frame_rate=Fraction(RATE))
    with (
        path.open("wb") as file,
        ClipWriter(file, form, time_base=Fraction(1, RATE), codec=_CODEC, container="mp4") as writer,
    ):
        for frame in moving(form, frames):
            writer.write(frame)


def _decode(clip: Path) -> tuple[float, str]:
    """Seconds a frame of decoding alone, with the decoder that a job would have; and its name."""
    choice = Choice(Wishes.of("auto"))
    with Source(clip) as source:
        decoder = choice.decoder(source, copied=(), span=Span())
        with closing(iter(decoder)) as events:
            next(events)  # whatever starting takes is not decoding
            begin = time.perf_counter()
            count = sum(1 for event in events if isinstance(event, Frame))
            return (time.perf_counter() - begin) / max(count, 1), choice.decoder_name


def _job(clip: Path, chain: str, frames: int) -> tuple[float, str]:
    """Seconds a frame of a whole job, from its first frame on; and who did what."""
    settings = EncodeSettings(codec="h264", preset="ultrafast")
    done = process(clip, io.BytesIO(), container="mp4", chain=chain, encode=settings, backend="auto")
    assert done.frames_out == frames
    how = f"decoder: {done.decoder}, filters: {done.backend}, encoder: {done.encoder}"
    return done.elapsed_s / done.frames_out, how
