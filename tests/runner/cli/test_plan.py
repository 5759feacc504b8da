"""`runner plan` says what a chain is, stage by stage, and on a GPU that this machine need not have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.runner.clips import write_clip

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.cli.conftest import Runner

UPSCALING = "scale=iw*2:-2:flags=lanczos,cas,format=yuv420p"
POINTWISE = "eq=contrast=1.1,eq=brightness=0.02,colorspace=range=pc,eq=saturation=1.2,eq=gamma=1.1"


@pytest.mark.parametrize(
    ("chain", "size", "figures", "together"),
    [
        (UPSCALING, (1280, 720), (4, 4, 7.875), "a frame"),
        (UPSCALING, (64, 48), (6, 6, 7.875), "for 8 frames together"),
        (POINTWISE, (1280, 720), (1, 1, 3.0), "for 2 frames together"),
        (POINTWISE, (64, 48), (1, 1, 3.0), "for 8 frames together"),
    ],
    ids=["A", "small A", "B", "small B"],
)
def test_figures_of_a_gpu_are_printed_without_one(
    chain: str, size: tuple[int, int], figures: tuple[int, int, float], together: str, inside: Runner, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=2, size=size)
    ended = inside("plan", clip, "--vf", chain, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)["cuda"]
    assert (told["launches"], told["graph_nodes"], told["bytes_per_pixel"]) == figures
    launches, nodes, per_pixel = figures
    ended = inside("plan", clip, "--vf", chain)
    last = ended.out.splitlines()[-1]
    assert last.startswith(f"gpu  {launches} launch")
    assert f", {nodes} graph node" in last
    assert f" {together}; " in last
    assert f"{per_pixel:g} bytes per pixel" in last
