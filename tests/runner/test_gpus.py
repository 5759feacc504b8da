"""What GPUs decode and encode, against NVIDIA's tables."""

from __future__ import annotations

import pytest

from runner.gpus import GPUS, family_of, provider_name


@pytest.mark.parametrize(
    ("name", "nvenc", "decoded", "encoded"),
    [
        ("A100 SXM4", 0, ("h264", "hevc", "vp9"), ()),
        ("H100 SXM", 0, ("h264", "hevc", "vp9"), ()),
        ("H200", 0, ("h264", "hevc", "vp9"), ()),
        ("B200", 0, ("h264", "hevc", "vp9", "av1"), ()),
        ("Tesla T4", 1, ("h264", "hevc", "vp9"), ("h264", "hevc")),
        ("RTX 3090", 1, ("h264", "hevc", "vp9", "av1"), ("h264", "hevc")),
        ("RTX 4090", 2, ("h264", "hevc", "vp9", "av1"), ("h264", "hevc", "av1")),
        ("L4", 2, ("h264", "hevc", "vp9", "av1"), ("h264", "hevc", "av1")),
        ("RTX 5090", 3, ("h264", "hevc", "vp9", "av1"), ("h264", "hevc", "av1")),
    ],
)
def test_engines(name: str, nvenc: int, decoded: tuple[str, ...], encoded: tuple[str, ...]) -> None:
    gpu = GPUS[name]
    assert (gpu.nvenc, gpu.decoded, gpu.encoded) == (nvenc, decoded, encoded)
    assert gpu.nvdec > 0


# Rows of "NVDEC Hardware Capabilities": codec, depth, chroma, and who has it.
NVDEC = [
    ("h264", 8, "4:2:0", {"Tesla V100", "A100 PCIE", "RTX 4090", "RTX 5090"}),
    ("h264", 10, "4:2:0", {"RTX 5090"}),
    ("h264", 8, "4:2:2", {"RTX 5090"}),
    ("h264", 8, "4:4:4", set()),
    ("hevc", 10, "4:2:0", {"Tesla V100", "A100 PCIE", "RTX 4090", "RTX 5090"}),
    ("hevc", 10, "4:4:4", {"A100 PCIE", "RTX 4090", "RTX 5090"}),
    ("hevc", 10, "4:2:2", {"RTX 5090"}),
    ("vp9", 8, "4:2:0", {"Tesla V100", "A100 PCIE", "RTX 4090", "RTX 5090"}),
    ("av1", 10, "4:2:0", {"RTX 4090", "RTX 5090"}),
    ("av1", 8, "4:4:4", set()),
    ("mpeg2video", 8, "4:2:0", {"Tesla V100", "A100 PCIE", "RTX 4090", "RTX 5090"}),
    ("mpeg2video", 8, "4:2:2", set()),
    ("prores", 10, "4:2:2", set()),
    ("ffv1", 8, "4:2:0", set()),
]


@pytest.mark.parametrize(("codec", "depth", "chroma", "who"), NVDEC)
def test_decoding(codec: str, depth: int, chroma: str, who: set[str]) -> None:
    asked = ("Tesla V100", "A100 PCIE", "RTX 4090", "RTX 5090")
    assert {name for name in asked if GPUS[name].decodes(codec, depth=depth, chroma=chroma)} == who


NVENC = [
    ("h264", 8, "4:4:4", {"Tesla T4", "RTX 3090", "RTX 4090", "RTX 5090"}),
    ("h264", 10, "4:2:0", {"RTX 5090"}),
    ("hevc", 10, "4:2:0", {"Tesla T4", "RTX 3090", "RTX 4090", "RTX 5090"}),
    ("hevc", 8, "4:2:2", {"RTX 5090"}),
    ("hevc", 12, "4:2:0", set()),
    ("av1", 10, "4:2:0", {"RTX 4090", "RTX 5090"}),
    ("vp9", 8, "4:2:0", set()),
]


@pytest.mark.parametrize(("codec", "depth", "chroma", "who"), NVENC)
def test_encoding(codec: str, depth: int, chroma: str, who: set[str]) -> None:
    asked = ("Tesla T4", "H100 PCIE", "RTX 3090", "RTX 4090", "RTX 5090")
    assert {name for name in asked if GPUS[name].encodes(codec, depth=depth, chroma=chroma)} == who


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("RTX_4090", "RTX 4090"),
        ("rtx4090", "RTX 4090"),
        (" h100  sxm ", "H100 SXM"),
        ("rtx 4070s_ti", "RTX 4070S Ti"),
        ("RTX_9090", "RTX 9090"),
    ],
)
def test_names_as_people_write_them(written: str, meant: str) -> None:
    assert provider_name(written) == meant


# CUDA's list of GPUs and their compute capability (developer.nvidia.com/cuda/gpus)
CAPABILITIES = [
    ("6.1", "GTX 1080"),
    ("7.0", "Tesla V100"),
    ("7.5", "Tesla T4"),
    ("8.0", "A100 SXM4"),
    ("8.6", "RTX 3090"),
    ("8.9", "RTX 4090"),
    ("9.0", "H100 SXM"),
    ("10.0", "B200"),
    ("12.0", "RTX 5090"),
]


@pytest.mark.parametrize(("capability", "name"), CAPABILITIES)
def test_a_driver_and_the_table_mean_the_same_encoder(capability: str, name: str) -> None:
    gpu = GPUS[name]
    assert family_of(f" {capability}\n") == (gpu.generation.family if gpu.nvenc else "")


@pytest.mark.parametrize("told", ["", "[N/A]", "8", "8.x"])
def test_what_is_no_capability(told: str) -> None:
    assert family_of(told) is None
