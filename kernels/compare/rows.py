"""Planes as the row kernels of this package take them: one flat run of samples and a pitch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.frame import Plane


def flat_rows(plane: Plane) -> tuple[NDArray[Any], int]:
    """(samples, pitch in samples): row y of `plane` is `samples[y * pitch : y * pitch + width]`.

    The samples are a read-only view, so that every plane has one Numba type and kernels compile once per
    sample type. A plane whose rows do not run forwards through memory is copied.
    """
    height, width = plane.shape
    pitch_bytes, step_bytes = plane.strides
    itemsize = plane.itemsize
    runs_forwards = step_bytes == itemsize and pitch_bytes >= width * itemsize and pitch_bytes % itemsize == 0
    if not runs_forwards:
        pitch_bytes = width * itemsize
    pitch = pitch_bytes // itemsize
    samples: NDArray[Any] = plane if runs_forwards else np.ascontiguousarray(plane)
    flat = as_strided(samples, shape=((height - 1) * pitch + width,), strides=(itemsize,), writeable=False)
    return flat, pitch
