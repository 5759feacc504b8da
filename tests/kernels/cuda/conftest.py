"""What tests of CUDA sources need on a machine without a GPU."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def compiler() -> str:
    """Path of g++, which runs kernels on the CPU (see `module.py`)."""
    found = shutil.which("g++")
    if found is None:
        pytest.skip("no g++ (Debian and Ubuntu: apt-get install g++)")
    return found
