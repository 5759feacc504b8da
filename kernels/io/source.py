"""Opening an input: from a path or a binary file object to a demuxer and the stream to work on."""

from __future__ import annotations

import errno
import io
import os
import re
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import av

from kernels.color import ChromaLocation
from kernels.errors import InputError
from kernels.frame import FieldOrder
from kernels.io.damage import LOG_LOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

    InputLike = str | os.PathLike[str] | BinaryIO
    """A path, or a binary object with `read` and, where possible, `seek` and `tell`."""

BUFFER_BYTES: Final = 1 << 20
"""Bytes per call into a Python file object; libav's default of 32 KiB costs 30 times as many calls."""

# AVFieldOrder: 2 and 4 show the top field first, 3 and 5 the bottom one.
_FIELD_ORDERS: Final = {
    2: FieldOrder.TOP_FIRST,
    3: FieldOrder.BOTTOM_FIRST,
    4: FieldOrder.BOTTOM_FIRST,
    5: FieldOrder.TOP_FIRST,
}
_CHROMA_LOCATIONS: Final = {
    "left": ChromaLocation.LEFT,
    "center": ChromaLocation.CENTER,
    "topleft": ChromaLocation.TOPLEFT,
    "top": ChromaLocation.TOP,
    "bottomleft": ChromaLocation.BOTTOMLEFT,
    "bottom": ChromaLocation.BOTTOM,
}


class Source:
    """An open input. A context manager; raises `InputError` for whatever cannot be opened or has no video."""

    def __init__(self, given: InputLike) -> None:
        self.name = str(getattr(given, "name", "input")) if hasattr(given, "read") else os.fspath(given)
        self._owned: _File | None = None
        file = given if hasattr(given, "read") else self._open_path(os.fspath(given))
        try:
            self.container = self._open_container(file)
            self.video: VideoStream = self._choose_video()
        except BaseException:  # whatever stopped the opening, a half-open input must be closed
            self.close()
            raise
        self.others: tuple[Stream, ...] = tuple(s for s in self.container.streams if s.index != self.video.index)
        self._description = self._describe()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        container = getattr(self, "container", None)
        if container is not None:
            for stream in container.streams:
                # Freeing a decoder waits for its threads under the interpreter's lock, which a thread needs to
                # report damage: a deadlock. Flushing waits for them without the lock.
                if stream.codec_context is not None:
                    stream.codec_context.flush_buffers()
            container.close()
        if self._owned is not None:
            self._owned.close()

    @property
    def start_s(self) -> Fraction:
        """Where the input's time begins: the earliest start of any stream, in seconds."""
        ticks: int | None = self.container.start_time
        return Fraction(ticks or 0, av.time_base)

    @property
    def time_base(self) -> Fraction:
        """Seconds per tick of the video stream."""
        return self.video.time_base or Fraction(1, 90000)

    @property
    def frame_rate(self) -> Fraction | None:
        """Nominal frames per second of the video; None when the input gives no clue."""
        for rate in (self.video.average_rate, self.video.guessed_rate, self.video.base_rate):
            if rate is not None and rate > 0:
                return rate
        return None

    @property
    def frame_count(self) -> int | None:
        """Video packets that the container's own index promises; None when it has none."""
        if self.video.frames > 0:
            return self.video.frames
        seconds = self.duration_s
        rate = self.video.average_rate
        return round(seconds * rate) if seconds and rate else None

    @property
    def duration_s(self) -> Fraction | None:
        """Length of the video stream (else of the container) in seconds; None when unknown."""
        if self.video.duration is not None and self.video.duration > 0:
            return self.video.duration * self.time_base
        ticks = self.container.duration
        return Fraction(ticks, av.time_base) if ticks is not None and ticks > 0 else None

    @property
    def field_order(self) -> FieldOrder:
        return _FIELD_ORDERS.get(int(self.video.codec_context.field_order), FieldOrder.PROGRESSIVE)

    @property
    def chroma_location(self) -> ChromaLocation:
        found = re.search(
            r"\([^()]*\b(topleft|bottomleft|left|center|top|bottom)\b(?! first)[^()]*\)", self._description
        )
        return _CHROMA_LOCATIONS[found.group(1)] if found else ChromaLocation.UNSPECIFIED

    @property
    def has_dolby_vision(self) -> bool:
        return "DOVI configuration" in self._description

    @property
    def has_hidden_alpha(self) -> bool:
        """Whether transparency stands beside the frames, as in WebM, where no decoder used here looks."""
        return any(key.lower() == "alpha_mode" and value == "1" for key, value in self.video.metadata.items())

    def _open_path(self, path: str) -> _File:
        try:
            self._owned = _File(path)
        except IsADirectoryError:
            raise InputError(f"{path} is a folder; give a video file") from None
        except FileNotFoundError:
            raise InputError(f"{path} does not exist") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
        return self._owned

    def _open_container(self, file: Any) -> InputContainer:
        with reading(self.name, "is not a video that can be read"):
            container: InputContainer = av.open(file, "r", metadata_errors="replace", buffer_size=BUFFER_BYTES)
        return container

    def _choose_video(self) -> VideoStream:
        """The largest video stream that is not a cover picture, the first of equals, as FFmpeg chooses."""
        found = [s for s in self.container.streams.video if not is_cover(s)]
        usable = [s for s in found if s.codec_context is not None]
        if usable:
            return max(usable, key=lambda s: (s.codec_context.width * s.codec_context.height, -s.index))
        if found:
            raise InputError(f"{self.name}: no decoder for the codec of video stream {found[0].index}")
        kinds = ", ".join(dict.fromkeys(s.type for s in self.container.streams)) or "nothing"
        raise InputError(f"{self.name} has no video stream (it holds {kinds}); give a file with video")

    def _describe(self) -> str:
        """Libav's own line about the video stream, the only place where it tells some facts."""
        with LOG_LOCK:
            level = av.logging.get_level()
            av.logging.set_level(av.logging.VERBOSE)
            av.logging.set_libav_level(av.logging.VERBOSE)  # only then is the chroma location in the line
            try:
                text = str(self.container.dumps_format())  # type: ignore[attr-defined] # missing in PyAV's stubs
            finally:
                av.logging.set_libav_level(av.logging.INFO)  # its default
                av.logging.set_level(level)
        parts = re.split(r"(?m)^\s*Stream #0:", text)
        return next((part for part in parts if re.match(rf"{self.video.index}\b", part)), "")


class _File(io.FileIO):
    """A file under libav: a damaged one may send the demuxer to before its start, which is no error of the system."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except OSError as error:
            return -(error.errno or errno.EINVAL)  # as libav's own files answer

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return super().read(size) or b""
        except OSError as error:
            raise InputError(f"{self.name} cannot be read: {(error.strerror or str(error)).lower()}") from error


def is_cover(stream: Stream) -> bool:
    """Whether a video stream is a picture attached to the file."""
    return stream.type == "video" and bool(stream.disposition & av.stream.Disposition.attached_pic)


def codec_name(stream: Stream) -> str:
    """The codec's own name (`av1`), whichever decoder was found for it; 'unknown' when libav knows none."""
    if stream.codec_context is not None:
        return str(stream.codec_context.codec.canonical_name)
    return str(getattr(stream, "name", None) or "unknown")


@contextmanager
def reading(name: str, problem: str) -> Iterator[None]:
    """Turns libav's exceptions into `InputError`; those of the caller's file object pass through."""
    try:
        yield
    except av.FFmpegError as error:
        raise InputError(f"{name} {problem}: {(error.strerror or str(error)).lower()}") from error
