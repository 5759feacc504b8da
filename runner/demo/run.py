"""The whole demo: draw a clip, spoil it, restore it, compare it with the original, show the result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from kernels.backends.cpu import CpuExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.compare import Comparison, compare, compare_frames
from kernels.errors import StoppedError
from kernels.io.encode import EncodeSettings
from kernels.io.reader import open_video
from kernels.io.still import encode_still, enlarged_by_player, to_rgb
from kernels.pipeline import Progress, process
from kernels.plan import plan_chain
from runner.demo.clip import CHAIN, DemoClip, DemoSettings, degraded_format, make_demo_clip
from runner.demo.picture import before_and_after
from runner.report import ReportPicture, choose_frames, write_report
from storage.errors import OutputFolderError
from storage.local import LocalOutput

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from kernels.frame import Frame

BEFORE: Final = "degraded, enlarged"
AFTER: Final = "restored"
ORIGINAL: Final = "original"
_ENCODE: Final = EncodeSettings(codec="h264", crf=16, preset="veryfast")
_PICTURE_AT: Final = 0.62
"""Which frame becomes the before/after picture, as a part of the clip: the ball is in the air there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demo made and measured."""

    clip: DemoClip
    restored: Path
    report: Path
    picture: Path
    before: Comparison
    """The degraded clip against the original, enlarged as a player does it."""
    after: Comparison
    """The restored clip against the original."""
    first_frame_s: float
    """From the start to the first restored frame."""
    elapsed_s: float


def run_demo(
    directory: Path,
    *,
    say: Callable[[str], None],
    settings: DemoSettings | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> DemoResult:
    """Run the demo into `directory`, which is made when it is missing; `say` is told each step in a line.

    `on_progress` hears of every frame drawn and restored; setting `stop` ends the demo with `StoppedError`.
    Raises `storage.errors.StorageError` or `kernels.errors.OutputError` when a file cannot be written.
    """
    settings = settings or DemoSettings()
    show = on_progress or _ignore
    began_s = monotonic()
    make_folder(directory)
    clip = _draw(directory, settings, say, show, stop)
    say(f"restoring it: {clip.chain}")
    restored, report, picture = (directory / name for name in ("restored.mp4", "report.html", "before-after.png"))
    first_frame_s = _restore(clip, restored, began_s, show, stop)
    say(f"first restored frame after {first_frame_s:.1f} s; comparing with the original")
    after = compare(restored, clip.original)
    with open_video(clip.original) as original:
        before = compare_frames(_enlarged(clip, settings), original)
    _write_report(report, clip, restored, settings, before, after)
    _write_picture(picture, clip, restored, settings)
    found = DemoResult(
        clip=clip,
        restored=restored,
        report=report,
        picture=picture,
        before=before,
        after=after,
        first_frame_s=first_frame_s,
        elapsed_s=monotonic() - began_s,
    )
    for line in _summary(found):
        say(line)
    return found


def make_folder(directory: Path) -> None:
    """Make `directory`. Raises `OutputFolderError` when that cannot be."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputFolderError(f"cannot make the folder {directory}: {reason}; give another one") from error


def _draw(
    directory: Path,
    settings: DemoSettings,
    say: Callable[[str], None],
    show: Callable[[Progress], None],
    stop: threading.Event | None,
) -> DemoClip:
    """The clip, drawn while the chain's kernels compile in another thread."""
    say(f"drawing a clip of {settings.frames} frames with sound, and spoiling it")

    def on_frame(done: int, total: int) -> None:
        if stop is not None and stop.is_set():
            raise StoppedError("stopped while drawing")
        show(Progress(phase="drawing", frames_in=done, frames_out=done, frames_total=total))

    with ThreadPoolExecutor(1, thread_name_prefix="compile") as pool:
        compiling = pool.submit(_compile, settings)
        clip = make_demo_clip(directory, settings=settings, on_frame=on_frame)
        show(Progress(phase="compiling kernels"))
        compiling.result()
    return clip


def _compile(settings: DemoSettings) -> None:
    steps = parse_chain(CHAIN, CATALOGUE)
    with CpuExecutor(plan_chain(degraded_format(settings), steps)) as executor:
        executor.warm_up()


def _restore(
    clip: DemoClip,
    restored: Path,
    began_s: float,
    show: Callable[[Progress], None],
    stop: threading.Event | None,
) -> float:
    """Run the chain; returns when the first frame came out, in seconds after `began_s`."""
    first_frame_s: list[float] = []

    def on_progress(progress: Progress) -> None:
        if progress.frames_out and not first_frame_s:
            first_frame_s.append(monotonic() - began_s)
        show(progress)

    with LocalOutput(restored, overwrite=True) as sink:
        process(
            clip.degraded,
            sink,
            container="mp4",
            chain=clip.chain,
            encode=_ENCODE,
            on_progress=on_progress,
            stop=stop,
        )
    return first_frame_s[0] if first_frame_s else monotonic() - began_s


def _enlarged(clip: DemoClip, settings: DemoSettings) -> Iterator[Frame]:
    with open_video(clip.degraded) as video:
        for frame in video:
            yield enlarged_by_player(frame, settings.width, settings.height)


def _versions(
    clip: DemoClip, restored: Path, settings: DemoSettings, numbers: Collection[int]
) -> dict[int, dict[str, Frame]]:
    """{frame number: {version: frame}} of the three versions of the clip."""
    found: dict[int, dict[str, Frame]] = {n: {} for n in numbers}
    with open_video(restored) as after, open_video(clip.original) as original:
        for name, frames in ((BEFORE, _enlarged(clip, settings)), (AFTER, after), (ORIGINAL, original)):
            for n, frame in enumerate(frames):
                if n in found:
                    found[n][name] = frame
    return found


def _write_report(
    path: Path, clip: DemoClip, restored: Path, settings: DemoSettings, before: Comparison, after: Comparison
) -> None:
    chosen = choose_frames(after)
    versions = _versions(clip, restored, settings, chosen)
    pictures = [ReportPicture(label=label, n=n, frames=versions[n]) for n, label in chosen.items()]
    subtitle = (
        f"{clip.frames} frames, {settings.width}x{settings.height}, against the clean original. Chain: {clip.chain}"
    )
    write_report(path, {BEFORE: before, AFTER: after}, pictures, title="The demo clip, restored", subtitle=subtitle)


def _write_picture(path: Path, clip: DemoClip, restored: Path, settings: DemoSettings) -> None:
    n = int(clip.frames * _PICTURE_AT)
    versions = _versions(clip, restored, settings, [n])[n]
    picture = before_and_after(to_rgb(versions[BEFORE]), to_rgb(versions[AFTER]))
    with LocalOutput(path, overwrite=True) as file:
        file.write(encode_still(picture, "png"))


def _summary(found: DemoResult) -> Iterator[str]:
    before, after = found.before, found.after
    yield f"against the clean original, {after.frames} frames:"
    yield f"  {BEFORE:<20} PSNR {before.psnr['average']:5.2f} dB   SSIM {before.ssim['all']:.4f}"
    yield f"  {AFTER:<20} PSNR {after.psnr['average']:5.2f} dB   SSIM {after.ssim['all']:.4f}"
    yield f"done in {found.elapsed_s:.1f} s; look at"
    yield f"  {found.report}       before/after slider and curves, in a browser"
    yield f"  {found.picture}  the same as one picture"
    yield f"  {found.restored}      and {found.clip.degraded.name}, {found.clip.original.name} beside it, in a player"


def _ignore(_progress: Progress) -> None:
    pass
