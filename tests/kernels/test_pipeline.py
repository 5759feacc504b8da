"""Whole jobs: what goes in comes out, on time, with everything beside the picture untouched."""

from __future__ import annotations

import io
import random
import subprocess
import threading
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import pytest

from kernels.errors import FormatError, InputError, StoppedError
from kernels.io.encode import EncodeSettings
from kernels.pipeline import Progress, process
from tests.kernels.io.clips import (
    X264_B_FRAMES,
    X264_OPEN_GOP,
    Clip,
    Sound,
    from_first,
    make,
    of_kind,
    shown_times,
    times,
)

if TYPE_CHECKING:
    from pathlib import Path
from tests.kernels.io.jobs import FAST, LOSSLESS, UNEVEN, run, samples

CLIPS = {
    "constant rate": Clip(),
    "ntsc": Clip(time_base=Fraction(1001, 30000), rate=Fraction(30000, 1001)),
    "b frames": Clip(options=X264_B_FRAMES, frames=30),
    "open groups": Clip(options=X264_OPEN_GOP, frames=30),
    "variable rate": Clip(pts=UNEVEN, time_base=Fraction(1, 90000)),
    "variable rate, b frames": Clip(pts=UNEVEN, time_base=Fraction(1, 90000), options=X264_B_FRAMES),
    "matroska": Clip(container="mkv", options=X264_B_FRAMES, frames=30),
    "transport stream": Clip(container="ts", options=X264_B_FRAMES, frames=30),
    "starts late": Clip(pts=[n + 50 for n in range(12)]),
    "odd size": Clip(codec="ffv1", options={}, container="mkv", size=(61, 37)),
    "ten bits": Clip(pixel_format="yuv422p10le"),
    "gray": Clip(pixel_format="gray"),
}


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_comes_out_at_its_time(name: str, container: str) -> None:
    clip = CLIPS[name]
    encode = FAST if name != "odd size" else replace(FAST, pixel_format=None)
    chain = "pad=62:38" if name == "odd size" else ""
    data = make(clip)
    out, result = run(data, container, encode=encode, chain=chain)
    expected = from_first(shown_times(data))
    got = from_first(shown_times(out))
    assert result.frames_in == result.frames_out == len(expected) == len(got)
    limit_s = Fraction(0) if container in ("mp4", "mov") else Fraction(1, 2000)
    assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) <= limit_s
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("container", "encode"),
    [
        ("mp4", EncodeSettings(codec="hevc", preset="ultrafast")),
        ("mp4", EncodeSettings(codec="av1", preset="12")),
        ("webm", EncodeSettings(codec="av1", preset="12")),
        ("webm", EncodeSettings(codec="vp9", preset="8")),
        ("mkv", EncodeSettings(codec="ffv1")),
        ("mov", EncodeSettings(codec="h264", preset="veryfast")),
    ],
    ids=lambda value: value if isinstance(value, str) else value.codec,
)
def test_every_codec_keeps_variable_times(container: str, encode: EncodeSettings) -> None:
    clip = Clip(pts=UNEVEN, time_base=Fraction(1, 90000), options=X264_B_FRAMES)
    out, result = run(make(clip), container, encode=encode)
    got, expected = from_first(shown_times(out)), from_first(times(clip))
    limit_s = Fraction(0) if container in ("mp4", "mov") else Fraction(1, 2000)
    assert max(abs(a - b) for a, b in zip(got, expected, strict=True)) <= limit_s
    assert result.frames_out == len(UNEVEN)


def test_lossless_output_holds_the_decoded_samples() -> None:
    data = make(Clip(options=X264_B_FRAMES, frames=20))
    out, _ = run(data, "mkv", encode=LOSSLESS)
    assert samples(out) == samples(data)


def test_a_chain_changes_size_and_the_encoder_gets_what_it_takes() -> None:
    out, _ = run(make(Clip(pixel_format="yuv444p")), chain="crop=32:24", encode=replace(FAST, pixel_format=None))
    with av.open(io.BytesIO(out)) as opened:
        frame = next(opened.decode(video=0))
    assert (frame.width, frame.height, frame.format.name) == (32, 24, "yuv444p")


