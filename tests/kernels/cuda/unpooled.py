"""A pytest plugin: each array on the GPU is an allocation of the driver's own.

CuPy's pool cuts arrays from large blocks and gives them out again with what was in them: a read past an array's end, or
of what was never written, would look right to a tool that knows only allocations.
"""

from __future__ import annotations


def pytest_configure() -> None:
    import cupy

    cupy.cuda.set_allocator(None)
