"""From a chain to stages: pure, before a frame is decoded.

Each step says what it makes of the format before it. Conversions are split into what they are made of (chroma
resampling, a colour product, a change of depth); neighbouring pointwise nodes then fuse into one stage, and the
sample representation between stages is chosen: 16 bits wherever more arithmetic follows, the output's own depth
at the last rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kernels.chain import Step, read_params
from kernels.color import Range
from kernels.conversion import is_componentwise
from kernels.errors import ChainError, FormatError
from kernels.operation import Kind
from kernels.pixel_format import Family

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernels.frame import VideoFormat
    from kernels.operation import Operation
    from kernels.pixel_format import PixelFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation between two formats."""

    step: Step
    source: VideoFormat
    target: VideoFormat
    resamples_chroma: bool = False
    """Put in by the planner, between a conversion and what comes before or after it."""

    @property
    def is_pointwise(self) -> bool:
        return self.step.operation.kind in (Kind.COMPONENT, Kind.COLOUR)

    @property
    def mixes(self) -> bool:
        """Whether it needs co-sited triplets."""
        if self.step.operation.kind is not Kind.COLOUR:
            return False
        keep_light = getattr(self.step.params, "fast", False)
        componentwise = is_componentwise(self.source, self.target, keep_light=keep_light)
        return not (self.step.operation.is_conversion and componentwise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One pass over the frame: a plane operation, or a run of pointwise ones."""

    nodes: tuple[Node, ...]
    source: VideoFormat
    """Format of the frame it reads, with the representation of its samples."""
    target: VideoFormat
    dither: bool = False
    """Whether its store dithers: only where the output is shallower than the source."""
    lift: int = 0
    """Bits that codes are shifted up by once they are rounded, as `target` has them."""

    @property
    def rounded(self) -> VideoFormat:
        """`target` with samples as they are rounded, before they are lifted."""
        pixel = self.target.pixel_format
        return replace(self.target, pixel_format=replace(pixel, shift=pixel.shift - self.lift))

    @property
    def is_pointwise(self) -> bool:
        return self.nodes[0].is_pointwise

    @property
    def mixes(self) -> bool:
        return any(node.mixes for node in self.nodes)

    @property
    def moves(self) -> bool:
        """Whether it only moves samples, and never rounds."""
        return _moves(self.nodes[0])

    @property
    def name(self) -> str:
        """The operations it runs, as `runner plan` shows them."""
        return "+".join(node.step.operation.name for node in self.nodes)

    @property
    def detail(self) -> str:
        """The canonical text of its steps."""
        return ",".join(map(str, (node.step for node in self.nodes)))

    def describe(self) -> dict[str, object]:
        """A JSON-able description; bytes are per pixel of the larger frame."""
        pixels = max(self.source.width * self.source.height, self.target.width * self.target.height)
        return {
            "name": self.name,
            "steps": self.detail,
            "from": str(self.source),
            "to": str(self.target),
            "read_bytes_per_pixel": round(self.source.bytes_per_frame / pixels, 3),
            "write_bytes_per_pixel": round(self.target.bytes_per_frame / pixels, 3),
            "dither": self.dither,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done to every frame."""

    source: VideoFormat
    """Format of the incoming frames, colour resolved."""
    target: VideoFormat
    stages: tuple[Stage, ...]

    def describe(self) -> dict[str, object]:
        """A JSON-able description for `runner plan --json`."""
        return {
            "source": str(self.source),
            "target": str(self.target),
            "stages": [stage.describe() for stage in self.stages],
        }


def plan_chain(
    source: VideoFormat,
    steps: Sequence[Step],
    *,
    pixel_format: PixelFormat | None = None,
    catalogue: Mapping[str, Operation] | None = None,
) -> Plan:
    """The stages that run `steps` on frames of `source`.

    `pixel_format` is what the encoder takes: a last conversion to it is added where needed. Where it has a shift, the
    last rounding is to whole codes all the same, and they are stored so. Without it, samples stay as the source stores
    them while they have its depth. Colour tags that the source does not carry are resolved once, here, from the
    source's own size, so that a change of size never changes their meaning. Raises `FormatError` for a chain that
    cannot work on such frames.
    """
    if catalogue is None:
        from kernels.catalogue import CATALOGUE  # the default only; planning itself needs no NumPy code

        catalogue = CATALOGUE
    source = replace(source, color=source.resolved_color)
    planner = _Planner(source, catalogue)
    for step in steps:
        try:
            planner.add(step)
        except FormatError as error:
            if not step.chain:
                raise
            position = step.position if error.position is None else error.position
            raise ChainError(str(error), chain=step.chain, position=position) from None
    if pixel_format is not None and pixel_format.codes() != planner.current.pixel_format:
        planner.convert_to(pixel_format)
    stages = planner.stages(pixel_format)
    stored = stages[-1].target.pixel_format if stages else source.pixel_format
    return Plan(source=source, target=replace(planner.current, pixel_format=stored), stages=stages)


class _Planner:
    """Collects nodes in `nominal` formats (codes in the low bits), then groups and represents them."""

    def __init__(self, source: VideoFormat, catalogue: Mapping[str, Operation]) -> None:
        self._source = source
        self._catalogue = catalogue
        self._nodes: list[Node] = []
        self._dither = True
        self.current = replace(source, pixel_format=source.pixel_format.codes())

    def add(self, step: Step) -> None:
        if step.operation.assume is not None:
            self.current = step.operation.assume(step.params, self.current)
        target = step.operation.output(step.params, self.current)
        self._dither = self._dither and getattr(step.params, "dither", True)
        if step.operation.kind is Kind.COLOUR:
            self._add_colour(step, target)
        else:
            moved = replace(target, color=self.current.color)
            if moved != self.current or not step.operation.skips_unchanged:
                self._append(step, moved)
            self._recolor(target)
        self.current = target

    def _recolor(self, target: VideoFormat) -> None:
        """Convert to the tags of `target`, for an operation that also asks for other colours."""
        if target.color == self.current.color:
            return
        operation = self._catalogue["colorspace"]
        tags = {"space": target.color.matrix, "range": target.color.range}
        self._add_colour(Step(operation=operation, params=operation.params(**tags)), target)

    def convert_to(self, pixel_format: PixelFormat) -> None:
        operation = self._catalogue["format"]
        self.add(Step(operation=operation, params=read_params(operation, {"pix_fmts": pixel_format.name})))

    def stages(self, wanted: PixelFormat | None) -> tuple[Stage, ...]:
        """The nodes in stages; `wanted` says how samples are stored at the end."""
        groups = self._groups()
        before = self._source.pixel_format
        depth_out = self.current.pixel_format.depth
        dither = self._dither and depth_out < before.depth
        lift = wanted.shift if wanted is not None else 0
        kept = before.shift if wanted is None and depth_out == before.depth else lift
        rounds = [not _moves(group[0]) for group in groups]
        if (dither and groups and not groups[-1][0].is_pointwise) or (kept != before.shift and not any(rounds)):
            groups.append([self._store_node()])
            rounds.append(True)
        stages: list[Stage] = []
        held = self._source
        for i, group in enumerate(groups):
            is_last = rounds[i] and not any(rounds[i + 1 :])
            pixel = group[-1].target.pixel_format
            shift = kept if is_last else 16 - pixel.depth if rounds[i] else held.pixel_format.shift
            target = replace(group[-1].target, pixel_format=replace(pixel, shift=shift))
            stage = Stage(nodes=tuple(group), source=held, target=target)
            stages.append(replace(stage, dither=dither, lift=lift) if is_last else stage)
            held = target
        return tuple(stages)

    def _append(self, step: Step, target: VideoFormat, *, resamples_chroma: bool = False) -> None:
        self._nodes.append(Node(step=step, source=self.current, target=target, resamples_chroma=resamples_chroma))
        self.current = target

    def _add_colour(self, step: Step, target: VideoFormat) -> None:
        if target == self.current and step.operation.is_conversion:
            return
        node = Node(step=step, source=self.current, target=target)
        if node.mixes:
            self._bring_chroma()
            self._append(step, self._with_subsampling(target, 0, 0))
        if target.pixel_format.family is Family.YUV and self.current.pixel_format.family is Family.YUV:
            w, h = target.pixel_format.log2_chroma_w, target.pixel_format.log2_chroma_h
            self._resample_chroma(w, h, target)
        if self.current != target:
            self._append(step, target)

    def _bring_chroma(self) -> None:
        """Chroma for every pixel, for a node that needs triplets.

        Right after a conversion came down from it, that pass is dropped; halved chroma is brought up while it
        is loaded; anything else gets a pass of its own.
        """
        last = self._nodes[-1] if self._nodes else None
        if last is not None and last.resamples_chroma and not last.source.pixel_format.is_subsampled:
            self._nodes.pop()
            self.current = last.source
        pixel = self.current.pixel_format
        if (pixel.log2_chroma_w, pixel.log2_chroma_h) not in ((0, 0), (1, 0), (1, 1)):
            self._resample_chroma(0, 0, self.current)

    def _resample_chroma(self, log2_w: int, log2_h: int, like: VideoFormat) -> None:
        """Bring chroma to the given subsampling, at the chroma location of `like`."""
        held = self.current
        target = self._with_subsampling(held, log2_w, log2_h)
        if target.pixel_format.is_subsampled:
            color = replace(held.color, chroma_location=like.color.chroma_location)
            target = replace(target, color=color)
        same_layout = target.pixel_format == held.pixel_format
        if same_layout and (target == held or not target.pixel_format.is_subsampled):
            return
        last = self._nodes[-1] if self._nodes else None
        if last is not None and last.resamples_chroma and last.source == target:
            # Up again right after a conversion came down: both passes cancel.
            self._nodes.pop()
            self.current = target
            return
        operation = self._catalogue["scale"]
        step = Step(operation=operation, params=read_params(operation, {"flags": "bilinear"}))
        self._append(step, target, resamples_chroma=True)

    @staticmethod
    def _with_subsampling(format_: VideoFormat, log2_w: int, log2_h: int) -> VideoFormat:
        if format_.pixel_format.family is not Family.YUV:
            return format_
        return replace(format_, pixel_format=format_.pixel_format.with_subsampling(log2_w, log2_h))

    def _store_node(self) -> Node:
        """A pointwise pass that only stores: where dither has to be added after a plane operation."""
        operation = self._catalogue["format"]
        params = read_params(operation, {"pix_fmts": self.current.pixel_format.name})
        return Node(step=Step(operation=operation, params=params), source=self.current, target=self.current)

    def _groups(self) -> list[list[Node]]:
        """Nodes with neighbouring pointwise ones, on equal planes, put together.

        A plane operation rounds to whatever depth it is asked for, so a deeper format after it costs no pass.
        """
        groups: list[list[Node]] = []
        for node in self._nodes:
            last = groups[-1][-1] if groups else None
            if last is not None and not last.is_pointwise and not _moves(last) and _only_deepens(node):
                groups[-1][-1] = replace(last, target=node.target)
            elif last is not None and node.is_pointwise and last.is_pointwise and _same_planes(groups[-1], node):
                groups[-1].append(node)
            else:
                groups.append([node])
        return groups


def _moves(node: Node) -> bool:
    return node.step.operation.value_preserving


def _only_deepens(node: Node) -> bool:
    """Whether every code is multiplied by a power of two: more bits of a limited range, and nothing else."""
    before, after = node.source.pixel_format, node.target.pixel_format
    if not node.step.operation.is_conversion or after.depth < before.depth or before.family is not after.family:
        return False
    same = replace(node.target, pixel_format=before) == node.source
    layouts = {(f.log2_chroma_w, f.log2_chroma_h) for f in (before, after)}
    limited = node.source.resolved_color.range is Range.LIMITED
    return same and len(layouts) == 1 and limited and before.family is not Family.GBR


def _same_planes(group: list[Node], node: Node) -> bool:
    """Whether `node` can run in the same pass: equal plane sizes, and triplets where either needs them."""
    formats = {(n.source.pixel_format.family, n.target.pixel_format.family) for n in (*group, node)}
    grays = any(Family.GRAY in pair for pair in formats)
    triplets = node.mixes or any(n.mixes for n in group)
    return not grays and not (triplets and node.source.pixel_format.is_subsampled)
