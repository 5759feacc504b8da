"""Kernels compiled ahead of time are found by what they were made from, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kernels import cubins, nvrtc
from kernels.errors import UnavailableError
from kernels.make_cubins import fixed_kernels, make_cubins

if TYPE_CHECKING:
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


def test_what_is_there_is_left_alone(made: tuple[Path, Kernel]) -> None:
    folder, kernel = made
    assert make_cubins(folder, [kernel], [75, 90]) == 0


def test_every_operation_with_a_kernel_of_its_own_is_made() -> None:
    entries = {kernel.entry for kernel in fixed_kernels()}
    assert {"resample", "nlmeans", "cas", "unsharp", "copy", "transpose"} <= entries


def test_what_does_not_compile_is_refused_in_the_compilers_words() -> None:
    with pytest.raises(UnavailableError, match=r"sm_90.*expected a"):
        nvrtc.compile_cubin('extern "C" __global__ void broken() { return }\n', (), 90)
