"""Decodes a file with NVDEC and in software, and says in one line of JSON how the results compare.

Arguments: the file; 'host', 'device' (the stand-in's), 'left' (by the frames after the first one), 'full' (one without
memory), 'gpu', or 'late' (a GPU whose frames are read after the last one, on another stream that is behind); and
options for the decoders as JSON (start, end: seconds; insist).
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from kernels.errors import UnavailableError
from kernels.frame import Frame
from kernels.io.nvdec import NvDecoder
from kernels.io.nvdec_memory import DeviceMemory, DownloadMemory, HostMemory
from kernels.io.software import SoftwareDecoder
from kernels.io.source import Source
from kernels.io.span import Span
from tests.kernels.nv.host_cupy import FullCupy, HostCupy
from tests.kernels.nv.late import late_stream


def main(path: str, where: str, given: str) -> dict[str, Any]:
    options = json.loads(given)
    insist = options.pop("insist", False)
    span = Span(**{f"{name}_s": Fraction(str(value)) for name, value in options.items()})
    memory = _memory(where)
    with Source(path) as source, Source(path) as again:
        ours = NvDecoder(source, copied=source.others, span=span, memory=memory, insist=insist, threads=2)
        theirs = SoftwareDecoder(again, copied=again.others, span=span, threads=2)
        try:
            events, wanted = _events(ours, where), list(theirs)
        except UnavailableError as error:
            return {"unavailable": str(error)}
        if where == "late":
            events = _read_late(events)
        frames = [event for event in events if isinstance(event, Frame)]
        reference = [event for event in wanted if isinstance(event, Frame)]
        return {
            "frames": len(frames),
            "expected": len(reference),
            "differences": [why for pair in zip(frames, reference, strict=False) if (why := _difference(*pair))],
            "other_packets": [len(events) - len(frames), len(wanted) - len(reference)],
            "warnings": ours.warnings(),
            "software_warnings": theirs.warnings(),
            "missing": [ours.missing_frames, theirs.missing_frames],
            "contiguous": all(plane.flags.c_contiguous for frame in frames for plane in frame.planes),
            "pixel_formats": sorted({str(frame.format.pixel_format) for frame in frames}),
            "pitches": sorted({plane.strides[0] for frame in frames for plane in frame.planes}),
        }


def _memory(where: str) -> Any:
    if where in ("gpu", "late"):
        memory = DeviceMemory.on_gpu()
        return memory if where == "late" else DownloadMemory(memory)
    devices = {"device": HostCupy, "left": HostCupy, "full": FullCupy}
    return DeviceMemory(devices[where], HostCupy.Stream()) if where in devices else HostMemory()


def _events(decoder: NvDecoder, where: str) -> list[Any]:
    events = iter(decoder)
    first = next(events)
    if where == "left":
        decoder.to_host()
    found = [first, *events]
    if where == "left":
        assert {type(plane) for event in found[1:] for plane in event.planes} == {np.ndarray}
    return found


def _read_late(events: list[Any]) -> list[Any]:
    def read(frame: Frame) -> Frame:
        planes: tuple[Any, ...] = frame.planes
        return frame.replace(planes=tuple(plane.get() for plane in planes))

    with late_stream():
        return [read(event) if isinstance(event, Frame) else event for event in events]


def _difference(ours: Frame, theirs: Frame) -> str:
    names = ("pts", "duration", "index", "time_base", "format", "field_order", "side_data")
    codes = ours.format.pixel_format.codes()
    told = {name: getattr(ours, name) for name in names} | {"format": replace(ours.format, pixel_format=codes)}
    for name in names:
        if told[name] != getattr(theirs, name):
            return f"frame {theirs.index}: {name} {told[name]} is not {getattr(theirs, name)}"
    shift = ours.format.pixel_format.shift
    for number, (one, other) in enumerate(zip(ours.planes, theirs.planes, strict=True)):
        if not np.array_equal(one, other << shift):
            return f"frame {theirs.index}: plane {number} differs"
    return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
