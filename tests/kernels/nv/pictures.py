"""What the stand-in decoder shows: the pictures that libav makes of a clip, laid out as NVDEC lays out its surfaces."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

CHROMA = {"420": 1, "422": 2, "444": 3}


def write_pictures(clip: bytes, path: Path) -> None:
    """Every picture of `clip` with its time, for NV_PICTURES."""
    with av.open(io.BytesIO(clip)) as container:
        frames = list(container.decode(video=0))
    name = frames[0].format.name.replace("yuvj", "yuv")
    depth = frames[0].format.components[0].bits
    header = struct.pack("=6i", frames[0].width, frames[0].height, CHROMA[name[3:6]], depth, len(frames), 0)
    records = [struct.pack("=q", frame.pts or 0) + _surface(frame, depth) for frame in frames]
    path.write_bytes(header + b"".join(records))


def _surface(frame: Any, depth: int) -> bytes:
    y, u, v = (np.from_dlpack(plane) for plane in frame.planes)
    if depth > 8:
        y, u, v = (plane << (16 - depth) for plane in (y, u, v))
    if y.shape[1] % 2:
        y = np.pad(y, ((0, 0), (0, 1)), mode="edge")
    if frame.format.name.startswith("yuv444"):
        return y.tobytes() + u.tobytes() + v.tobytes()
    return y.tobytes() + np.stack((u, v), axis=-1).tobytes()
