# The same commands that .ci/run gives. `just` itself comes with the dev extra: .venv/bin/just
bin := if path_exists(justfile_directory() / ".venv/bin") == "true" { justfile_directory() / ".venv/bin/" } else { "" }

# What this file can do
default:
    @{{bin}}just --list

# Every check that runs no tests
check: lint layout types imports cuda-layout pages

# Mistakes and habits
lint:
    {{bin}}ruff check .

# Python as the formatter writes it
layout:
    {{bin}}ruff format --check .

# mypy, strict
types:
    {{bin}}mypy

# Which package may import which
imports:
    {{bin}}lint-imports --no-logo

# CUDA as the formatter writes it
cuda-layout:
    {{bin}}clang-format --dry-run -Werror kernels/cuda/*.cu kernels/cuda/include/*.cuh

# docs/operations/ says what the catalogue says
pages:
    {{bin}}python docs/generate.py --check

# The tests, three at a time; `just test -k scale` picks some
test *arguments:
    {{bin}}pytest -n 3 {{arguments}}

# The tests for a machine with an NVIDIA GPU, where a missing one is a failure; `just test` hides it from all others
test-gpu *arguments:
    REQUIRE_GPU=1 {{bin}}pytest -m gpu {{arguments}}

# compute-sanitizer's four tools over a seeded choice of the GPU's parity tests; `just sanitize 0` takes all
sanitize count="24":
    {{bin}}python -m tests.kernels.sanitize {{count}}

# Measure against FFmpeg and OpenCV; results go to benchmarks/results/
bench *arguments:
    {{bin}}pytest benchmarks --benchmark-only {{arguments}}

# The long run over damaged clips
damaged count="200":
    {{bin}}pytest -n 2 -k damaged --damaged {{count}}

# All the tests of which an ordinary run takes one in eight
long:
    {{bin}}pytest -n 2 -m long --long

# The long run of jobs in bad weather: killed laptops and workers, lost replies, an API that falls silent
chaos count="500":
    FRAMEHAUL_CHAOS={{count}} {{bin}}pytest -n 8 --long tests/runner/chaos

# Build the worker's image on a bare Debian and run it, without a Docker engine; needs root, buildah, debootstrap
docker-smoke *arguments:
    tests/image/smoke.sh {{arguments}}

# Every kernel for every GPU architecture; what they need goes to tests/kernels/cuda/registers.json
cubins:
    {{bin}}pytest -k compile_without_spilling --all-cubins tests/kernels/test_compiles.py

# Every mutant of the CUDA kernels; the tests must catch each
mutants count="0":
    {{bin}}pytest -n 2 -rP --mutants {{count}} tests/kernels/test_mutants.py

# Write docs/operations/ from the catalogue
docs:
    {{bin}}python docs/generate.py

# Put every file into the form that `check` asks for
format:
    {{bin}}ruff check --fix .
    {{bin}}ruff format .
    {{bin}}clang-format -i kernels/cuda/*.cu kernels/cuda/include/*.cuh

# Forget compiled kernels, built distributions and what the tools remember
clean:
    rm -rf .numba_cache .cuda_on_cpu dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
