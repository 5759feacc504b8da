"""Who decodes, filters and encodes a job: decided once, before the first frame, and said with the reason."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kernels.backends import Backend, Resolution, backend_of, resolve
from kernels.backends.driver import find_driver
from kernels.errors import FormatError, InputError, UnavailableError
from kernels.frame import FieldOrder, VideoFormat
from kernels.io.capabilities import chroma_of, refuse_decode, refuse_encode, refuse_settings, refuse_stream
from kernels.io.picture import layout_of
from kernels.io.software import SoftwareDecoder
from kernels.io.software_encoder import SoftwareEncoder
from kernels.io.source import codec_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from fractions import Fraction

    from kernels.frame import Frame
    from kernels.io.bare_stream import StreamEncoder
    from kernels.io.encode import EncodeSettings
    from kernels.io.mux import Muxer
    from kernels.io.nvdec import NvDecoder
    from kernels.io.nvenc import Memory, NvEncoder
    from kernels.io.seek import Entry
    from kernels.io.source import Source
    from kernels.io.span import Span
    from kernels.pixel_format import PixelFormat
    from kernels.plan import Plan

LOGGER: Final = logging.getLogger(__name__)
SOFTWARE: Final = "software"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the caller leaves to the machine (None), and what it does not."""

    decode: Backend | None = None
    filters: Backend | None = None
    encode: Backend | None = None

    @classmethod
    def of(cls, name: Backend | str | None) -> Wishes:
        """The same for all three. Raises `UnavailableError` for an unknown name."""
        backend = backend_of(name)
        return cls(decode=backend, filters=backend, encode=backend)


