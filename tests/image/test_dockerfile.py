"""What must hold of the worker's image, read from its Dockerfile; `just docker-smoke` builds it for real."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser

from runner.setting_table import setting_of
from runner.spec import Requirements

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile.cuda"


@pytest.fixture(scope="module")
def parser() -> DockerfileParser:
    return DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.read_bytes()))


@pytest.fixture(scope="module")
def last_stage(parser: DockerfileParser) -> list[dict[str, Any]]:
    """The instructions of the stage that is shipped."""
    begins = [i for i, step in enumerate(parser.structure) if step["instruction"] == "FROM"]
    return list(parser.structure[begins[-1] :])


def values(stage: list[dict[str, Any]], instruction: str) -> list[str]:
    return [step["value"] for step in stage if step["instruction"] == instruction]


def environment(stage: list[dict[str, Any]]) -> dict[str, str]:
    return dict(pair.split("=", 1) for text in values(stage, "ENV") for pair in text.split())


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_base_is_pinned_and_holds_the_runtime_alone(parser: DockerfileParser) -> None:
    base = next(step["value"] for step in parser.structure if step["instruction"] == "ARG")
    assert re.fullmatch(r"CUDA_BASE=nvidia/cuda:12\.\d+\.\d+-base-ubuntu\d\d\.04", base), base


def test_the_base_and_the_packages_are_of_one_cuda(parser: DockerfileParser) -> None:
    base = next(step["value"] for step in parser.structure if step["instruction"] == "ARG")
    major = re.search(r"cuda:(\d+)\.", base)
    installed = re.search(r"pip install .*\[cuda(\d+)\]", parser.content)
    assert major
    assert installed
    assert major[1] == installed[1]


def test_codecs_are_asked_of_the_driver(last_stage: list[dict[str, Any]]) -> None:
    assert environment(last_stage)["NVIDIA_DRIVER_CAPABILITIES"].split(",") == ["compute", "utility", "video"]


def test_it_starts_on_every_driver_that_machines_are_searched_for_with(last_stage: list[dict[str, Any]]) -> None:
    """The base's own demand is its CUDA version's, which no minor version compatibility would be asked about."""
    assert environment(last_stage)["NVIDIA_REQUIRE_CUDA"] == f"cuda>={Requirements().min_cuda}"
    setting = setting_of("min_cuda")
    assert setting is not None
    assert setting.default == str(Requirements().min_cuda)


def test_it_does_not_run_as_root(last_stage: list[dict[str, Any]]) -> None:
    assert values(last_stage, "USER")[-1].split(":")[0] not in {"0", "root"}
    after = [step["instruction"] for step in last_stage]
    assert after.index("USER") > max(i for i, name in enumerate(after) if name in {"RUN", "COPY"})


def test_caches_lie_where_its_user_may_write(last_stage: list[dict[str, Any]]) -> None:
    variables, home = environment(last_stage), values(last_stage, "WORKDIR")[-1]
    for name in ("NUMBA_CACHE_DIR", "CUPY_CACHE_DIR"):
        assert variables[name].startswith(f"{home}/")


def test_it_starts_the_worker_that_the_project_declares(last_stage: list[dict[str, Any]]) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    entry = json.loads(values(last_stage, "ENTRYPOINT")[-1])
    assert entry[0] in scripts
    assert entry[1:] == ["worker"]
    assert values(last_stage, "HEALTHCHECK")


def test_nothing_secret_is_in_it(parser: DockerfileParser) -> None:
    assert not re.search(r"(?i)(secret|token|passw|application_key|api_key)", parser.content)


def test_what_it_copies_exists_and_is_let_through(parser: DockerfileParser) -> None:
    allowed = {
        line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = set()
    for value in values(parser.structure, "COPY"):
        if not value.startswith("--from"):
            copied |= set(value.split()[:-1])
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def test_no_layer_keeps_what_only_building_needs(parser: DockerfileParser) -> None:
    for command in values(parser.structure, "RUN"):
        if "apt-get install" in command:
            assert "--no-install-recommends" in command
            assert "rm -rf /var/lib/apt/lists/*" in command
        if "pip install" in command:
            assert "--no-cache-dir" in command
