"""Asking LLVM for the widest vectors the machine has."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic


def _wide_vectors(_typing_context: Any) -> Any:
    def codegen(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        attributes = builder.function.attributes
        if isinstance(attributes, set):  # llvmlite's own `add` knows only attributes without a value
            set.add(attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


wide_vectors: Any = intrinsic(_wide_vectors)
"""Let the calling function use 512-bit vectors; no effect on a machine without them.

LLVM prefers 256-bit vectors on processors with AVX-512 for fear of lower clocks. The sums of resampling are bound
by the throughput of multiply-add, which doubles: 1.5 to 1.8 times as fast on Sapphire Rapids. Wanted in every
function between a loop and the compiled entry point, since code put into a caller follows the caller's setting.
"""
