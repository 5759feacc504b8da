"""Kernels compiled ahead of time are found by what they were made from, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kernels import cubins, nvrtc
from kernels.errors import UnavailableError
from kernels.make_cubins import fixed_kernels, make_cubins

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kernels.launch import Kernel

ELF = b"\x7fELF"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Kernel]:
    folder = tmp_path_factory.mktemp("cubins") / "new"
    kernel = next(kernel for kernel in fixed_kernels() if kernel.entry == "copy")
    assert make_cubins(folder, [kernel], [75, 90]) == 2
    return folder, kernel


def test_machine_code_is_found_by_its_kernel(made: tuple[Path, Kernel], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, kernel = made
    monkeypatch.setenv(cubins.FOLDER_VARIABLE, str(folder))
    path = cubins.find(kernel, 90)
    assert path is not None
    assert path.read_bytes().startswith(ELF)
    assert cubins.find(kernel, 75) != path


@pytest.mark.parametrize(
    "change",
    [{"exact": False}, {"defines": (("SAMPLE_IN", "unsigned short"),)}, {"source": "cas.cu"}],
    ids=lambda change: next(iter(change)),
)
def test_another_kernel_is_not(
    made: tuple[Path, Kernel], change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kernel = made
    monkeypatch.setenv(cubins.FOLDER_VARIABLE, str(folder))
    assert cubins.find(replace(kernel, **change), 90) is None  # type: ignore[arg-type]
    assert cubins.find(kernel, 89) is None


class DriverError(RuntimeError):
    """As CuPy raises it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"CUDA_ERROR {status}")
        self.status = status


def opened(status: int) -> Callable[[Path, Kernel], str]:
    """Loads machine code by a driver that says `status` to it."""

    def open_file(path: Path, kernel: Kernel) -> str:
        assert path.read_bytes().startswith(ELF)
        if status:
            raise DriverError(status)
        return f"{kernel.entry}, loaded"

    return open_file


def compiled(kernel: Kernel) -> str:
    return f"{kernel.entry}, compiled"


@pytest.mark.parametrize("status", [200, 209])
def test_what_the_driver_refuses_is_compiled(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kernels = [kernel for kernel in fixed_kernels() if kernel.entry == "copy"][:2]
    assert make_cubins(tmp_path, kernels, [90]) == 2
    monkeypatch.setenv(cubins.FOLDER_VARIABLE, str(tmp_path))
    assert cubins.load(kernels[0], 90, opened(0), compiled) == "copy, loaded"
    assert not caplog.records
    for kernel in kernels:
        assert cubins.load(kernel, 90, opened(status), compiled) == "copy, compiled"
    (record,) = caplog.records
    assert f"CUDA_ERROR {status}): kernels in {tmp_path} are compiled instead" in record.getMessage()


def test_a_driver_in_trouble_is_no_refusal(made: tuple[Path, Kernel], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, kernel = made
    monkeypatch.setenv(cubins.FOLDER_VARIABLE, str(folder))
    out_of_memory = 2
    with pytest.raises(DriverError):
        cubins.load(kernel, 90, opened(out_of_memory), compiled)


def test_without_a_folder_kernels_are_compiled(made: tuple[Path, Kernel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cubins.FOLDER_VARIABLE, raising=False)
    assert cubins.load(made[1], 90, opened(0), compiled) == "copy, compiled"


def test_what_is_there_is_left_alone(made: tuple[Path, Kernel]) -> None:
    folder, kernel = made
    assert make_cubins(folder, [kernel], [75, 90]) == 0


def test_every_operation_with_a_kernel_of_its_own_is_made() -> None:
    entries = {kernel.entry for kernel in fixed_kernels()}
    assert {"resample", "nlmeans", "cas", "unsharp", "copy", "transpose"} <= entries


def test_what_does_not_compile_is_refused_in_the_compilers_words() -> None:
    with pytest.raises(UnavailableError, match=r"sm_90.*expected a"):
        nvrtc.compile_cubin('extern "C" __global__ void broken() { return }\n', (), 90)
