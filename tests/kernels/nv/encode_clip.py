"""Encodes the video of a file with NVENC into another file, and says in one line of JSON how it went.

Arguments: input, output; 'host', 'device' (the stand-in's), 'full' (one without memory), 'gpu' or 'late' (a GPU that
has yet to make the frames as they are given); and encoder settings as JSON (codec, crf, preset, pixel_format).
"""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from kernels.errors import KernelsError
from kernels.frame import Frame
from kernels.io.encode import EncodeSettings
from kernels.io.mux import Muxer, Reserve
from kernels.io.nvcaps import encoder_caps
from kernels.io.nvenc import DeviceMemory, HostMemory, NvEncoder
from kernels.io.software import SoftwareDecoder
from kernels.io.source import Source
from tests.kernels.nv.host_cupy import FullCupy, HostCupy
from tests.kernels.nv.late import late_stream, made_late


def main(path: str, target: str, where: str, given: str) -> dict[str, Any]:
    settings = EncodeSettings(**json.loads(given))
    memory = _memory(where)
    with Source(path) as source, Path(target).open("w+b") as sink:
        frames = [event for event in SoftwareDecoder(source) if isinstance(event, Frame)]
        muxer = Muxer(sink, Path(target).suffix[1:], reserve=Reserve(), origin_s=source.start_s)
        first = frames[0]
        try:
            encoder = NvEncoder(
                settings,
                first.format,
                time_base=first.time_base,
                side_data=first.side_data,
                caps=encoder_caps(settings.codec),
                memory=memory,
            )
            encoder.attach(muxer.container)
            muxer.set_video(encoder.stream, first.format.sample_aspect_ratio)
            muxer.start()
            with late_stream() if where == "late" else nullcontext():
                for frame in frames:
                    for packet in encoder.encode(_placed(frame, where, memory)):
                        muxer.write_video(packet)
            for packet in encoder.flush():
                muxer.write_video(packet)
            muxer.finish()
        except KernelsError as error:
            muxer.abandon()
            return {"error": f"{type(error).__name__}: {error}"}
    return {"frames": len(frames), "unread": HostCupy.cuda.Event.pending}


def _memory(where: str) -> Any:
    if where in ("gpu", "late"):
        return DeviceMemory.on_gpu()
    devices = {"device": HostCupy, "full": FullCupy}
    return DeviceMemory(devices[where], HostCupy.Stream()) if where in devices else HostMemory()


def _placed(frame: Frame, where: str, memory: Any) -> Frame:
    """`frame` where the encoder looks for it."""
    if where == "late":
        return made_late(frame, memory.reader)
    if where != "gpu":
        return frame
    engine = importlib.import_module("kernels.backends.cuda").engine()
    return frame.replace(planes=tuple(engine.upload(plane) for plane in frame.planes))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
