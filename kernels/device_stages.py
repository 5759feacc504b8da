"""How a plan's stages become launches: which kernel, on which planes, from where to where."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kernels import subsampled_source
from kernels.backends.parts import plane_format, pointwise_tiles
from kernels.device_parts import pointwise_of, recoding, written_by
from kernels.device_plan import SOURCE, TARGET, DevicePlan, Launch, Operand
from kernels.errors import UnavailableError
from kernels.launch import Kernel, PlaneLaunch
from kernels.pointwise_source import BLOCK, ENTRY, Section, operands, write_source
from kernels.subsampled_stages import fused, fused_length
from kernels.surface import Layout, component_groups, surface_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kernels.frame import VideoFormat
    from kernels.operation import Tile
    from kernels.plan import Plan, Stage
    from kernels.pointwise_source import Pointwise
    from kernels.surface import Surface

    Program = tuple[Tile, ...]

_SAMPLES: Final = {1: "unsigned char", 2: "unsigned short"}


class Builder:
    def __init__(self, plan: Plan, source: Layout, target: Layout, frames: int) -> None:
        self._plan = plan
        self._frames = frames
        self._surfaces = [surface_of(plan.source, source, frames), surface_of(plan.target, target, frames)]
        self._launches: list[Launch] = []
        self._stage_of: list[int] = []
        self._held: list[tuple[int, int]] = [(SOURCE, c) for c in range(plan.source.pixel_format.plane_count)]

    def build(self) -> DevicePlan:
        stages = self._plan.stages
        written = written_by(stages)
        self._carry_along(stages, written)
        number = 0
        while number < len(stages):
            count = fused_length(stages, written, number) or 1
            later: set[int] = set().union(*written[number + count :])
            if count > 1:
                self._fused(number, stages[number : number + count], later)
            else:
                self._run(number, stages[number], written[number], later)
            number += count
        left = [c for c, (surface, _) in enumerate(self._held) if surface == SOURCE]
        if left:
            self._copy(len(stages), left)
        blocks, block_of = self._assign_blocks()
        return DevicePlan(
            source=self._plan.source,
            target=self._plan.target,
            frames=self._frames,
            surfaces=tuple(self._surfaces),
            blocks=blocks,
            block_of=block_of,
            launches=tuple(self._launches),
        )

    def _carry_along(self, stages: Sequence[Stage], written: list[set[int]]) -> None:
        """Let the first pass over single planes that there is copy those which nobody changes."""
        untouched = set(range(self._plan.target.pixel_format.plane_count)).difference(*written)
        for number, stage in enumerate(stages):
            if stage.is_pointwise and not stage.mixes:
                written[number] |= untouched
                return

    def _run(self, number: int, stage: Stage, written: set[int], later: set[int]) -> None:
        """Add the stage's launches; what no later stage writes goes to the target at once."""
        outputs = self._outputs(stage.target, written, later)
        before = len(self._launches)
        if stage.is_pointwise and outputs:
            self._pointwise(stage, outputs)
        elif outputs:
            self._planes(stage, outputs)
        self._leave(number, stage.target, outputs, len(self._launches) - before)

    def _fused(self, number: int, stages: Sequence[Stage], later: set[int]) -> None:
        """Add the one launch that these stages are."""
        target = stages[-1].target
        outputs = self._outputs(target, {0, 1, 2}, later)
        written = [(outputs[c], c) for c in range(3)]
        macros = dict(self._samples(stages[0].source, target)) | _lifting(stages[-1].lift)
        paired = self._is_paired(self._held), self._is_paired(written)
        text, grid, arguments = subsampled_source.write_subsampled(
            fused(stages, paired_in=paired[0], paired_out=paired[1])
        )
        ends = [(held, False) for held in self._held[: 2 if paired[0] else 3]]
        ends += [(held, True) for held in written[: 2 if paired[1] else 3]]
        self._launches.append(
            Launch(
                name="+".join(part.name for part in stages if not part.nodes[0].resamples_chroma),
                kernel=Kernel(source=text, entry=subsampled_source.ENTRY, defines=tuple(sorted(macros.items()))),
                grid=grid,
                block=subsampled_source.BLOCK,
                shared_bytes=0,
                operands=tuple(Operand(surface=s, component=c, writes=writes) for (s, c), writes in ends),
                planes=1,
                arguments=arguments,
                read_bytes=sum(_plane_bytes(self._surfaces[surface], c) for surface, c in self._held),
                written_bytes=sum(_plane_bytes(self._surfaces[surface], c) for surface, c in written),
            )
        )
        self._leave(number + len(stages) - 1, target, outputs, 1)

    def _outputs(self, target: VideoFormat, written: set[int], later: set[int]) -> dict[int, int]:
        """The surface that each written component goes to."""
        between = None
        outputs: dict[int, int] = {}
        for c in sorted(written):
            if c not in later:
                outputs[c] = TARGET
                continue
            if between is None:
                between = len(self._surfaces)
                self._surfaces.append(surface_of(target, Layout.STACKED, self._frames))
            outputs[c] = between
        return outputs

    def _leave(self, number: int, target: VideoFormat, outputs: Mapping[int, int], launches: int) -> None:
        """Note that stage `number` has added so many launches, and where its frame lies."""
        self._stage_of += [number] * launches
        components = range(target.pixel_format.plane_count)
        self._held = [(outputs[c], c) if c in outputs else self._held[c] for c in components]

    @staticmethod
    def _samples(source: VideoFormat, target: VideoFormat) -> tuple[tuple[str, str | int], ...]:
        """The macros that say what samples are stored in."""
        sizes = source.pixel_format.dtype.itemsize, target.pixel_format.dtype.itemsize
        return ("SAMPLE_IN", _SAMPLES[sizes[0]]), ("SAMPLE_OUT", _SAMPLES[sizes[1]])

    def _planes(self, stage: Stage, outputs: dict[int, int]) -> None:
        step = stage.nodes[0].step
        operation = step.operation
        if operation.cuda is None:
            raise UnavailableError(f"{operation.name} has no CUDA code: run it with --backend cpu")
        declared: dict[int, PlaneLaunch] = {}
        recoded = []
        for c in outputs:
            ends = plane_format(stage.source, c), plane_format(stage.rounded, c)
            launch = operation.cuda(step.params, stage.source, stage.rounded, *ends)
            if launch is None:
                recoded.append(c)
            else:
                declared[c] = launch
        for group in self._alike(stage, declared, outputs):
            self._add_plane(stage, declared[group[0]], group, outputs[group[0]])
        if recoded:
            sections = self._each(stage, recoded, outputs)
            self._generate(stage.name, recoding(stage.source, stage.rounded, sections, stage.lift), outputs)

    def _alike(
        self, stage: Stage, declared: Mapping[int, PlaneLaunch], outputs: Mapping[int, int]
    ) -> Iterable[tuple[int, ...]]:
        """Components of `declared` in groups that one launch can take."""
        for group in component_groups(stage.target, Layout.STACKED):
            present = tuple(c for c in group if c in declared)
            if present == group and self._follow(group, [self._held[c] for c in group], [outputs[c] for c in group]):
                keys = {_key(declared[c]) for c in group}
                if len(keys) == 1:
                    yield group
                    continue
            yield from ((c,) for c in present)

    def _follow(self, group: tuple[int, ...], held: Sequence[tuple[int, int]], outputs: Sequence[int]) -> bool:
        """Whether the planes of `group` lie at equal distances, in and out."""
        if len(group) == 1:
            return True
        ends = [{surface for surface, _ in held}, set(outputs)]
        if any(len(end) != 1 for end in ends):
            return False
        for surface in (self._surfaces[end.pop()] for end in ends):
            if group not in component_groups(surface.format, surface.layout) or surface.layout is Layout.PLANAR:
                return False
            if surface.layout is Layout.SEMIPLANAR and self._frames > 1:
                return False  # z would have to run over frames and planes with two distances
        return True

    def _add_plane(self, stage: Stage, launch: PlaneLaunch, group: tuple[int, ...], output: int) -> None:
        surface, component = self._held[group[0]]
        source, target = self._surfaces[surface], self._surfaces[output]
        macros: dict[str, str | int] = {
            "SAMPLE_IN": _SAMPLES[source.dtype.itemsize],
            "SAMPLE_OUT": _SAMPLES[target.dtype.itemsize],
            "STEP_IN": source.places[component].step,
            "STEP_OUT": target.places[group[0]].step,
            **_lifting(stage.lift),
        }
        kernel = replace(launch.kernel, defines=tuple(sorted({**dict(launch.kernel.defines), **macros}.items())))
        pair = (
            Operand(surface=surface, component=component, writes=False),
            Operand(surface=output, component=group[0], writes=True),
        )
        self._launches.append(
            Launch(
                name=stage.name,
                kernel=kernel,
                grid=launch.grid,
                block=launch.block,
                shared_bytes=launch.shared_bytes,
                operands=pair,
                planes=len(group),
                arguments=launch.arguments,
                read_bytes=sum(_plane_bytes(source, c) for c in group),
                written_bytes=sum(_plane_bytes(target, c) for c in group),
            )
        )

    def _pointwise(self, stage: Stage, outputs: dict[int, int]) -> None:
        if stage.mixes:
            sources = tuple(range(stage.source.pixel_format.plane_count))
            height, width = stage.target.plane_size(0)
            section = Section(
                width=width,
                height=height,
                sources=sources,
                targets=tuple(outputs),
                programs=(tuple(pointwise_tiles(stage.nodes, None)),),
                steps_in=self._steps(dict(enumerate(self._held))),
                steps_out=self._steps({c: (surface, c) for c, surface in outputs.items()}),
                mixes=True,
                paired_in=self._is_paired(self._held),
                paired_out=self._is_paired([(surface, c) for c, surface in outputs.items()]),
            )
            sections: tuple[Section, ...] = (section,)
        else:
            sections = self._each(stage, list(outputs), outputs)
        self._generate(stage.name, pointwise_of(stage, sections), outputs)

    def _each(self, stage: Stage, components: list[int], outputs: Mapping[int, int]) -> tuple[Section, ...]:
        """Sections of planes that are computed by themselves; interleaved ones in pairs."""
        programs = {c: tuple(pointwise_tiles(stage.nodes, c)) if stage.is_pointwise else () for c in components}
        present = range(stage.source.pixel_format.plane_count)
        return self._sections(stage.target, components, outputs, programs, present)

    def _sections(
        self,
        format_: VideoFormat,
        components: list[int],
        outputs: Mapping[int, int],
        programs: Mapping[int, Program],
        present: range,
    ) -> tuple[Section, ...]:
        pair = (1, 2)
        both = all(c in components for c in pair)
        written = {c: (surface, c) for c, surface in outputs.items()}
        paired_in = both and pair[1] in present and self._is_paired(self._held)
        paired_out = both and self._is_paired([written.get(c, (SOURCE, c)) for c in range(3)])
        alone = [(c,) for c in components if not (paired_in or paired_out) or c not in pair]
        groups: list[tuple[int, ...]] = [*alone, pair] if paired_in or paired_out else [*alone]
        sections = []
        for group in groups:
            height, width = format_.plane_size(group[0])
            is_pair = group == pair
            sections.append(
                Section(
                    width=width,
                    height=height,
                    sources=tuple(c for c in group if c in present),
                    targets=group,
                    programs=tuple(programs[c] for c in group),
                    steps_in=self._steps({c: self._held[c] for c in present}),
                    steps_out=self._steps(written),
                    paired_in=is_pair and paired_in,
                    paired_out=is_pair and paired_out,
                )
            )
        return tuple(sections)

    def _is_paired(self, held: Sequence[tuple[int, int]]) -> bool:
        """Whether components 1 and 2 lie interleaved in one surface."""
        surfaces = {surface for surface, _ in held[1:]}
        return len(held) == 3 and len(surfaces) == 1 and self._surfaces[surfaces.pop()].layout is Layout.SEMIPLANAR

    def _steps(self, held: Mapping[int, tuple[int, int]]) -> tuple[int, ...]:
        """From one sample to the next, of components 0 to 2."""
        return tuple(self._surfaces[held[c][0]].places[held[c][1]].step if c in held else 1 for c in range(3))

    def _copy(self, number: int, components: list[int]) -> None:
        """Planes that no stage has touched, into the target."""
        outputs = dict.fromkeys(components, TARGET)
        format_ = self._plan.target
        programs: dict[int, Program] = dict.fromkeys(components, ())
        present = range(format_.pixel_format.plane_count)
        sections = self._sections(format_, components, outputs, programs, present)
        self._generate("copy", recoding(format_, format_, sections), outputs)
        self._stage_of.append(number)

    def _generate(self, name: str, stage: Pointwise, outputs: Mapping[int, int]) -> None:
        reads = [self._held[c] for c in operands(stage.sections, "in")]
        writes = [(outputs[c], c) for c in operands(stage.sections, "out")]
        dtypes = (
            self._surfaces[reads[0][0]].dtype if reads else self._plan.source.pixel_format.dtype,
            self._surfaces[writes[0][0]].dtype,
        )
        run = 16 if max(dtype.itemsize for dtype in dtypes) == 1 else 8
        text, grid, arguments = write_source(stage, run)
        macros: dict[str, str | int] = {
            "RUN": run,
            "SAMPLE_IN": _SAMPLES[dtypes[0].itemsize],
            "SAMPLE_OUT": _SAMPLES[dtypes[1].itemsize],
            **_lifting(stage.lift),
        }
        ends = [*((*held, False) for held in reads), *((*held, True) for held in writes)]
        listed = [(c, section) for section in stage.sections for c in section.sources]
        self._launches.append(
            Launch(
                name=name,
                kernel=Kernel(source=text, entry=ENTRY, defines=tuple(sorted(macros.items()))),
                grid=grid,
                block=BLOCK,
                shared_bytes=0,
                operands=tuple(Operand(surface=s, component=c, writes=w) for s, c, w in ends),
                planes=1,
                arguments=arguments,
                read_bytes=sum(_plane_bytes(self._surfaces[self._held[c][0]], c) for c, _ in listed),
                written_bytes=sum(
                    _plane_bytes(self._surfaces[outputs[c]], c) for section in stage.sections for c in section.targets
                ),
            )
        )

    def _assign_blocks(self) -> tuple[tuple[int, ...], dict[int, int]]:
        """Blocks of memory for the surfaces between stages, each used again once its last reader has run."""
        last_read = {
            operand.surface: stage
            for launch, stage in zip(self._launches, self._stage_of, strict=True)
            for operand in launch.operands
            if not operand.writes
        }
        sizes: list[int] = []
        busy_until: list[int] = []
        block_of: dict[int, int] = {}
        for launch, stage in zip(self._launches, self._stage_of, strict=True):
            for operand in launch.operands:
                surface = operand.surface
                if not operand.writes or surface == TARGET or surface in block_of:
                    continue
                free = [k for k in range(len(sizes)) if busy_until[k] < stage]
                size = self._surfaces[surface].size_bytes
                # The smallest that is large enough, else the largest, which then grows.
                block = min(free, key=lambda k: (sizes[k] < size, abs(sizes[k] - size)), default=len(sizes))
                if block == len(sizes):
                    sizes.append(0)
                    busy_until.append(0)
                sizes[block] = max(sizes[block], size)
                busy_until[block] = last_read[surface]
                block_of[surface] = block
        return tuple(sizes), block_of


def _lifting(lift: int) -> dict[str, str | int]:
    """The macro that shifts rounded samples up."""
    return {"SHIFT_OUT": lift} if lift else {}


def _plane_bytes(surface: Surface, component: int) -> int:
    rows, columns = surface.format.plane_size(component)
    return rows * columns * surface.dtype.itemsize


def _key(launch: PlaneLaunch) -> tuple[object, ...]:
    """What makes two launches do the same to two planes."""
    arguments = tuple((a.dtype.str, a.tobytes()) for a in launch.arguments)
    return launch.kernel, launch.grid, launch.block, launch.shared_bytes, arguments
