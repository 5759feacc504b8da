"""Names of backends, and what a machine without a driver makes of them."""

from __future__ import annotations

import re

import pytest

from kernels.backends import Backend, backend_of, probe, resolve
from kernels.backends.driver import find_driver
from kernels.choice import Choice, Wishes
from kernels.errors import UnavailableError


def test_names_of_backends() -> None:
    assert backend_of("cpu") is Backend.CPU
    assert backend_of("cuda") is Backend.CUDA
    assert backend_of(Backend.CUDA) is Backend.CUDA
    assert backend_of("auto") is None
    assert backend_of(None) is None
    with pytest.raises(UnavailableError, match=r"unknown backend 'cud'; did you mean 'cuda'\?"):
        backend_of("cud")


def test_one_name_is_a_wish_for_everything() -> None:
    assert Wishes.of("cuda") == Wishes(decode=Backend.CUDA, filters=Backend.CUDA, encode=Backend.CUDA)
    assert Wishes.of("auto") == Wishes()


def test_the_cpu_is_always_there() -> None:
    resolution = resolve(Backend.CPU)
    assert (resolution.backend, resolution.reason) == (Backend.CPU, "")
    assert Choice(Wishes.of("cpu")).backend is Backend.CPU


def test_without_a_driver_the_cpu_does_it_and_says_nothing() -> None:
    """Or with one that sees no GPU, which is what tests see where there is one."""
    reason = probe()
    assert reason == find_driver().problem
    assert reason in {"no NVIDIA driver library (libcuda.so.1)", "the NVIDIA driver sees no GPU"}
    resolution = resolve(None)
    assert (resolution.backend, resolution.reason) == (Backend.CPU, reason)
    choice = Choice(Wishes())
    assert choice.backend is Backend.CPU
    assert choice.warnings == []
    with pytest.raises(UnavailableError, match=re.escape(f"filters were to run on the GPU, which cannot: {reason}")):
        resolve(Backend.CUDA)
