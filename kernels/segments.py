"""A job in segments: each is encoded for itself, anywhere, and all are joined into what one run would have written."""

from __future__ import annotations

from bisect import bisect_left
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from kernels.backends import Backend, backend_of
from kernels.choice import Choice, Wishes
from kernels.errors import InputError
from kernels.io.bare_stream import ReadyStream, add_bare_stream
from kernels.io.beside import Beside
from kernels.io.carrier import Carrier, SegmentFacts, SegmentReader
from kernels.io.channel import Cancellation
from kernels.io.containers import StreamChoices, check_codec, plan_tracks
from kernels.io.copy import Copies
from kernels.io.join import joined
from kernels.io.seek import entries
from kernels.io.software import SoftwareDecoder
from kernels.io.source import Source
from kernels.io.span import Span
from kernels.pipeline import Job, as_steps, first_frame
from kernels.progress import Progress, Reporter, Result

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence
    from fractions import Fraction

    from kernels.chain import Step
    from kernels.frame import Frame
    from kernels.io.bare_stream import StreamEncoder
    from kernels.io.encode import EncodeSettings
    from kernels.io.frame_index import FrameIndex
    from kernels.io.join import Piece
    from kernels.io.mux import Muxer
    from kernels.io.seek import Entry
    from kernels.io.source import InputLike
    from kernels.lines import Lines
    from kernels.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What all segments of a job have in common; as in `kernels.process`."""

    container: str
    chain: str | Sequence[Step] = ()
    encode: EncodeSettings
    streams: StreamChoices = field(default_factory=StreamChoices)
    start_s: Fraction | None = None
    duration_s: Fraction | None = None
    autorotate: bool = True
    strict: bool = False
    threads: int | None = None
    backend: Backend | str | None = None
    """Where filters run; on a machine with a GPU, decoding is then the machine's own choice."""
    encoder: Backend = Backend.CPU
    """Who encodes, whatever `backend` says: segments are joined untouched, so all must come from one encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The frames of one segment."""

    first: int
    last: int
    """One more than the last frame written; both count from the start of the source."""
    before: int = 0
    """Frames before `first` that the chain has to see."""
    after: int = 0
    """Frames after the last one that the chain has to see."""

    def __post_init__(self) -> None:
        if not 0 <= self.before <= self.first < self.last or self.after < 0:
            raise InputError(f"frames {self.first} to {self.last} with {self.before} before are no segment")


