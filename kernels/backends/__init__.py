"""Where frames are worked on: the CPU, or an NVIDIA GPU. Decided once, at the edge, with the reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec

from kernels.backends.driver import find_driver
from kernels.errors import UnavailableError, nearest


class Backend(Enum):
    """A kind of processor. Leaving the choice to the machine is None, not a member."""

    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """Who does a piece of work, and why it is not the other one."""

    backend: Backend
    reason: str = ""
    """Why the GPU does not, empty where it does or was not to."""


def backend_of(name: Backend | str | None) -> Backend | None:
    """The backend called `name`; None and 'auto' leave it to the machine. Raises `UnavailableError` for others."""
    if name is None or isinstance(name, Backend):
        return name
    if name == "auto":
        return None
    try:
        return Backend(name)
    except ValueError:
        known = [member.value for member in Backend]
        raise UnavailableError(f"unknown backend {name!r}{nearest(name, ['auto', *known])}") from None


def probe() -> str:
    """Why no kernel can run on a GPU here; empty when one can."""
    driver = find_driver()
    if driver.problem:
        return driver.problem
    if find_spec("cupy") is None:
        return "CuPy is not installed (pip install 'framehaul[cuda12]' or 'framehaul[cuda13]')"
    try:
        from kernels.backends.cuda import engine

        engine()
    except UnavailableError as error:
        return error.reason
    except ImportError as error:  # a CuPy whose own libraries are missing
        return str(error).splitlines()[0]
    return ""


def resolve(requested: Backend | None) -> Resolution:
    """Where kernels run. Raises `UnavailableError` when the GPU is insisted on and cannot be used."""
    if requested is Backend.CPU:
        return Resolution(backend=Backend.CPU)
    reason = probe()
    if reason and requested is Backend.CUDA:
        raise UnavailableError(f"filters were to run on the GPU, which cannot: {reason}; see `runner doctor`")
    return Resolution(backend=Backend.CPU if reason else Backend.CUDA, reason=reason)
