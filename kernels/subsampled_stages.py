"""Which stages of a plan run as one kernel although chroma changes its size between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels.backends.parts import pointwise_tiles
from kernels.backends.pointwise import upsampling
from kernels.operation import Tile
from kernels.pixel_format import Family
from kernels.resample.weights import make_taps, plane_axes
from kernels.subsampled_source import Subsampled
from kernels.twins import gain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.frame import VideoFormat
    from kernels.plan import Stage
    from kernels.resample.filters import Filter
    from kernels.resample.weights import Axis

_WINDOW = 4
_HALVED = ((1, 0), (1, 1))
"""log2 of the chroma's (columns, rows) that such a kernel can bring up and down."""


def fused_length(stages: Sequence[Stage], written: Sequence[set[int]], first: int) -> int:
    """How many stages from `first` on are one kernel: steps on planes, on triplets, chroma down, steps on planes.

    0 where they are not. `written` are the components that each stage computes.
    """
    at = first
    if _is_plain(stages[at]) and at + 1 < len(stages):
        at += 1
    if at + 1 >= len(stages) or not _is_mixing(stages[at]) or not _is_descent(stages[at + 1]):
        return 0
    if at > first and _subsampling(stages[at].source) not in _HALVED:
        return 0
    end = at + 2
    if end < len(stages) and _is_plain(stages[end]):
        end += 1
    # Both chroma planes come from one place and go to one.
    sources = [max((i for i in range(first) if c in written[i]), default=-1) for c in (1, 2)]
    later: set[int] = set().union(*written[end:])
    return end - first if sources[0] == sources[1] and (1 in later) == (2 in later) else 0


def fused(stages: Sequence[Stage], *, paired_in: bool, paired_out: bool) -> Subsampled:
    """What the kernel of such stages does."""
    before, rest = (stages[0], stages[1:]) if not stages[0].mixes else (None, stages)
    mixing, descent = rest[:2]
    after = rest[2] if len(rest) > 2 else None
    vertical, horizontal = _windows(descent)
    deeper = _deepening(mixing.target, descent.target)
    last = stages[-1]
    halved = _subsampling(mixing.source) in _HALVED
    return Subsampled(
        width=mixing.source.width,
        height=mixing.source.height,
        before=_programs(before, ()) if before is not None else None,
        triplets=tuple(pointwise_tiles(mixing.nodes, None)),
        after=_programs(after, deeper),
        siting=upsampling(mixing.source) if halved else np.empty(0, np.float32),
        chroma_in=mixing.source.plane_size(1),
        chroma_out=descent.target.plane_size(1),
        across=horizontal,
        down=vertical,
        paired_in=paired_in,
        paired_out=paired_out,
        load=1 / stages[0].source.pixel_format.peak,
        store=last.rounded.pixel_format.peak,
        dither=last.dither,
    )


def _programs(stage: Stage | None, first: tuple[Tile, ...]) -> tuple[tuple[Tile, ...], ...]:
    own = [tuple(pointwise_tiles(stage.nodes, c)) if stage is not None else () for c in range(3)]
    return tuple((*first, *program) for program in own)


def _deepening(before: VideoFormat, after: VideoFormat) -> tuple[Tile, ...]:
    """The step that a deeper format on the way down is: codes times a power of two."""
    low, high = (format_.pixel_format.depth for format_ in (before, after))
    if low == high:
        return ()
    factor = ((1 << low) - 1) * 2.0 ** (high - low) / ((1 << high) - 1)
    return (Tile(twin=gain, params=np.array([factor, 0], np.float32), last=1, device="gain"),)


def _subsampling(format_: VideoFormat) -> tuple[int, int]:
    return format_.pixel_format.log2_chroma_w, format_.pixel_format.log2_chroma_h


def _is_plain(stage: Stage) -> bool:
    """Whether it works on single planes of halved chroma, and leaves their sizes."""
    is_yuv = all(f.pixel_format.family is Family.YUV for f in (stage.source, stage.target))
    same = _subsampling(stage.source) == _subsampling(stage.target)
    return stage.is_pointwise and not stage.mixes and is_yuv and same and _subsampling(stage.source) in _HALVED


def _is_mixing(stage: Stage) -> bool:
    if not (stage.is_pointwise and stage.mixes) or stage.target.pixel_format.family is not Family.YUV:
        return False
    has_colour = stage.source.pixel_format.family is not Family.GRAY
    return has_colour and _subsampling(stage.target) == (0, 0) and _subsampling(stage.source) in ((0, 0), *_HALVED)


def _is_descent(stage: Stage) -> bool:
    if not stage.nodes[0].resamples_chroma or len(stage.nodes) > 1:
        return False
    goes_down = _subsampling(stage.source) == (0, 0) and _subsampling(stage.target) in _HALVED
    same_size = (stage.source.width, stage.source.height) == (stage.target.width, stage.target.height)
    return goes_down and same_size and _fits(stage)


def _fits(stage: Stage) -> bool:
    try:
        _windows(stage)
    except ValueError:
        return False
    return True


def _windows(stage: Stage) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights along columns (empty where rows stay) and rows. Raises `ValueError` for taps beyond -1 to 2."""
    vertical, horizontal = plane_axes(stage.source, stage.target, 1)
    kernel = stage.nodes[0].step.params.filter()  # type: ignore[attr-defined]
    down = np.empty(0, np.float32) if vertical.is_identity else _window(vertical, kernel)
    return down, _window(horizontal, kernel)


def _window(axis: Axis, kernel: Filter) -> NDArray[np.float32]:
    taps = make_taps(axis, kernel)
    first, count = int(taps.first[0]) + 1, taps.weights.shape[1]
    if taps.period != 1 or (taps.advance != 2 and axis.target_size > 1) or first < 0 or first + count > _WINDOW:
        raise ValueError(f"{axis} is not a halving with taps from -1 to 2")
    window = np.zeros(_WINDOW, np.float32)
    window[first : first + count] = taps.weights[0]
    return window