class Choice:
    """The parts of one job. Ask for decoder, encoder, executor and `attach`, in this order.

    A GPU does what it can. Whatever it cannot is done in software, and the reason noted; where the GPU was insisted
    on, that is an `UnavailableError` instead.
    """

    def __init__(self, wishes: Wishes, *, strict: bool = False, threads: int | None = None) -> None:
        self._wishes = wishes
        self._strict = strict
        self._threads = threads
        self._resolved: Resolution | None = None
        self._nv_decoder: NvDecoder | None = None
        self._nv_encoder: NvEncoder | None = None
        self._reader: Any = None
        """The stream that the encoder reads on, on the GPU."""
        self.warnings: list[str] = []
        self.decoder_name = self.encoder_name = SOFTWARE
        """'software', 'NVDEC', 'NVENC'."""

    @property
    def backend(self) -> Backend:
        """Where filters run. Raises `UnavailableError` where the GPU was insisted on and cannot be used."""
        if self._resolved is None:
            self._resolved = resolve(self._wishes.filters)
            if self._resolved.reason:
                self._note("filters run on the CPU", self._resolved.reason)
        return self._resolved.backend

    def decoder(
        self, source: Source, *, copied: Sequence[Any] = (), span: Span | None = None, entry: Entry | None = None
    ) -> SoftwareDecoder:
        """The decoder of `source`'s video; `copied` are the streams whose packets it hands out untouched."""
        on_gpu = self.backend is Backend.CUDA
        common: dict[str, Any] = {"copied": copied, "span": span, "entry": entry, "threads": self._threads}
        reason = "" if self._wishes.decode is Backend.CPU else self._refuse_decode(source)
        if self._wishes.decode is Backend.CPU or reason:
            self._settle(self._wishes.decode, "decoding", reason)
            return SoftwareDecoder(source, strict=self._strict, **common)
        from kernels.io.nvdec import NvDecoder
        from kernels.io.nvdec_memory import DeviceMemory, HostMemory

        memory = DeviceMemory.on_gpu() if on_gpu else HostMemory()
        insist = self._wishes.decode is Backend.CUDA
        self._nv_decoder = NvDecoder(source, memory=memory, insist=insist, **common)
        self.decoder_name = "NVDEC"
        return self._nv_decoder

    def _refuse_decode(self, source: Source) -> str:
        format_ = _coded_format(source)
        if self._strict:
            return "only software reports all damage, as --strict asks"
        if source.field_order is not FieldOrder.PROGRESSIVE:
            return "NVDEC would deinterlace the frames"
        if format_ is None:
            return "the pixel format is not known beforehand"
        codec = codec_name(source.video)
        reason = refuse_stream(codec, format_)
        if reason:
            return reason
        from kernels.io.nvcaps import decoder_caps

        chroma = chroma_of(format_.pixel_format) or ""
        try:
            return refuse_decode(codec, format_, decoder_caps(codec, chroma, format_.pixel_format.depth))
        except UnavailableError as error:
            return error.reason

    def prepare_encoder(
        self, settings: EncodeSettings, format_: VideoFormat, *, time_base: Fraction, side_data: Mapping[str, bytes]
    ) -> None:
        """Decide who encodes, and open NVENC where it does."""
        wish = self._wishes.encode
        self._encoding = settings, format_, time_base, side_data
        reason = "" if wish is Backend.CPU else refuse_settings(settings, format_)
        if wish is not Backend.CPU and not reason:
            reason = self._open_nvenc()
        if self._nv_encoder is None:
            self._settle(wish, "encoding", reason)

    def _open_nvenc(self) -> str:
        """Why NVENC does not encode; empty once it is open."""
        from kernels.io.nvcaps import encoder_caps

        settings, format_, time_base, side_data = self._encoding
        try:
            caps = encoder_caps(settings.codec)
            reason = refuse_encode(settings, format_, caps)
            if reason:
                return reason
            from kernels.io.nvenc import DeviceMemory, HostMemory, NvEncoder

            memory: Memory = DeviceMemory.on_gpu() if self.backend is Backend.CUDA else HostMemory()
            self._reader = memory.reader
            self._nv_encoder = NvEncoder(
                settings, format_, time_base=time_base, side_data=side_data, caps=caps, memory=memory
            )
        except UnavailableError as error:
            return error.reason
        self.encoder_name = "NVENC"
        return ""

    def taken(self, pixel: PixelFormat) -> PixelFormat:
        """`pixel`, which the encoder was opened for, as a GPU's kernels are to store it for that encoder."""
        stays = self._nv_encoder is not None and self.backend is Backend.CUDA
        return pixel.as_surface() if stays else pixel

    def executor(self, plan: Plan, on_gpu: Plan | None = None, *, check: Callable[[], None] = lambda: None) -> Any:
        """What runs `plan`, compiled: a context manager with `run`, and on a GPU `stream`.

        `on_gpu` runs there instead: the same plan with samples stored as `taken` says. `check` raises when the job is
        to end; it is asked wherever frames are waited for.
        """
        if self.backend is Backend.CUDA:
            try:
                return self._cuda_executor(on_gpu or plan, check)
            except UnavailableError as error:
                if self._wishes.filters is Backend.CUDA:
                    raise
                self._leave_gpu(error.reason)
        from kernels.backends.cpu import CpuExecutor

        executor = CpuExecutor(plan, threads=self._threads)
        executor.warm_up()
        return executor

    def _cuda_executor(self, plan: Plan, check: Callable[[], None]) -> Any:
        from kernels.backends.cuda import CudaExecutor

        source = None if self._nv_decoder is None else _layout(plan.source)
        target = None if self._nv_encoder is None else _layout(plan.target)
        # The decoder's frames are complete, and encoders keep theirs until they have been read.
        between: dict[str, Any] = {"complete": True, "check": check}
        if self._reader is not None:
            between["reader"] = self._reader
        executor = CudaExecutor(plan, source=source, target=target, **between)
        try:
            executor.warm_up()
        except UnavailableError:
            executor.close()
            raise
        return executor

    def _leave_gpu(self, reason: str) -> None:
        """Filter on the CPU after all: decoder and encoder then exchange frames in host memory."""
        self._resolved = Resolution(backend=Backend.CPU, reason=reason)
        self._note("filters run on the CPU", reason)
        if self._nv_decoder is not None:
            self._nv_decoder.to_host()
        if self._nv_encoder is not None:
            self._nv_encoder, self.encoder_name = None, SOFTWARE
            problem = self._open_nvenc()
            if problem:
                self._settle(self._wishes.encode, "encoding", problem)

    def moved(self, frame: Frame) -> Frame:
        """`frame`, decoded before the executor was known, where that takes it from."""
        if self.backend is Backend.CPU and any(hasattr(plane, "get") for plane in frame.planes):
            planes: tuple[Any, ...] = frame.planes
            return frame.replace(planes=tuple(plane.get() for plane in planes))
        return frame

    def attach(self, muxer: Muxer) -> StreamEncoder:
        """The encoder, its stream added to `muxer`."""
        if self._nv_encoder is not None:
            self._nv_encoder.attach(muxer.container)
            return self._nv_encoder
        settings, format_, time_base, side_data = self._encoding
        return SoftwareEncoder(muxer.container, settings, format_, time_base=time_base, side_data=side_data)

    def _settle(self, wish: Backend | None, work: str, reason: str) -> None:
        """Software does `work`. Raises `UnavailableError` where the GPU was insisted on."""
        if wish is Backend.CUDA:
            raise UnavailableError(f"{work} was to run on the GPU, which cannot: {reason}; see `runner doctor`")
        if reason:
            self._note(f"{work} in software", reason)

    def _note(self, what: str, reason: str) -> None:
        LOGGER.info("%s: %s", what, reason)
        if not find_driver().problem:
            self.warnings.append(f"{what}: {reason}")


def _coded_format(source: Source) -> VideoFormat | None:
    """Size and pixel format as the container and the first packets tell them; None when they do not."""
    context = source.video.codec_context
    if not context.pix_fmt or not context.width or not context.height:
        return None
    try:
        layout = layout_of(context.pix_fmt)
        return VideoFormat(width=context.width, height=context.height, pixel_format=layout.pixel_format)
    except (InputError, FormatError):  # the decoder will say so, to the user and better
        return None


def _layout(format_: VideoFormat) -> Any:
    from kernels.surface import Layout

    return Layout.STACKED if chroma_of(format_.pixel_format) == "444" else Layout.SEMIPLANAR