@pytest.mark.parametrize(("start", "duration"), [(0.5, None), (None, 0.4), (0.52, 0.4), (1, 0.04)])
@pytest.mark.parametrize("options", [X264_B_FRAMES, X264_OPEN_GOP], ids=["closed", "open"])
def test_a_span_is_exact_to_the_frame(start: float | None, duration: float | None, options: dict[str, str]) -> None:
    data = make(Clip(frames=40, options=options, sounds=(Sound(),)))
    begin = Fraction(start or 0).limit_denominator(1000)
    end = begin + Fraction(duration).limit_denominator(1000) if duration else Fraction(100)
    out, result = run(data, "mkv", encode=LOSSLESS, start=begin, duration=end - begin if duration else None)
    chosen = [n for n, when in enumerate(shown_times(data)) if begin <= when < end]
    whole = samples(data)
    assert samples(out) == [whole[n] for n in chosen]
    assert result.frames_out == len(chosen)
    assert result.warnings == ()
    sound, cut = of_kind(data, "audio")[0], of_kind(out, "audio")[0]
    first = begin if start else Fraction(-1)  # the priming of the encoder lies before the first picture
    inside = [
        data for when, data in zip(sound.pts, sound.data, strict=True) if when is not None and first <= when < end
    ]
    assert list(cut.data) == inside


def test_a_span_moves_chapters() -> None:
    clip = Clip(container="mkv", frames=50, chapters=((0, 500, "a"), (500, 1500, "b"), (1500, 2000, "c")))
    out, _ = run(make(clip), "mkv", start=1, duration=0.4)
    with av.open(io.BytesIO(out)) as opened:
        found = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in opened.chapters()]
    assert found == [(0, Fraction(2, 5))]


def test_the_index_comes_first_in_mp4() -> None:
    out, _ = run(make(Clip(sounds=(Sound(),))))
    assert _boxes(out)[:3] == ["ftyp", "moov", "free"]
    assert _boxes(out)[-1] == "mdat"


@pytest.mark.parametrize("reserve", [16, 200, 1200, 2000])
def test_a_reserve_too_small_costs_nothing_but_a_warning(reserve: int) -> None:
    clip = Clip(frames=60, sounds=(Sound(),), options=X264_B_FRAMES)
    data = make(clip)
    out, result = run(data, index_reserve_bytes=reserve)
    assert any("index" in warning for warning in result.warnings)
    assert [box for box in _boxes(out) if box != "free"] == ["ftyp", "mdat", "moov"]
    assert from_first(shown_times(out)) == from_first(times(clip))
    assert of_kind(out, "audio")[0].data == of_kind(data, "audio")[0].data


def test_matroska_survives_a_reserve_too_small() -> None:
    data = make(Clip(frames=60, sounds=(Sound(),)))
    out, result = run(data, "mkv", index_reserve_bytes=40, encode=LOSSLESS)
    assert any("seeking" in warning for warning in result.warnings)
    assert len(shown_times(out)) == 60
    assert of_kind(out, "audio")[0].data == of_kind(data, "audio")[0].data
    with av.open(io.BytesIO(out)) as opened:
        assert opened.duration is not None
        assert opened.duration >= 2_400_000


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "ffv1"])
def test_encoders_write_nothing_to_the_terminal(codec: str, capfd: pytest.CaptureFixture[str]) -> None:
    presets = {"h264": "ultrafast", "hevc": "ultrafast", "av1": "12", "vp9": "8"}
    run(make(Clip(frames=3)), "mkv", encode=EncodeSettings(codec=codec, preset=presets.get(codec)))
    assert capfd.readouterr() == ("", "")


def test_matroska_has_its_cues_in_front() -> None:
    out, _ = run(make(Clip(frames=40)), "mkv")
    assert 0 < out.find(bytes.fromhex("1c53bb6b")) < out.find(bytes.fromhex("1f43b675"))


def _boxes(data: bytes) -> list[str]:
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 8].decode())
        assert size >= 8
        at += size
    assert at == len(data)
    return found


def test_an_odd_size_that_the_encoder_cannot_take_is_refused() -> None:
    with pytest.raises(FormatError, match="crop=60:36"):
        run(make(CLIPS["odd size"]))


def test_stop_ends_the_job_at_once() -> None:
    stop = threading.Event()

    def stop_at_the_third_report(progress: Progress) -> None:
        if progress.phase == "processing":
            stop.set()

    target = io.BytesIO()
    with pytest.raises(StoppedError):
        process(
            io.BytesIO(make(Clip(frames=200, size=(320, 240)))),
            target,
            container="mp4",
            encode=EncodeSettings(codec="hevc", preset="veryslow"),
            on_progress=stop_at_the_third_report,
            stop=stop,
        )
    assert not any(thread.name in ("decode", "filter", "encode") for thread in threading.enumerate())


