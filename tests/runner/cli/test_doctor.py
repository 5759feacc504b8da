"""What `runner doctor` says about the machine the tests run on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import av
import numpy as np

from runner.doctor import examine

if TYPE_CHECKING:
    from tests.runner.cli.conftest import Runner


def test_versions_are_the_real_ones() -> None:
    found = {check.name: check.found for check in examine()}
    assert found["numpy"] == np.__version__
    assert found["av"] == av.__version__


def test_what_is_missing_has_a_reason_and_advice() -> None:
    for check in examine():
        assert check.found
        assert bool(check.advice) != check.ok or check.ok, check
        assert not check.required or check.ok, check


def test_pyav_has_every_codec_that_run_offers() -> None:
    [encoders] = [check for check in examine() if check.name == "encoders"]
    assert encoders.ok, encoders.advice


def test_json(inside: Runner) -> None:
    ended = inside("doctor", "--json")
    assert ended.code == 0
    printed = json.loads(ended.out)
    assert printed["ok"] is True
    assert {"python", "cores", "memory", "kernel cache", "CUDA driver", "cupy", "PyNvVideoCodec"} <= {
        check["name"] for check in printed["checks"]
    }


def test_text(inside: Runner) -> None:
    printed = inside("doctor").out
    assert "ok  numpy" in printed
