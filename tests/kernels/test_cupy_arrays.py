"""How a GPU's engine takes arrays of other libraries: with a CuPy that notes what it is asked, in a process apart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).parents[2]
CUPY: Final = """
from types import SimpleNamespace


class ndarray:
    def __init__(self, how, device=0):
        self.how, self.data = how, SimpleNamespace(device_id=device)


def asarray(array):
    return ndarray("interface")


def from_dlpack(array):
    array.__dlpack__(stream=1)
    return ndarray("DLPack", array.__dlpack_device__()[1])


class CUDARuntimeError(RuntimeError):
    pass


cuda = SimpleNamespace(
    compiler=SimpleNamespace(CompileException=CUDARuntimeError),
    driver=SimpleNamespace(CUDADriverError=CUDARuntimeError),
    memory=SimpleNamespace(OutOfMemoryError=MemoryError),
    runtime=SimpleNamespace(CUDARuntimeError=CUDARuntimeError),
)
"""
ASKED: Final = """
import json, sys
import cupy, numpy
from kernels.backends.cuda import CupyArrays

class Tensor:
    __cuda_array_interface__ = {"version": 2}  # which does not name a stream
    def __init__(self, kind=2, device=0, problem=None):
        self.at, self.problem = (kind, device), problem
    def __dlpack_device__(self):
        return self.at
    def __dlpack__(self, *, stream):
        if self.problem:
            raise BufferError(self.problem)

class OldTensor:
    __cuda_array_interface__ = {"version": 2}

arrays = CupyArrays(0, has_no_other=False)
try:
    found = arrays.adopt(eval(sys.argv[1]))
    print(json.dumps(found and found.how))
except Exception as error:
    print(json.dumps(f"{type(error).__name__}: {error}"))
"""


@pytest.fixture
def adopted(tmp_path: Path) -> Callable[[str], Any]:
    """What the engine makes of an expression."""
    (tmp_path / "cupy.py").write_text(CUPY, encoding="utf-8")
    path = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"

    def adopt(expression: str) -> Any:
        command = [sys.executable, "-c", path + ASKED, expression]
        return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)

    return adopt


def test_a_tensor_comes_through_dlpack_which_settles_the_streams(adopted: Callable[[str], Any]) -> None:
    assert adopted("Tensor()") == "DLPack"
    assert adopted("OldTensor()") == "interface", "the only way there is"


def test_what_lies_elsewhere_is_none_of_the_engine_s(adopted: Callable[[str], Any]) -> None:
    assert adopted("numpy.zeros(3)") is None
    assert adopted("object()") is None
    assert adopted("cupy.ndarray('own')") == "own"
    assert adopted("Tensor(device=1)").startswith("UnavailableError: an array lies on GPU 1")


def test_a_tensor_that_keeps_its_memory_to_itself_says_so(adopted: Callable[[str], Any]) -> None:
    said = adopted("Tensor(problem='it requires gradients')")
    assert said == "FormatError: an array on the GPU does not let others have it: it requires gradients"
