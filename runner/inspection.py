"""A look at the source before anything is rented: what it is, what will be done to it, and whether that can be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernels.io.containers import StreamChoices
from kernels.io.encode import EncodeSettings
from kernels.io.index import check_rewinds, read_index
from kernels.pixel_format import pixel_format
from kernels.preflight import outline
from runner.media import check_different, missing_input, open_input
from runner.records import SourceId
from runner.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernels.io.frame_index import FrameIndex
    from kernels.io.source import InputLike
    from runner.spec import EncodeSpec, JobSpec, StreamSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFacts:
    """All that a plan needs to know about a source."""

    id: SourceId
    index: FrameIndex
    chain: str
    """The job's chain, canonical."""
    context: tuple[int, int]
    """Frames `(before, after)` that the chain needs around each one."""
    workload: Workload
    warnings: tuple[str, ...] = ()


def inspect_source(
    spec: JobSpec,
    *,
    index: FrameIndex | None = None,
    writes: bool = True,
    tries: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> SourceFacts:
    """Reads the source's index and one frame; refuses everything that `runner run` would refuse at its start, and an
    output that cannot be written. Without `writes`, the output is not looked at: nothing new will be written. Without
    `tries`, it is looked for, and nothing is sent there to find out whether it can be written.

    `index` is what is known of the source already, as when a run goes on: then it is not read again.
    `on_progress(done_bytes, total_bytes)` tells how far the reading of it has come: all of a Matroska file is read.
    Raises what `kernels` and `storage` raise: nothing has been rented and nothing written.
    """
    from storage.place import source_of
    from storage.uri import parse

    location, target = parse(spec.input), parse(spec.output)
    check_different(location, target)
    if writes:
        _check_output(spec, tries=tries)
    encode = encode_settings(spec.encode)
    with open_input(location) as opened:
        check_rewinds(opened)
        job = outline(
            opened,
            container=spec.container,
            chain=spec.chain,
            encode=encode,
            streams=stream_choices(spec.streams),
            autorotate=spec.autorotate,
        )
        _rewind(opened)
        index = read_index(opened, on_progress=on_progress) if index is None else index
        with missing_input():
            info = getattr(opened, "info", None) or source_of(location).info
    return SourceFacts(
        id=SourceId(location=str(location), size_bytes=info.size_bytes, etag=info.etag, version=info.version),
        index=index,
        chain=job.chain,
        context=job.context,
        workload=Workload.of(job, encode),
        warnings=job.warnings,
    )


def moved(facts: SourceFacts, source: SourceId) -> SourceFacts:
    """The same source where machines can read it, after it was uploaded."""
    return replace(facts, id=source)


def encode_settings(spec: EncodeSpec) -> EncodeSettings:
    """What `kernels` takes. Raises `EncodeSettingsError` or `FormatError`."""
    return EncodeSettings(
        codec=spec.codec,
        crf=spec.crf,
        preset=spec.preset,
        pixel_format=pixel_format(spec.pix_fmt) if spec.pix_fmt is not None else None,
    )


def stream_choices(spec: StreamSpec) -> StreamChoices:
    """What `kernels` takes. Raises `ContainerError`."""
    return StreamChoices(audio_codec=spec.audio_codec, subtitles=spec.subtitles, drop_unsupported=spec.drop_unsupported)


def _check_output(spec: JobSpec, *, tries: bool) -> None:
    """That the output can be written: `OutputExistsError` for one that is there and was not given up, and what
    `storage.check_writable` raises. A machine would find out only when it was paid for.
    """
    import storage
    from storage.errors import OutputExistsError

    if not spec.overwrite and storage.exists(spec.output):
        raise OutputExistsError(f"{spec.output} already exists; add -y to replace it")
    if tries:
        storage.check_writable(spec.output)


def _rewind(opened: InputLike) -> None:
    seek = getattr(opened, "seek", None)
    if seek is not None:
        seek(0)
