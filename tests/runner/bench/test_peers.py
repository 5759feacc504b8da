"""How what others do is timed, as far as that shows without a GPU."""

from __future__ import annotations

import pytest

from runner.bench.cases import CASES, HEIGHTS, size_of
from runner.bench.gpu import turns_of
from runner.bench.peers import how_timed
from runner.bench.rows import Row


@pytest.mark.parametrize("cache_bytes", [4 << 20, 50 << 20, 72 << 20, 126 << 20])
@pytest.mark.parametrize("height", HEIGHTS)
def test_frames_that_take_turns_are_never_in_the_cache(cache_bytes: int, height: int) -> None:
    """Of a T4, an H100, an RTX 4090 and a B200."""
    width, height = size_of(height)
    frame_bytes = width * height * 3 // 2
    turns = turns_of(cache_bytes, frame_bytes)
    assert turns >= 2
    assert turns * frame_bytes >= 3 * cache_bytes
    assert turns == 2 or (turns - 1) * frame_bytes < 3 * cache_bytes


def test_results_say_whose_time_is_taken() -> None:
    names = {peer for case in CASES for peer in case.peers}
    said = {name: how_timed(name) for name in names}
    assert "no kernel's time" in said["vapoursynth nlm_cuda, host to host"]
    assert said["kornia unsharp"] == said["torchvision blur"] == said["torch five steps"]
    assert "graph" in said["NPP lanczos 2x"]
    row = Row(name="a", chain="", size="1x1", seconds=1, peers=dict.fromkeys(names, 2.0), peer_times=said)
    assert row.to_json()["peer_times"] == said
