"""What a job would do, checked without doing it: everything that `process` refuses before its first frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kernels.catalogue import CATALOGUE
from kernels.chain import format_chain, parse_chain
from kernels.context import chain_context
from kernels.io.containers import StreamChoices, check_codec, plan_tracks
from kernels.io.copy import Copies
from kernels.io.encode import check_size, encoder_pixel_format
from kernels.io.info import first_frame
from kernels.io.orientation import display_matrix, rotation_chain
from kernels.io.software import SoftwareDecoder
from kernels.io.source import Source, codec_name
from kernels.plan import plan_chain

if TYPE_CHECKING:
    from kernels.io.encode import EncodeSettings
    from kernels.io.source import InputLike
    from kernels.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A job that can be done."""

    codec: str
    """Of the source's video, by libav's name."""
    chain: str
    """The canonical text of the chain as it was given."""
    plan: Plan
    """The stages, those that turn the picture upright included."""
    context: tuple[int, int]
    """Frames `(before, after)` each one that the chain needs."""
    warnings: tuple[str, ...]
    """What will be dropped, because it was asked for."""


def outline(
    given: InputLike,
    *,
    container: str,
    chain: str = "",
    encode: EncodeSettings,
    streams: StreamChoices | None = None,
    autorotate: bool = True,
) -> Outline:
    """The job that `process` would do with these arguments; decodes one frame of `given`.

    Raises `InputError`, `ChainError`, `FormatError`, `ContainerError` or `EncodeSettingsError` as `process` does.
    """
    check_codec(container, encode.codec)
    steps = parse_chain(chain, CATALOGUE)
    with Source(given) as source:
        tracks = plan_tracks(container, source.others, streams or StreamChoices())
        first = first_frame(SoftwareDecoder(source, threads=1))
        codec = codec_name(source.video)
        warnings = tuple(Copies.warnings(tracks))
    turned = parse_chain(rotation_chain(display_matrix(first.side_data)), CATALOGUE) if autorotate else ()
    wanted = plan_chain(first.format, (*turned, *steps)).target.pixel_format
    plan = plan_chain(first.format, (*turned, *steps), pixel_format=encoder_pixel_format(encode, wanted))
    check_size(encode, plan.target)
    return Outline(
        codec=codec,
        chain=format_chain(steps),
        plan=plan,
        context=chain_context((*turned, *steps)),
        warnings=warnings,
    )
