"""One job: decode, filter, encode and mux at the same time, in bounded memory."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from kernels.chain import parse_chain
from kernels.choice import Choice, Wishes
from kernels.errors import InputError, StoppedError
from kernels.frame import FieldOrder, Frame
from kernels.io.channel import Cancellation
from kernels.io.containers import StreamChoices, check_codec, plan_tracks
from kernels.io.copy import Copies
from kernels.io.encode import EncodeSettings, encoder_pixel_format
from kernels.io.mux import Muxer, Reserve
from kernels.io.orientation import display_matrix, rotation_chain
from kernels.io.source import Source
from kernels.io.span import Span
from kernels.io.tags import stream_tags
from kernels.lines import Lines
from kernels.plan import plan_chain
from kernels.progress import Progress, Reporter, Result, StageTime

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from av import Packet

    from kernels.backends import Backend
    from kernels.chain import Step
    from kernels.io.bare_stream import StreamEncoder
    from kernels.io.containers import Track
    from kernels.io.software import SoftwareDecoder
    from kernels.io.source import InputLike
    from kernels.plan import Plan

OTHER_PACKETS_PER_S: Final = 60
"""Of a sound track whose packets nobody has counted; AAC at 48 kHz has 47."""
PROGRESS_S: Final = 0.1
JOIN_S: Final = 0.05


def process(
    source: InputLike,
    sink: BinaryIO,
    *,
    container: str,
    chain: str | Sequence[Step] = (),
    encode: EncodeSettings | None = None,
    streams: StreamChoices | None = None,
    start: float | Fraction | None = None,
    duration: float | Fraction | None = None,
    autorotate: bool = True,
    strict: bool = False,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
    backend: Backend | str | None = None,
    index_reserve_bytes: int | None = None,
) -> Result:
    """Decode `source`, run `chain` on every frame, and write `container` (mp4, mov, mkv, webm) into `sink`.

    `source` is a path or a binary file object, `sink` a writable, seekable one that the caller commits or
    discards. `start` and `duration` are seconds. `index_reserve_bytes` replaces the computed space for the index
    at the head. `backend` 'cpu' does everything in software, 'cuda' everything on the GPU; None does on the GPU what
    this machine's can do, and notes what it cannot. Setting `stop` ends the job within a fraction of a second with
    `StoppedError`.

    Raises `InputError`, `OutputError`, `ChainError`, `FormatError`, `ContainerError`, `EncodeSettingsError` or
    `UnavailableError`; all that can be known beforehand is refused before the first frame is written.
    """
    settings = encode or EncodeSettings()
    check_codec(container, settings.codec)
    span = Span.of(start, duration)
    steps = as_steps(chain)
    choice = Choice(Wishes.of(backend), strict=strict, threads=threads)
    with ExitStack() as stack:
        opened = stack.enter_context(Source(source))
        job = Job(
            source=opened,
            span=span,
            tracks=plan_tracks(container, opened.others, streams or StreamChoices()),
            container=container,
            settings=settings,
            strict=strict,
            choice=choice,
            cancellation=Cancellation(stop),
            report=Reporter(on_progress),
            autorotate=autorotate,
            index_reserve_bytes=index_reserve_bytes,
        )
        return job.run(steps, sink, stack)


def as_steps(chain: str | Sequence[Step]) -> tuple[Step, ...]:
    if not isinstance(chain, str):
        return tuple(chain)
    from kernels.catalogue import CATALOGUE

    return parse_chain(chain, CATALOGUE)


@dataclass(slots=True, kw_only=True)
class Job:
    """One input into one output; `kernels.segments` changes some of its steps."""

    source: Source
    span: Span
    tracks: tuple[Track, ...]
    container: str
    settings: EncodeSettings
    strict: bool
    choice: Choice
    cancellation: Cancellation
    report: Reporter
    autorotate: bool
    index_reserve_bytes: int | None
    frames_out: int = 0
    warnings: list[str] = field(default_factory=list)

    def run(self, steps: tuple[Step, ...], sink: BinaryIO, stack: ExitStack) -> Result:
        self.report("opening")
        decoder = self._open_decoder()
        self.warnings += Copies.warnings(self.tracks)
        if self.source.field_order is not FieldOrder.PROGRESSIVE:
            order = self.source.field_order.value
            self.warnings.append(f"the input is interlaced ({order}); its frames are written as progressive ones")
        if self.source.has_dolby_vision:
            self.warnings.append("Dolby Vision metadata cannot be kept when frames are changed, and was dropped")
        events = iter(decoder)
        stack.callback(events.close)
        held, first = first_frame(events)
        plan = self._plan(first, steps)
        self._prepare_encoder(plan, first)
        self.report("compiling kernels")
        on_gpu = self._plan_on_gpu(plan, first, steps)
        executor = stack.enter_context(self.choice.executor(plan, on_gpu, check=self.cancellation.check))
        first = self.choice.moved(first)
        self.cancellation.check()
        muxer = self._open_muxer(sink)
        try:
            encoder = self._open_encoder(muxer, plan, first)
            copies = Copies(self.source, self.tracks, muxer, self.span, held)
            muxer.container.set_chapters(self._chapters())
            muxer.start()
            for packet in held:
                copies.feed(packet)
            lines = Lines(first, plan, self.cancellation)
            self.report.start_clock()
            self._run_threads(
                {
                    "decode": lambda: self._decode(events, first, copies, lines),
                    "filter": lambda: self._filter(executor, lines),
                    "encode": lambda: self._encode(encoder, muxer, lines),
                },
                decoder,
            )
            self.report("finishing", decoder.frames_in, self.frames_out, decoder.frames_in)
            self._check_counts(decoder)
            self.warnings += muxer.finish()
            self._check_refused(muxer.refused_packets)
        except BaseException:  # Ctrl-C too must leave no half-written output
            muxer.abandon()
            raise
        elapsed_s = self.report.elapsed_s
        return Result(
            frames_in=decoder.frames_in,
            frames_out=self.frames_out,
            damaged_packets=decoder.damaged_packets + muxer.refused_packets,
            elapsed_s=elapsed_s,
            fps=self.frames_out / elapsed_s if elapsed_s else 0.0,
            backend=self.choice.backend.value,
            decoder=self.choice.decoder_name,
            encoder=self.choice.encoder_name,
            stages=lines.times(self.frames_out),
            warnings=(*self.choice.warnings, *self.warnings, *encoder.warnings, *decoder.warnings()),
        )

    def _open_decoder(self) -> SoftwareDecoder:
        return self.choice.decoder(self.source, copied=Copies.inputs(self.tracks), span=self.span)

    def _check_refused(self, count: int) -> None:
        """Name the copied packets that had to be left out. Raises `InputError` under `strict`."""
        if count and self.strict:
            raise InputError(f"{self.source.name}: {count} packets beside the video have times that make no sense")
        if count:
            self.warnings.append(
                f"{count} damaged packets of the other streams were left out: their times make no sense"
            )

    def _plan(self, first: Frame, steps: tuple[Step, ...]) -> Plan:
        steps = self._turned(first, steps)
        wanted = plan_chain(first.format, steps).target.pixel_format
        return plan_chain(first.format, steps, pixel_format=encoder_pixel_format(self.settings, wanted))

    def _plan_on_gpu(self, plan: Plan, first: Frame, steps: tuple[Step, ...]) -> Plan:
        """`plan`, whose last kernel stores samples as the GPU's own encoder takes them, where that one encodes."""
        taken = self.choice.taken(plan.target.pixel_format)
        if taken == plan.target.pixel_format:
            return plan
        return plan_chain(first.format, self._turned(first, steps), pixel_format=taken)

    def _turned(self, first: Frame, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """`steps`, after those that turn the picture upright."""
        if not self.autorotate:
            return steps
        return (*as_steps(rotation_chain(display_matrix(first.side_data))), *steps)

    def _open_muxer(self, sink: BinaryIO) -> Muxer:
        count, whole = self._frames_total(), self.source.frame_count
        seconds = self.source.duration_s
        guess = round(seconds * OTHER_PACKETS_PER_S) if seconds is not None else 0
        inputs = Copies.inputs(self.tracks)
        others = sum(stream.frames or guess for stream in inputs)
        reserve = Reserve(
            video_packets=count,
            other_packets=others * count // whole if count and whole else others,
            subtitle_packets=sum(
                stream.frames or round(seconds or 0) for stream in inputs if stream.type == "subtitle"
            ),
            intra_only=self.settings.codec == "ffv1",
        )
        time_bases = [self.source.time_base, *(s.time_base for s in inputs if s.time_base)]
        return Muxer(
            sink,
            self.container,
            reserve=reserve,
            origin_s=self.source.start_s + (self.span.start_s or 0),
            timescales=tuple(base.denominator for base in time_bases),
            reserve_bytes=self.index_reserve_bytes,
            metadata=self.source.container.metadata,
        )

    def _prepare_encoder(self, plan: Plan, first: Frame) -> None:
        self.choice.prepare_encoder(
            self.settings, plan.target, time_base=self.source.time_base, side_data=first.side_data
        )

    def _open_encoder(self, muxer: Muxer, plan: Plan, first: Frame) -> StreamEncoder:
        encoder = self._attach(muxer, plan)
        stream, video = encoder.stream, self.source.video
        stream.metadata.update(stream_tags(video.metadata, muxer.rules))
        stream.disposition = video.disposition
        matrix = display_matrix(first.side_data)
        if matrix is not None and not self.autorotate:
            stream.set_display_matrix(matrix)
        muxer.set_video(stream, plan.target.sample_aspect_ratio)
        return encoder

    def _attach(self, muxer: Muxer, plan: Plan) -> StreamEncoder:
        del plan  # a join needs it
        return self.choice.attach(muxer)

    def _chapters(self) -> list[Any]:
        """The input's chapters, moved with the pictures and cut to the span."""
        kept = []
        origin_s = self.source.start_s + (self.span.start_s or 0)
        length_s = None if self.span.end_s is None else self.span.end_s - (self.span.start_s or 0)
        for chapter in self.source.container.chapters():
            base = chapter["time_base"] or Fraction(1, 1000)
            begin_s, end_s = chapter["start"] * base - origin_s, chapter["end"] * base - origin_s
            if end_s <= 0 or (length_s is not None and begin_s >= length_s):
                continue
            end_s = end_s if length_s is None else min(end_s, length_s)
            kept.append({**chapter, "start": round(max(begin_s, Fraction(0)) / base), "end": round(end_s / base)})
        return kept

    def _run_threads(self, bodies: dict[str, Callable[[], None]], decoder: SoftwareDecoder) -> None:
        """Run all bodies to their end; the first error of any ends the others and is raised here."""

        def guarded(body: Callable[[], None]) -> None:
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - raised again by the waiting thread
                self.cancellation.fail(error)

        threads = [threading.Thread(target=guarded, args=(body,), name=name) for name, body in bodies.items()]
        for thread in threads:
            thread.start()
        total = self._frames_total()
        try:
            reported = 0.0
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(JOIN_S)
                if time.perf_counter() - reported >= PROGRESS_S:
                    reported = time.perf_counter()
                    self.report("processing", decoder.frames_in, self.frames_out, total)
        except BaseException as error:  # the threads must end before anything leaves
            self.cancellation.fail(error)
            for thread in threads:
                thread.join()
            raise
        if self.cancellation.error is not None:
            raise self.cancellation.error
        self.cancellation.check()

    def _frames_total(self) -> int | None:
        count, rate = self.source.frame_count, self.source.frame_rate
        seconds = self.source.duration_s
        if self.span.is_whole or count is None:
            return count
        if seconds is None or rate is None:
            return None
        end_s = seconds if self.span.end_s is None else min(seconds, self.span.end_s)
        return max(0, round((end_s - (self.span.start_s or 0)) * rate))

    def _decode(self, events: Generator[Frame | Packet], first: Frame, copies: Copies, lines: Lines) -> None:
        lines.decoded.put(first)
        started = time.perf_counter()
        for event in events:
            if isinstance(event, Frame):
                lines.busy_s["decode"] += time.perf_counter() - started
                lines.decoded.put(event)
                del event  # one frame less while the next is decoded
                started = time.perf_counter()
            else:
                copies.feed(event)
                self.cancellation.check()
        copies.flush()
        lines.busy_s["decode"] += time.perf_counter() - started
        lines.decoded.close()

    def _filter(self, executor: Any, lines: Lines) -> None:
        if hasattr(executor, "stream"):  # a GPU works on several frames at a time
            self._filter_ahead(executor, lines)
            return
        while (frame := lines.decoded.get()) is not None:
            started = time.perf_counter()
            out = executor.run(frame)
            lines.busy_s["filter"] += time.perf_counter() - started
            lines.filtered_frames += 1
            del frame
            self._pass_on(out, lines)
            del out
        self._pass_end(lines)

    def _filter_ahead(self, executor: Any, lines: Lines) -> None:
        started = time.perf_counter()
        for out in executor.stream(iter(lines.decoded.get, None)):
            lines.filtered_frames += 1
            self._pass_on(out, lines)
        waited_s = lines.decoded.get_wait_s + lines.filtered.put_wait_s
        lines.busy_s["filter"] += max(0.0, time.perf_counter() - started - waited_s)
        self._pass_end(lines)

    def _pass_on(self, frame: Frame, lines: Lines) -> None:
        """A frame to the encoder."""
        lines.filtered.put(frame)

    def _pass_end(self, lines: Lines) -> None:
        """No more frames."""
        lines.filtered.close()

    def _encode(self, encoder: StreamEncoder, muxer: Muxer, lines: Lines) -> None:
        while (frame := lines.filtered.get()) is not None:
            started = time.perf_counter()
            for packet in encoder.encode(frame):
                muxer.write_video(packet)
                self.frames_out += 1
            lines.busy_s["encode"] += time.perf_counter() - started
            del frame
        started = time.perf_counter()
        for packet in encoder.flush():
            self.cancellation.check()
            muxer.write_video(packet)
            self.frames_out += 1
        lines.busy_s["encode"] += time.perf_counter() - started

    def _check_counts(self, decoder: SoftwareDecoder) -> None:
        if self.frames_out != decoder.frames_in:
            message = f"{decoder.frames_in} frames went in but {self.frames_out} came out of the encoder"
            self._complain(message)
        if self.strict and decoder.missing_frames:
            raise InputError(f"{self.source.name}: {decoder.missing_frames} packets gave no frame (--strict)")

    def _complain(self, message: str) -> None:
        if self.strict:
            raise InputError(f"{self.source.name}: {message}")
        self.warnings.append(message)


def first_frame(events: Generator[Frame | Packet]) -> tuple[list[Packet], Frame]:
    """The first frame, and the packets of other streams that came before it. Raises `InputError` without one."""
    held: list[Packet] = []
    for event in events:
        if isinstance(event, Frame):
            return held, event
        held.append(event)
    raise InputError("the input ended before its first frame")


__all__ = ["Progress", "Result", "StageTime", "StoppedError", "process"]
