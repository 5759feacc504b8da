"""Numbering the frames of a source by its packets, without decoding them.

The packets that are shown, sorted by their presentation time, are the frames: that holds for open groups,
B-frames, edit lists and variable rates. It does not hold where packets have no times, where times jump back, where
two packets make one frame or one makes none. So the beginning is decoded and compared; a source that is not what
its packets say is decoded whole, which is slow and right.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from kernels.errors import InputError
from kernels.frame import Frame
from kernels.io.frame_index import FrameIndex
from kernels.io.skeleton import SkeletonFile, media_ranges
from kernels.io.software import SoftwareDecoder
from kernels.io.source import Source, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from av import Packet

    from kernels.io.source import InputLike

COMPARED_FRAMES: Final = 48
"""Frames at the beginning that are decoded to see whether packets are frames; two groups of most encoders."""
MAX_UNDECODABLE: Final = 64
"""Packets at the beginning that may give no frame, as in a recording that begins between two keyframes."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """One packet that is shown."""

    pts: int
    dts: int
    duration: int
    is_keyframe: bool


def read_index(given: InputLike, *, on_progress: Callable[[int, int], None] | None = None) -> FrameIndex:
    """The frames that `kernels.open` gives for `given`, a path or a seekable binary file object.

    `on_progress(done_bytes, total_bytes)` is called at each read. Of an MP4 only the index is read, of others every
    packet. Raises `InputError` for what cannot be opened or read, or has no frame, and for a pipe.
    """
    check_rewinds(given)
    head = _decoded(given, COMPARED_FRAMES)
    with _skeleton(given, on_progress) as file, Source(cast("BinaryIO", file)) as source:
        shown = _scan(source, file)
        time_base, start_s = source.time_base, source.start_s
    skipped = None if shown is None else _agreement([packet.pts for packet in shown], [pts for pts, _ in head])
    if shown is None or skipped is None:
        frames = _decoded(given, None)
        return FrameIndex(
            time_base=time_base,
            start_s=start_s,
            pts=tuple(pts for pts, _ in frames),
            last_duration=frames[-1][1],
            keyframes=(),
            keyframe_dts=(),
        )
    kept = shown[skipped:]
    keyframes = [(number, packet.dts) for number, packet in enumerate(kept) if packet.is_keyframe]
    return FrameIndex(
        time_base=time_base,
        start_s=start_s,
        pts=tuple(packet.pts for packet in kept),
        last_duration=kept[-1].duration,
        keyframes=tuple(number for number, _ in keyframes),
        keyframe_dts=tuple(dts for _, dts in keyframes),
    )


def check_rewinds(given: InputLike) -> None:
    """Raises `InputError` for what can be read only once: a pipe, a socket, a terminal."""
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        name, rewinds = str(path), not (path.is_fifo() or path.is_socket() or path.is_char_device())
    else:
        name, rewinds = str(getattr(given, "name", "the input")), given.seekable()
    if not rewinds:
        raise InputError(f"{name} can be read only once, and is looked at first; store it as a file")


@contextmanager
def _skeleton(given: InputLike, on_progress: Callable[[int, int], None] | None) -> Iterator[SkeletonFile]:
    """`given` as a file that can be told to leave its media data out."""
    with ExitStack() as stack:
        if isinstance(given, str | os.PathLike):
            name, file = os.fspath(given), cast("BinaryIO", stack.enter_context(Path(given).open("rb")))
        else:
            name, file = str(getattr(given, "name", "input")), given
        yield SkeletonFile(file, media_ranges(file), name, on_progress)


def _scan(source: Source, file: SkeletonFile) -> list[_Shown] | None:
    """The shown packets by presentation time; None when their times cannot be those of frames."""
    found: list[_Shown] = []
    decode_times: list[int] = []
    keyframes: set[int] | None = None
    if file.has_media and "mp4" in source.container.format.name:
        # From here on only the index speaks: parsers that look for keyframes find nothing in zeros.
        keyframes = {entry.timestamp for entry in source.video.index_entries if entry.is_keyframe}
        file.hollow = True
    with reading(source.name, "cannot be read to its end"):
        for packet in source.container.demux(source.video):
            if not packet.size:
                continue
            if packet.dts is not None:
                decode_times.append(packet.dts)
            if packet.is_discard:
                continue
            if packet.pts is None:
                return None
            is_keyframe = packet.is_keyframe if keyframes is None else packet.dts in keyframes
            found.append(_shown(packet, is_keyframe=is_keyframe))
    found.sort(key=lambda one: one.pts)
    rising = all(before.pts < after.pts for before, after in pairwise(found))
    forward = all(before <= after for before, after in pairwise(decode_times))
    return found if found and rising and forward else None


def _shown(packet: Packet, *, is_keyframe: bool) -> _Shown:
    assert packet.pts is not None
    return _Shown(
        pts=packet.pts,
        dts=packet.pts if packet.dts is None else packet.dts,
        duration=packet.duration or 0,
        is_keyframe=is_keyframe,
    )


def _decoded(given: InputLike, count: int | None) -> list[tuple[int, int]]:
    """`(pts, duration)` of the first `count` frames as they are decoded; None decodes all."""
    if not isinstance(given, str | os.PathLike):
        given.seek(0)
    with Source(given) as source, closing(iter(SoftwareDecoder(source))) as events:
        frames = (event for event in events if isinstance(event, Frame))
        return [(frame.pts, frame.duration) for frame in islice(frames, count)]


def _agreement(packets: Sequence[int], frames: Sequence[int]) -> int | None:
    """How many packets at the beginning give no frame; None when the others are not the frames."""
    for skipped in range(min(MAX_UNDECODABLE, len(packets) - 1) + 1):
        if list(packets[skipped : skipped + COMPARED_FRAMES]) == list(frames):
            return skipped
    return None


__all__ = ["FrameIndex", "check_rewinds", "read_index"]
