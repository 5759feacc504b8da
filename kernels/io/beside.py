"""Reading the streams beside the video in step with a video that comes from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av

from kernels.io.seek import seek_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

    from av import Packet
    from av.stream import Stream

    from kernels.io.copy import Copies
    from kernels.io.seek import Entry
    from kernels.io.source import Source
    from kernels.io.span import Span

AHEAD_S = 2
"""How far a muxer may keep streams apart: so far the file is read ahead of the pictures."""


class Beside:
    """The packets of `inputs`. `held` are those before the first picture's, `problems` counts where reading failed."""

    def __init__(self, source: Source, inputs: Sequence[Stream], span: Span, entry: Entry) -> None:
        self._source = source
        self._inputs = tuple(inputs)
        self._span = span
        self.problem = ""
        """Why the file could not be read to its end; empty when it could."""
        self._read_s: Fraction | None = None
        self._ended = not inputs
        self._packets = self._all(entry)
        self.held: list[Packet] = []
        while not self._ended and (packet := self._next()) is not None:
            self.held.append(packet)
            if self._read_s is not None:
                break

    def feed(self, copies: Copies, until_s: Fraction) -> None:
        """Pass on what lies up to `AHEAD_S` after `until_s`, in seconds of the file's own time."""
        while not self._ended and (self._read_s is None or self._read_s <= until_s + AHEAD_S):
            packet = self._next()
            if packet is not None:
                copies.feed(packet)

    def finish(self, copies: Copies) -> None:
        """Pass on the rest, to the end of the span."""
        while not self._ended:
            packet = self._next()
            if packet is not None:
                copies.feed(packet)
        copies.flush()

    def _next(self) -> Packet | None:
        """The next packet of the inputs; None after one of the video, and at the end."""
        try:
            packet = next(self._packets)
        except StopIteration:
            self._ended = True
            return None
        except av.FFmpegError as error:
            self.problem = error.strerror or str(error)
            self._ended = True
            return None
        if packet.stream_index != self._source.video.index:
            return packet
        when = packet.dts if packet.dts is not None else packet.pts
        if when is not None:
            self._read_s = when * self._source.time_base
            self._ended = self._span.is_after(self._read_s - self._source.start_s - AHEAD_S)
        return None

    def _all(self, entry: Entry) -> Iterator[Packet]:
        seek_to(self._source, entry)
        for packet in self._source.container.demux([self._source.video, *self._inputs]):
            if packet.size:
                yield packet
