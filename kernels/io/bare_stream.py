"""A video stream of a container that no encoder of libav's stands behind: its packets come ready."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import av

from kernels.color import Range

if TYPE_CHECKING:
    from fractions import Fraction

    from av.container import OutputContainer
    from av.video.stream import VideoStream

    from kernels.frame import VideoFormat

_RAW_FORMATS: Final = {"h264": "h264", "hevc": "hevc", "av1": "obu"}
"""libav's demuxers of streams without a container."""


def add_bare_stream(
    container: OutputContainer, codec: str, headers: bytes, format_: VideoFormat, *, time_base: Fraction
) -> VideoStream:
    """A new stream of `format_` whose `headers` (parameter sets with start codes, or AV1's) are known already."""
    with av.open(io.BytesIO(headers), format=_RAW_FORMATS[codec]) as template:
        stream = container.add_stream_from_template(template.streams.video[0], opaque=True)
    context, pixel, color = stream.codec_context, format_.pixel_format, format_.color
    stream.time_base = time_base
    context.extradata = headers
    context.width, context.height = format_.width, format_.height
    context.pix_fmt = pixel.name if pixel.depth == 8 else f"{pixel.name}le"
    context.sample_aspect_ratio = format_.sample_aspect_ratio
    context.colorspace = int(color.matrix)
    context.color_trc = int(color.transfer)
    context.color_primaries = int(color.primaries)
    context.color_range = int(color.range or Range.LIMITED)
    if codec == "hevc" and container.format.name in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # Apple's players refuse hev1
    return stream