def encode_segment(
    source: InputLike,
    sink: BinaryIO,
    window: Window,
    index: FrameIndex,
    settings: Settings,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> Result:
    """Decode, filter and encode the frames of `window` into `sink`, which needs `write` alone.

    The first frame is a keyframe and no frame refers to one outside. Where damage leaves no frame for a packet, the
    one before is shown for it too (at the beginning the one after), so that every segment has the frames of its
    plan; the result has a warning then. Raises as `kernels.process` does, and `InputError` when the source has other
    frames than `index` says, or with `strict` fewer.
    """
    begin = window.first - window.before
    ways = [(entry, False) for entry in entries(index, begin)]
    if not settings.strict:
        ways.append((ways[0][0], True))
    for entry, conceals in ways:
        with ExitStack() as stack:
            common = _common(source, settings, stack, on_progress, stop)
            common |= {"tracks": (), "span": _window_span(window, index, common["source"])}
            job = _SegmentJob(**common, window=window, index=index, entry=entry, may_begin_late=conceals)
            try:
                return job.run(as_steps(settings.chain), sink, stack)
            except _MisplacedError:  # the container's own index led elsewhere; nothing was written yet
                _rewind(source)
    raise _moved(source, begin)


def read_segment(file: BinaryIO, name: str, *, on_read: Callable[[int], None] | None = None) -> SegmentFacts:
    """What the segment `file` holds, read to its end once. Raises `InputError` for what is no segment.

    `on_read` is told the bytes of each piece.
    """
    with SegmentReader(file, name, on_read=on_read) as segment:
        return segment.facts()


def join_segments(
    source: InputLike,
    sink: BinaryIO,
    pieces: Sequence[Piece],
    index: FrameIndex,
    settings: Settings,
    *,
    lead: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> Result:
    """Write into `sink` what `kernels.process` would have written, with the video of `pieces` as it is.

    `open` of a piece may wait until there is one; then `lead` has to be given: `SegmentFacts.reorder_frames` of the
    first piece. Everything beside the video is taken from `source`. Raises as `kernels.process` does, and
    `InputError` for pieces that do not fit.
    """
    with ExitStack() as stack:
        first, entry = _decode_first(source, pieces[0].first, index, settings)
        common = _common(source, settings, stack, on_progress, stop)
        job = _JoinJob(
            **common, encoder=settings.encoder, pieces=tuple(pieces), index=index, entry=entry, first=first, lead=lead
        )
        return job.run(as_steps(settings.chain), sink, stack)


class _MisplacedError(Exception):
    """Decoding did not begin where it was meant to."""


def _rewind(source: InputLike) -> None:
    if not isinstance(source, str) and hasattr(source, "seek"):
        source.seek(0)


def _common(
    source: InputLike,
    settings: Settings,
    stack: ExitStack,
    on_progress: Callable[[Progress], None] | None,
    stop: threading.Event | None,
) -> dict[str, Any]:
    """The fields of `Job` for the whole of a job."""
    filters = backend_of(settings.backend)
    decode = Backend.CPU if filters is Backend.CPU else None
    wishes = Wishes(decode=decode, filters=filters, encode=settings.encoder)
    check_codec(settings.container, settings.encode.codec)
    opened = stack.enter_context(Source(source))
    return {
        "source": opened,
        "span": Span.of(settings.start_s, settings.duration_s),
        "tracks": plan_tracks(settings.container, opened.others, settings.streams),
        "container": settings.container,
        "settings": settings.encode,
        "strict": settings.strict,
        "choice": Choice(wishes, strict=settings.strict, threads=settings.threads),
        "cancellation": Cancellation(stop),
        "report": Reporter(on_progress),
        "autorotate": settings.autorotate,
        "index_reserve_bytes": None,
    }


def _window_span(window: Window, index: FrameIndex, source: Source) -> Span:
    """From the first frame to be decoded to the first one after the last."""
    begin, end = window.first - window.before, window.last + window.after
    if window.last > len(index.pts):
        raise InputError(f"frames {window.first} to {window.last} lie past the index, which has {len(index.pts)}")
    start_s = index.pts[begin] * index.time_base - source.start_s
    end_s = index.pts[end] * index.time_base - source.start_s if end < len(index.pts) else None
    return Span(start_s=start_s, end_s=end_s)


def _decode_first(given: InputLike, number: int, index: FrameIndex, settings: Settings) -> tuple[Frame, Entry]:
    """Frame `number`, which says what the output's video is like, and where decoding it began."""
    for entry in entries(index, number):
        with Source(given) as source:
            span = Span(start_s=index.pts[number] * index.time_base - source.start_s)
            decoder = SoftwareDecoder(source, span=span, entry=entry, threads=1, strict=settings.strict)
            events = iter(decoder)
            try:
                first = first_frame(events)[1]
            finally:
                events.close()
        _rewind(given)
        if first.pts == index.pts[number]:
            return first, entry
    if not settings.strict and _number_of(first, index) is not None:
        return first, entry
    raise _moved(given, number)


def _number_of(frame: Frame, index: FrameIndex) -> int | None:
    """Which frame of `index` is shown when `frame` is; None for none of them."""
    number = bisect_left(index.pts, frame.pts)
    return number if number < len(index.pts) and index.pts[number] == frame.pts else None


def _moved(given: InputLike, number: int) -> InputError:
    name = getattr(given, "name", given)
    return InputError(f"{name}: frame {number} is not where the index says; plan the job again")


@dataclass(slots=True, kw_only=True)
class _SegmentJob(Job):
    window: Window
    index: FrameIndex
    entry: Entry
    may_begin_late: bool
    """Whether the first frames may be missing: nothing else has helped."""
    awaited: int = -1
    """Number of the frame that comes next."""
    held: Frame | None = None
    """The last frame, to be shown again; only those of the host, since buffers of a GPU are few."""
    concealed: int = 0

    def _open_decoder(self) -> SoftwareDecoder:
        return self.choice.decoder(self.source, span=self.span, entry=self.entry)

    def _plan(self, first: Frame, steps: tuple[Step, ...]) -> Plan:
        self.awaited = self.window.first - self.window.before
        late = self.may_begin_late and self._number_within(first) is not None
        if not late and (first.index != self.awaited or first.pts != self.index.pts[self.awaited]):
            raise _MisplacedError
        return Job._plan(self, first, steps)  # noqa: SLF001 - super() knows no class with slots

    def _open_muxer(self, sink: BinaryIO) -> Muxer:
        return Carrier(sink)

    def _chapters(self) -> list[Any]:
        return []

    def _pass_on(self, frame: Frame, lines: Lines) -> None:
        number = self._number_within(frame)
        if number is None or (self.strict and number != self.awaited):
            raise InputError(f"{self.source.name}: frame {frame.index} has another time than its packet")
        self._conceal_to(number, self.held or frame, lines)
        self._put(frame, lines)
        self.held = None if hasattr(frame.planes[0], "__cuda_array_interface__") else frame

    def _pass_end(self, lines: Lines) -> None:
        if self.held is not None and not self.strict:
            self._conceal_to(self.window.last, self.held, lines)
        Job._pass_end(self, lines)  # noqa: SLF001 - super() knows no class with slots

    def _number_within(self, frame: Frame) -> int | None:
        """Which awaited frame `frame` is; None when it is none of them."""
        number = _number_of(frame, self.index)
        end = self.window.last + self.window.after
        return number if number is not None and self.awaited <= number < end else None

    def _conceal_to(self, number: int, frame: Frame, lines: Lines) -> None:
        """Show `frame` for those that are missing before frame `number`."""
        while self.awaited < number:
            self.concealed += self.awaited >= self.window.first
            pts, duration = self.index.pts[self.awaited], self.index.duration_of(self.awaited)
            self._put(frame.replace(pts=pts, duration=duration), lines)

    def _put(self, frame: Frame, lines: Lines) -> None:
        if self.window.first <= self.awaited < self.window.last:
            lines.filtered.put(frame)
        self.awaited += 1

    def _frames_total(self) -> int | None:
        return self.window.last - self.window.first

    def _check_counts(self, decoder: SoftwareDecoder) -> None:
        wanted = self.window.last - self.window.first
        if self.frames_out != wanted or self.concealed > wanted // 2:
            raise InputError(
                f"{self.source.name}: frames {self.window.first} to {self.window.last - 1} gave "
                f"{self.frames_out - self.concealed} of {wanted} frames ({decoder.damaged_packets} damaged packets)"
            )
        if self.concealed:
            self.warnings.append(f"{self.concealed} frames could not be decoded; the one before is shown for them")


@dataclass(slots=True, kw_only=True)
class _JoinJob(Job):
    pieces: tuple[Piece, ...]
    index: FrameIndex
    entry: Entry
    first: Frame
    encoder: Backend
    lead: int | None

    def run(self, steps: tuple[Step, ...], sink: BinaryIO, stack: ExitStack) -> Result:
        del stack
        self.report("opening")
        self.warnings += Copies.warnings(self.tracks)
        plan = self._plan(self.first, steps)
        muxer = self._open_muxer(sink)
        try:
            encoder = self._open_encoder(muxer, plan, self.first)
            beside = Beside(self.source, Copies.inputs(self.tracks), self.span, self.entry)
            copies = Copies(self.source, self.tracks, muxer, self.span, beside.held)
            muxer.container.set_chapters(self._chapters())
            muxer.start()
            for packet in beside.held:
                copies.feed(packet)
            self.report.start_clock()
            self._join(muxer, beside, copies, extradata=bytes(encoder.stream.codec_context.extradata or b""))
            self.warnings += muxer.finish()
            self._check_refused(muxer.refused_packets)
        except BaseException:  # Ctrl-C too must leave no half-written output
            muxer.abandon()
            raise
        if beside.problem:
            self.warnings.append(f"the input cannot be read to its end: {beside.problem}")
        elapsed_s = self.report.elapsed_s
        return Result(
            frames_in=self.frames_out,
            frames_out=self.frames_out,
            damaged_packets=muxer.refused_packets,
            elapsed_s=elapsed_s,
            fps=self.frames_out / elapsed_s if elapsed_s else 0.0,
            backend="cpu",
            stages=(),
            warnings=(*self.warnings, *encoder.warnings),
        )

    def _attach(self, muxer: Muxer, plan: Plan) -> StreamEncoder:
        """What made the pieces, as far as the stream shows it: NVENC's headers are known to the pieces alone."""
        if self.encoder is Backend.CPU:
            self._prepare_encoder(plan, self.first)
            return Job._attach(self, muxer, plan)  # noqa: SLF001 - super() knows no class with slots
        with self.pieces[0].open() as file, SegmentReader(file, self.pieces[0].name) as segment:
            headers = segment.extradata
        stream = add_bare_stream(
            muxer.container, self.settings.codec, headers, plan.target, time_base=self.source.time_base
        )
        return ReadyStream(stream)

    def _join(self, muxer: Muxer, beside: Beside, copies: Copies, *, extradata: bytes) -> None:
        total = self.pieces[-1].last - self.pieces[0].first
        codec = self.settings.codec
        for packet in joined(self.pieces, self.index, codec=codec, extradata=extradata, lead=self.lead):
            self.cancellation.check()
            assert packet.dts is not None
            beside.feed(copies, packet.dts * self.index.time_base)
            muxer.write_video(packet)
            self.frames_out += 1
            if not self.frames_out % 64:
                self.report("joining", self.frames_out, self.frames_out, total)
        beside.finish(copies)
