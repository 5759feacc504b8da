"""What the pipeline asks of a decoder, whoever does the decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av import Packet

    from kernels.frame import Frame


class Decoder(Protocol):
    """Frames of the video stream in display order, between the packets of the streams that are copied.

    The iterator demuxes as it goes, so both come in the order of the file.
    """

    frames_in: int
    """Frames handed out so far."""
    damaged_packets: int
    """Video packets that could not be decoded, or only with parts made up."""

    def __iter__(self) -> Iterator[Frame | Packet]: ...

    def warnings(self) -> tuple[str, ...]:
        """What the user should know, once the iterator has ended."""
        ...
