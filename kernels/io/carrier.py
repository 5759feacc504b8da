"""The file that carries one segment from the machine that encoded it to the one that joins all of them.

It is NUT, which keeps every packet, the encoder's extradata and exact distances in any time base as they are: MP4
and Matroska would rewrite the first two or round the third. Nothing seeks in it, neither to write nor to read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import av

from kernels.errors import InputError, OutputError
from kernels.io.containers import Container
from kernels.io.mux import BUFFER_BYTES, Muxer, Reserve
from kernels.io.parameter_sets import extradata_digest
from kernels.io.source import codec_name, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from av import Packet
    from av.video.stream import VideoStream

CARRIER: Final = Container(
    muxer="nut",
    video=frozenset({"h264", "hevc", "av1", "vp9", "ffv1"}),
    audio=frozenset(),
    subtitles=frozenset(),
    text_subtitles=None,
    attachments=False,
    cover=False,
    is_mp4=False,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFacts:
    """What a segment's file holds."""

    frames: int
    """Packets; each is one frame."""
    length_s: Fraction
    """From the first frame's time to the last one's; where it begins is of no account."""
    reorder_frames: int
    """By how many places at most a packet comes later in the file than its frame in time, here or in any other
    segment of the same encoder, as far as the stream's headers tell."""
    extradata_sha256: str
    """Of the parameter sets alone; see `extradata_digest`."""
    size_bytes: int
    sha256: str
    """Of the whole file."""


class Carrier(Muxer):
    """Writes one video stream into `sink`, which needs `write` alone."""

    def __init__(self, sink: BinaryIO) -> None:
        super().__init__(_Forward(sink), CARRIER, reserve=Reserve(), origin_s=Fraction(0))  # type: ignore[arg-type]

    def _options(self, *_: object) -> dict[str, str]:
        return {"fflags": "+bitexact"}

    def set_video(self, stream: VideoStream, sample_aspect_ratio: Fraction) -> None:
        del sample_aspect_ratio  # the final container says it
        self._video = stream


class _Forward:
    """A sink at its end; only where it stands is asked of it."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target
        self._position = 0

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        while view:
            written = self._target.write(view)
            taken = len(view) if written is None else written
            self._position += taken
            view = view[taken:]
        return len(memoryview(data).cast("B"))

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0, /) -> int:
        if whence or offset != self._position:
            raise OutputError("a segment is written forward only")
        return offset


class SegmentReader:
    """The packets of a segment's file in decode order, read once and forward. Raises `InputError` for another file."""

    def __init__(self, file: BinaryIO, name: str, *, on_read: Callable[[int], None] | None = None) -> None:
        self._file = _Hashed(file, on_read)
        self._name = name
        with reading(name, "is no segment"):
            self._container = av.open(self._file, "r", format=CARRIER.muxer, buffer_size=BUFFER_BYTES)
        videos = self._container.streams.video
        if len(self._container.streams) != 1 or not videos:
            raise InputError(f"{name} is no segment: it has {len(self._container.streams)} streams")
        self.stream = videos[0]
        self.codec = codec_name(self.stream)
        self.extradata = bytes(self.stream.codec_context.extradata or b"")
        self.time_base = self.stream.time_base or Fraction(1, av.time_base)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def packets(self) -> Iterator[Packet]:
        with reading(self._name, "is damaged"):
            for packet in self._container.demux(self.stream):
                if packet.size:
                    yield packet

    def facts(self) -> SegmentFacts:
        """All of it, read to the end."""
        pts: list[int] = []
        declared = 0
        for packet in self.packets():
            declared += packet.dts is None  # the demuxer knows none for as many as the headers let wait
            if packet.pts is None or (not pts and not packet.is_keyframe):
                raise InputError(
                    f"{self._name} is no segment: packet {len(pts)} has no time, or begins with no keyframe"
                )
            pts.append(packet.pts)
        if not pts:
            raise InputError(f"{self._name} is no segment: it has no packet")
        size_bytes, sha256 = self._file.finish()
        return SegmentFacts(
            frames=len(pts),
            length_s=(max(pts) - pts[0]) * self.time_base,
            reorder_frames=max(declared, reorder_frames(pts)),
            extradata_sha256=extradata_digest(self.codec, self.extradata),
            size_bytes=size_bytes,
            sha256=sha256,
        )


class _Hashed:
    """A file that is read forward, once; its digest is that of all that was read."""

    def __init__(self, file: BinaryIO, on_read: Callable[[int], None] | None) -> None:
        self._file = file
        self._on_read = on_read
        self._digest = hashlib.sha256()
        self._size_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        self._size_bytes += len(data)
        if self._on_read is not None:
            self._on_read(len(data))
        return data

    def finish(self) -> tuple[int, str]:
        while self.read(BUFFER_BYTES):
            pass
        return self._size_bytes, self._digest.hexdigest()


def reorder_frames(pts: Sequence[int]) -> int:
    """The largest number of places by which one of `pts`, in decode order, stands behind its rank in time."""
    rank = {value: place for place, value in enumerate(sorted(pts))}
    return max((place - rank[value] for place, value in enumerate(pts)), default=0)