def test_an_error_of_the_sink_reaches_the_caller() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() + len(data) > 3000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    with pytest.raises(OSError, match="No space left"):
        process(io.BytesIO(make(Clip(frames=60))), Full(), container="mkv", encode=LOSSLESS)


def test_an_error_of_the_source_reaches_the_caller() -> None:
    class Lost(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > (1 << 20):
                raise TimeoutError("the connection is gone")
            return super().read(size)

    data = make(Clip(container="mkv", codec="rawvideo", options={}, size=(320, 240), frames=40))
    with pytest.raises(TimeoutError, match="the connection is gone"):
        process(Lost(data), io.BytesIO(), container="mkv", encode=FAST)


def test_progress_tells_phases_and_counts() -> None:
    seen: list[Progress] = []
    _, result = run(make(Clip(frames=40)), on_progress=seen.append)
    assert list(dict.fromkeys(p.phase for p in seen)) == ["opening", "compiling kernels", "processing", "finishing"]
    assert seen[-1].frames_out == result.frames_out == 40
    assert all(p.frames_total == 40 for p in seen if p.phase == "processing")


def test_result_has_the_promised_fields() -> None:
    _, result = run(make(Clip()))
    told = result.to_json()
    assert {"frames_in", "frames_out", "damaged_packets", "elapsed_s", "fps", "backend", "stages"} <= set(told)
    assert [stage["name"] for stage in told["stages"]] == ["decode", "filter", "encode"]
    assert all(set(stage) == {"name", "frames", "busy_s", "wait_s"} for stage in told["stages"])
    assert all(stage["frames"] == 12 for stage in told["stages"])


def _damaged(data: bytes) -> bytes:
    """The middle packets of the picture with their insides overwritten."""
    spoiled = bytearray(data)
    with av.open(io.BytesIO(data)) as opened:
        packets = [(p.pos, p.size) for p in opened.demux(video=0) if p.size]
    for position, size in packets[4:7]:
        assert position is not None
        spoiled[position + 12 : position + size - 4] = bytes(size - 16)
    return bytes(spoiled)


def test_damage_is_concealed_and_counted() -> None:
    data = _damaged(make(Clip(frames=24, size=(160, 120), options={"preset": "ultrafast", "g": "30"})))
    out, result = run(data)
    assert result.damaged_packets >= 3
    assert any("damaged" in warning for warning in result.warnings)
    assert result.frames_out == len(shown_times(out))
    with pytest.raises(InputError, match=r"frame \d+ (is damaged|cannot be decoded)"):
        run(data, strict=True)


def test_a_change_of_size_on_the_way_is_named() -> None:
    parts = [
        _elementary(Clip(container="ts", size=size, frames=10, codec="mpeg2video", options={}))
        for size in ((64, 48), (96, 64))
    ]
    with pytest.raises(InputError, match=r"from 64x48 yuv420p to 96x64 yuv420p at frame \d+"):
        run(b"".join(parts))


def _elementary(clip: Clip) -> bytes:
    return b"".join(of_kind(make(clip), "video")[0].data)


@pytest.mark.parametrize("seed", range(6))
def test_as_many_frames_come_out_of_a_damaged_file_as_ffmpeg_shows(seed: int, ffmpeg: str, tmp_path: Path) -> None:
    clip = Clip(frames=40, size=(160, 120), options=X264_B_FRAMES, container="mkv" if seed % 2 else "mp4")
    data = bytearray(make(clip))
    with av.open(io.BytesIO(bytes(data))) as opened:
        packets = [(p.pos, p.size) for p in opened.demux(video=0) if p.size and p.pos is not None]
    dice = random.Random(seed)
    for position, size in dice.sample(packets[1:], 5):
        at = position + 16 + dice.randrange(max(1, size - 24))
        data[at] ^= 1 << dice.randrange(8)
    path = tmp_path / "damaged"
    path.write_bytes(data)
    command = [ffmpeg, "-v", "error", "-i", str(path), "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    expected = sum(not line.startswith("#") for line in shown.splitlines())
    _, result = run(bytes(data), "mkv")
    assert abs(result.frames_out - expected) <= 1
    assert result.frames_out == result.frames_in


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_the_same_job_writes_the_same_bytes(container: str) -> None:
    data = make(Clip(options=X264_B_FRAMES, frames=30))
    encode = EncodeSettings(codec="h264", preset="veryfast")
    first, second = (run(data, container, encode=encode, chain="scale=iw*2:ih*2,cas=0.4")[0] for _ in range(2))
    assert first == second
