"""What the stand-in encoder gives for HEVC and AV1: a clip's frames as software encoders code them."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
from av.video.frame import PictureType

from kernels.io.annex_b import START_CODE, nal_type, units

if TYPE_CHECKING:
    from pathlib import Path

    from av import Packet

# HEVC as the stand-in orders it: three B-frames that nothing refers to.
_CODERS: Final = {
    "hevc": (
        "libx265",
        {
            "preset": "ultrafast",
            "x265-params": "log-level=none:repeat-headers=1:bframes=3:b-adapt=0:b-pyramid=0:scenecut=0:open-gop=0",
        },
    ),
    "av1": ("libsvtav1", {"preset": "12"}),
}


_HEVC_SETS: Final = (32, 33, 34)


def write_stream(clip: bytes, codec: str, folder: Path) -> dict[str, str]:
    """Encode `clip` for NV_STREAM and NV_HEADERS; returns these switches."""
    name, options = _CODERS[codec]
    with av.open(io.BytesIO(clip)) as container:
        frames = list(container.decode(video=0))
    with av.open(io.BytesIO(), "w", format="matroska") as out:
        context = out.add_stream(name, rate=25, options=options).codec_context
        context.width, context.height = frames[0].width, frames[0].height
        context.pix_fmt = frames[0].format.name
        packets: list[Packet] = []
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            frame.pict_type = PictureType.NONE  # else the encoder keeps to the types it had in the clip
            packets += context.encode(frame)
        packets += context.encode(None)
        headers = bytes(context.extradata or b"")
    if codec == "hevc":  # NVENC gives the parameter sets alone
        headers = b"".join(START_CODE + unit for unit in units(headers) if nal_type(codec, unit[0]) in _HEVC_SETS)
    stream = b"".join(struct.pack("=i", packet.size) + bytes(packet) for packet in packets)
    (folder / "stream").write_bytes(stream)
    (folder / "headers").write_bytes(headers)
    return {"NV_STREAM": str(folder / "stream"), "NV_HEADERS": str(folder / "headers")}
