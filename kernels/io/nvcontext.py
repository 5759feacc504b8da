"""The CUDA context of a thread, kept as it was through calls of PyNvVideoCodec's that fail.

PyNvVideoCodec makes a context for each question and each session. Where NVENC refuses, which every A100 and H100 does,
it leaves that context alive and current: each one costs memory on the GPU, and whatever the thread does on the GPU next
would be done in it.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kernels.backends.driver import DRIVER_LIBRARY

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def balanced() -> Generator[None]:
    """Destroys the contexts that a failing call has left current on this thread; for what works, does nothing."""
    driver = ctypes.CDLL(DRIVER_LIBRARY)
    before = _current(driver)
    try:
        yield
    except BaseException:  # Ctrl-C too: a context that is left current would be every later caller's
        _restore(driver, before)
        raise


def _restore(driver: ctypes.CDLL, before: int) -> None:
    """Pop what lies over `before`, and destroy it unless it is the device's primary context, which others use."""
    while (left := _current(driver)) not in (before, 0):
        is_primary = left == _primary(driver)
        if driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p())):
            return
        if not is_primary:
            driver.cuCtxDestroy_v2(ctypes.c_void_p(left))


def _current(driver: ctypes.CDLL) -> int:
    """Address of this thread's context; 0 without one."""
    context = ctypes.c_void_p()
    driver.cuCtxGetCurrent(ctypes.byref(context))
    return context.value or 0


def _primary(driver: ctypes.CDLL) -> int:
    """Address of the primary context of the current context's device; 0 where nobody has begun one."""
    device, flags, is_active, context = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int(), ctypes.c_void_p()
    if driver.cuCtxGetDevice(ctypes.byref(device)):
        return 0
    driver.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(is_active))
    if not is_active.value or driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
        return 0
    driver.cuDevicePrimaryCtxRelease_v2(device)
    return context.value or 0
