"""Every operation there is, by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kernels.ops.cas import CAS
from kernels.ops.colorspace import COLORSPACE
from kernels.ops.crop import CROP
from kernels.ops.eq import EQ
from kernels.ops.format import FORMAT
from kernels.ops.hflip import HFLIP
from kernels.ops.nlmeans import NLMEANS
from kernels.ops.pad import PAD
from kernels.ops.scale import SCALE
from kernels.ops.transpose import TRANSPOSE
from kernels.ops.unsharp import UNSHARP
from kernels.ops.vflip import VFLIP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernels.operation import Operation

_OPERATIONS: Final = (
    CAS,
    COLORSPACE,
    CROP,
    EQ,
    FORMAT,
    HFLIP,
    NLMEANS,
    PAD,
    SCALE,
    TRANSPOSE,
    UNSHARP,
    VFLIP,
)


def _by_name() -> Mapping[str, Operation]:
    table: dict[str, Operation] = {}
    for operation in _OPERATIONS:
        if operation.name in table:
            raise ValueError(f"two operations are called {operation.name!r}")
        table[operation.name] = operation
    return MappingProxyType(table)


CATALOGUE: Final = _by_name()
