"""A job on the device: NVDEC, the GPU's kernels under the strict engine, NVENC; then one line of JSON.

Arguments: input, output, chain, and who decodes and encodes: 'NVDEC' and 'NVENC', or 'software'.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.backends.device import DeviceExecutor
from kernels.catalogue import CATALOGUE
from kernels.chain import parse_chain
from kernels.choice import _layout
from kernels.device_plan import shared_frames
from kernels.frame import Frame
from kernels.io.encode import EncodeSettings
from kernels.io.mux import Muxer, Reserve
from kernels.io.nvcaps import encoder_caps
from kernels.io.nvdec import NvDecoder
from kernels.io.nvdec_memory import DeviceMemory as DecodedMemory
from kernels.io.nvenc import DeviceMemory as EncodedMemory
from kernels.io.nvenc import NvEncoder
from kernels.io.software import SoftwareDecoder
from kernels.io.software_encoder import SoftwareEncoder
from kernels.io.source import Source
from kernels.launch import Queue
from kernels.plan import plan_chain
from tests.kernels.cuda.frames import DeviceArray, Event, StrictFrameEngine
from tests.kernels.nv.host_cupy import CUDA, HostCupy

if TYPE_CHECKING:
    from kernels.plan import Plan


class Surface(DeviceArray):
    """An array of the strict engine's that PyNvVideoCodec takes for one on the device."""

    def __dlpack_device__(self) -> tuple[Any, Any]:
        return CUDA

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        assert stream is not None
        return np.ndarray.__dlpack__(self.view(np.ndarray))


class StrictCupy(HostCupy):
    @staticmethod
    def ndarray(*given: Any) -> Any:
        return HostCupy.ndarray(*given).view(DeviceArray)

    @staticmethod
    def empty(shape: tuple[int, ...], dtype: Any) -> Any:
        return np.empty(shape, dtype).view(Surface)


class JobEngine(StrictFrameEngine):
    """Lets the stand-in encoder read at once whatever its stream was made to wait for, and nobody else."""

    def wait(self, queue: Any, event: Event) -> None:
        assert queue is not Queue.CALLER, "a job's frames are for its encoder"
        super().wait(queue, event)
        if isinstance(queue, HostCupy.Stream):
            self.finish(event)


def main(path: str, target: str, chain: str, decodes: str, encodes: str) -> dict[str, Any]:
    engine = JobEngine()
    with Source(path) as source, Path(target).open("w+b") as sink:
        memory = DecodedMemory(StrictCupy, StrictCupy.Stream())
        decoder = NvDecoder(source, memory=memory) if decodes == "NVDEC" else SoftwareDecoder(source)
        events = (event for event in decoder if isinstance(event, Frame))
        first = next(events)
        steps = parse_chain(chain, CATALOGUE)
        pixel = plan_chain(first.format, steps).target.pixel_format.codes()
        plan = plan_chain(first.format, steps, pixel_format=pixel.as_surface() if encodes == "NVENC" else pixel)
        layouts: dict[str, Any] = {
            "source": _layout(plan.source) if decodes == "NVDEC" else None,
            "target": _layout(plan.target) if encodes == "NVENC" else None,
        }
        muxer = Muxer(sink, Path(target).suffix[1:], reserve=Reserve(), origin_s=source.start_s)
        reader = StrictCupy.Stream()
        encoder = _encoder(encodes, muxer, plan, first, reader)
        muxer.set_video(encoder.stream, first.format.sample_aspect_ratio)
        muxer.start()
        where = set()
        batch = shared_frames(plan.source, plan.target)
        with DeviceExecutor(plan, engine, **layouts, batch=batch, complete=True, reader=reader) as executor:
            executor.warm_up()
            for frame in executor.stream(iter([first, *events])):
                where |= {type(plane).__name__ for plane in frame.planes}
                for packet in encoder.encode(frame):
                    muxer.write_video(packet)
        for packet in encoder.flush():
            muxer.write_video(packet)
        muxer.finish()
    return {
        "where": sorted(where),
        "source": str(plan.source.pixel_format),
        "target": str(plan.target.pixel_format),
        "stages": [stage.name for stage in plan.stages],
        "replays": engine.replays,
        "shared": HostCupy.shared,
        "warnings": decoder.warnings(),
    }


def _encoder(encodes: str, muxer: Muxer, plan: Plan, first: Frame, reader: Any) -> NvEncoder | SoftwareEncoder:
    common: dict[str, Any] = {"time_base": first.time_base, "side_data": first.side_data}
    if encodes != "NVENC":
        return SoftwareEncoder(muxer.container, EncodeSettings(codec="ffv1"), plan.target, **common)
    memory = EncodedMemory(StrictCupy, reader)
    encoder = NvEncoder(EncodeSettings(), plan.target, caps=encoder_caps("h264"), memory=memory, **common)
    encoder.attach(muxer.container)
    return encoder


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])) + "\n")
