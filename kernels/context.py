"""How many frames around one a chain looks at: what a part of a video needs beside its own frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernels.chain import Step


def chain_context(steps: Iterable[Step]) -> tuple[int, int]:
    """`(before, after)`: frames of the source that all `steps` together need around each frame they make.

    A frame of the last step needs its window of the step before, every frame of that its own: the windows add up.
    """
    before = after = 0
    for step in steps:
        if step.operation.context is not None:
            one_before, one_after = step.operation.context(step.params)
            before, after = before + one_before, after + one_after
    return before, after
