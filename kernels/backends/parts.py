"""What a stage is made of, whichever machine runs it: pointwise nodes as tiles, planes as kernels meet them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kernels.conversion import Affine, codes_to_triplet, fold, triplet_to_codes
from kernels.operation import Kind, PlaneFormat, Tile
from kernels.transfer import Curve
from kernels.twins import affine, curve, gain

if TYPE_CHECKING:
    from kernels.frame import VideoFormat
    from kernels.plan import Node, Stage

    Part = Affine | Curve | Tile


def plane_format(format_: VideoFormat, plane: int) -> PlaneFormat:
    """Plane `plane` of such frames."""
    height, width = format_.plane_size(plane)
    pixel = format_.pixel_format
    return PlaneFormat(component=plane, width=width, height=height, depth=pixel.depth, shift=pixel.shift)


def pointwise_tiles(nodes: tuple[Node, ...], component: int | None) -> list[Tile]:
    """The steps of a run of pointwise nodes, from codes to codes, folded; for one plane, or for triplets (None)."""
    parts: list[Part] = []
    for node in nodes:
        operation = node.step.operation
        if operation.kind is Kind.COLOUR:
            colour = operation.cpu(node.step.params, node.source, node.target)
            parts += [codes_to_triplet(node.source), *colour, triplet_to_codes(node.target)]
        elif component is not None:
            tile = operation.cpu(node.step.params, node.source, component)
            parts += [] if tile is None else [replace(tile, first=0, last=1)]
        else:
            tiles = [operation.cpu(node.step.params, node.source, c) for c in range(3)]
            parts += [replace(tile, first=c, last=c + 1) for c, tile in enumerate(tiles) if tile is not None]
    return [_as_tile(part, component) for part in fold(parts)]


def passes(stage: Stage, component: int, tiles: list[Tile]) -> bool:
    """Whether a stage whose steps on plane `component` are `tiles` leaves that plane as it is."""
    same = stage.source.pixel_format == stage.target.pixel_format and not stage.dither
    return same and not tiles and component < stage.source.pixel_format.plane_count


def _as_tile(part: Part, component: int | None) -> Tile:
    """`part` as a step on three components, or on the one plane `component` (an affine must be diagonal)."""
    if isinstance(part, Tile):
        return part
    last = 3 if component is None else 1
    if isinstance(part, Curve):
        params = np.concatenate([[np.float32(part.by_root)], part.table])
        return Tile(twin=curve, params=params, last=last, device="curve")
    if component is None:
        params = np.concatenate([part.matrix.ravel(), part.offset]).astype(np.float32)
        return Tile(twin=affine, params=params, device="affine", mixes=True)
    scale, shift = part.matrix[component, component], part.offset[component]
    return Tile(twin=gain, params=np.array([scale, shift], np.float32), last=1, device="gain")
