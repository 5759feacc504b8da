"""`runner probe`: what a file holds, as the pipeline will see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from runner.cli.output import clock, print_json, print_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernels.io.info import MediaInfo, StreamInfo, VideoInfo


def probe(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", path_type=str, help="The file to look into: a path or a URL.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show the streams of a file: sizes, rates, colour, HDR, field order, rotation.

    Every packet is read, without decoding, to count the frames and to tell whether their rate varies.

    \b
    Examples:
      runner probe film.mkv
      runner probe film.mkv --json
      runner probe b2://bucket/film.mkv
    """
    from kernels.io.info import probe as probe_file
    from runner.media import open_input
    from storage.uri import parse

    with open_input(parse(file)) as opened:
        info = probe_file(opened)
    if json:
        print_json(info.to_json())
    else:
        length = f", {clock(info.duration_s)}" if info.duration_s is not None else ""
        print(f"{info.name}: {info.container}{length}")
        print_rows(_rows(info), indent="  ")


def _rows(info: MediaInfo) -> Iterator[tuple[str, str]]:
    yield f"video {info.video.index}", _picture(info.video)
    yield "rate", _rate(info.video)
    yield "colour", _colour(info.video)
    if info.video.mastering_display is not None or info.video.content_light is not None:
        yield "HDR10", _hdr(info.video)
    if info.video.timecode is not None:
        yield "timecode", info.video.timecode
    for lost in info.video.dropped:
        yield "cannot be kept", lost
    for stream in info.others:
        yield f"{stream.kind} {stream.index}", _other(stream)
    for chapter in info.chapters:
        yield "chapter", f"{clock(chapter.start_s)} to {clock(chapter.end_s)}  {chapter.title or ''}".rstrip()


def _picture(video: VideoInfo) -> str:
    format_ = video.format
    aspect = format_.sample_aspect_ratio
    facts = [
        " ".join(filter(None, (video.codec, video.profile))),
        f"{format_.width}x{format_.height}",
        video.native_pixel_format,
        f"pixel aspect {aspect.numerator}:{aspect.denominator}" if aspect != 1 else "",
        video.field_order.value,
        f"rotated by {video.rotation} degrees" if video.rotation else "",
        "mirrored or skewed by its display matrix" if video.rotation is None else "",
    ]
    return ", ".join(filter(None, facts))


def _rate(video: VideoInfo) -> str:
    rate = video.format.frame_rate
    facts = [
        f"{video.frames} frames, {video.keyframes} of them key frames",
        "" if rate is None else f"{float(rate):.6g} fps ({rate})" if rate.denominator != 1 else f"{rate} fps",
        {True: "variable", False: "constant", None: "variable or not is unknown"}[video.is_variable_rate],
        f"ticks of {video.time_base} s",
    ]
    return ", ".join(filter(None, facts))


def _colour(video: VideoInfo) -> str:
    """The tags; for those that are missing, what is assumed instead."""
    tagged, resolved = video.format.color, video.format.resolved_color
    facts = []
    for name in ("matrix", "transfer", "primaries", "range", "chroma_location"):
        value, assumed = getattr(tagged, name), getattr(resolved, name)
        shown = value.name.lower() if value == assumed else f"unspecified (taken as {assumed.name.lower()})"
        facts.append(f"{name.replace('_', ' ')} {shown}")
    return ", ".join(facts)


def _hdr(video: VideoInfo) -> str:
    described = video.to_json()
    parts = (described["mastering_display"], described["content_light"])
    return ", ".join(f"{name} {value}" for part in parts if part for name, value in part.items())


def _other(stream: StreamInfo) -> str:
    facts = [
        stream.codec,
        f"{stream.sample_rate} Hz" if stream.sample_rate else "",
        stream.layout or "",
        stream.language if stream.language not in (None, "und") else "",
        repr(stream.title) if stream.title else "",
        stream.file_name or "",
        f"from {clock(stream.start_s)}" if stream.start_s else "",
        clock(stream.duration_s) if stream.duration_s else "",
        ", ".join(stream.dispositions),
    ]
    return ", ".join(filter(None, facts))
