"""`eq`: brightness, contrast, saturation and gamma."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kernels.errors import FormatError
from kernels.jit import njit
from kernels.operation import Kind, Operation, Tile, Tolerance
from kernels.options import Params, option
from kernels.pixel_format import Family
from kernels.twins import TWIN

if TYPE_CHECKING:
    from kernels.frame import VideoFormat

NODES: Final = 4096
"""Intervals of the gamma table, taken at the root of the value where a power below 1 is steep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eq(Params):
    """FFmpeg's options; constants, not expressions."""

    contrast: float = option(1.0, "factor around mid-grey; negative inverts", low=-1000.0, high=1000.0)
    brightness: float = option(0.0, "added to luma, 1 being white", low=-1.0, high=1.0)
    saturation: float = option(1.0, "factor of chroma", low=0.0, high=3.0)
    gamma: float = option(1.0, "gamma of all components", low=0.1, high=10.0)
    gamma_r: float = option(1.0, "gamma of red, relative to green", low=0.1, high=10.0)
    gamma_g: float = option(1.0, "gamma of green", low=0.1, high=10.0)
    gamma_b: float = option(1.0, "gamma of blue, relative to green", low=0.1, high=10.0)
    gamma_weight: float = option(1.0, "how much gamma reaches bright areas", low=0.0, high=1.0)
    eval: str = option(
        "init", "both mean the same: no option depends on time", choices={"init": "init", "frame": "frame"}
    )


@njit(TWIN, cache=True, nogil=True, fastmath={"contract"})
def gain_twin(tile, params, x, y, n):  # type: ignore[no-untyped-def]
    """`params[0] * v + params[1]`, held within 0..1 as FFmpeg's filter holds it, whatever it is fused with."""
    row = tile[0]
    for i in range(tile.shape[1]):
        row[i] = min(max(params[0] * row[i] + params[1], np.float32(0)), np.float32(1))


@njit(TWIN, cache=True, nogil=True)
def gamma_twin(tile, params, x, y, n):  # type: ignore[no-untyped-def]
    """`table(params[0] * v + params[1])`, the table `params[2:]` over the root of 0..1."""
    table = params[2:]
    row = tile[0]
    for i in range(tile.shape[1]):
        value = min(max(params[0] * row[i] + params[1], np.float32(0)), np.float32(1))
        at = np.sqrt(value) * np.float32(NODES)
        k = min(np.int32(at), np.int32(NODES - 1))
        row[i] = table[k] + (at - np.float32(k)) * (table[k + 1] - table[k])


def _output(params: Eq, source: VideoFormat) -> VideoFormat:
    if source.pixel_format.family is Family.GBR:
        raise FormatError(f"eq works on luma and chroma, not on {source.pixel_format}; put format=yuv444p before it")
    return source


def _cpu(params: Eq, source: VideoFormat, plane: int) -> Tile | None:
    """The step on one plane, on values code / (2**depth - 1); None where it changes nothing."""
    if plane == 0:
        gamma, factor, pivot, lift = params.gamma * params.gamma_g, params.contrast, 0.5, params.brightness
    else:
        own = params.gamma_b if plane == 1 else params.gamma_r
        gamma, factor, lift = float(np.sqrt(own / params.gamma_g)), params.saturation, 0.0
        depth = source.pixel_format.depth
        pivot = (1 << (depth - 1)) / ((1 << depth) - 1)  # the neutral code stays where it is
    offset = pivot - factor * pivot + lift
    if gamma == 1 or params.gamma_weight == 0:
        unchanged = factor == 1 and offset == 0
        line = np.array([factor, offset], np.float32)
        return None if unchanged else Tile(twin=gain_twin, params=line, last=1, device="held_gain")
    values = np.linspace(0.0, 1.0, NODES + 1) ** 2
    table = values * (1 - params.gamma_weight) + values ** (1 / gamma) * params.gamma_weight
    held = np.concatenate([[factor, offset], table]).astype(np.float32)
    return Tile(twin=gamma_twin, params=held, last=1, device="gamma_table")


EQ = Operation(
    name="eq",
    kind=Kind.COMPONENT,
    params=Eq,
    summary="brightness, contrast, saturation and gamma",
    source="FFmpeg filter documentation, eq; v' = c (v - 1/2) + 1/2 + b, then (1 - w) v' + w v'^(1/gamma)",
    tolerance=Tolerance(max_codes=1, reason="the power is a table of 4096 intervals in float32"),
    samples=("eq=contrast=1.2:brightness=0.05:saturation=1.3", "eq=gamma=1.4:gamma_r=1.1:gamma_weight=0.8"),
    cpu=_cpu,
    output=_output,
)
