"""The official command-line tool, pointed at the fake Vast.ai, works: so the fake speaks as the real one does."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from runner.vast.search import Search
from tests.runner.vast.fake import ACCOUNT_KEY, IMAGE, FakeVast, Image
from tests.runner.vast.test_client import config
from tests.runner.vast.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ECHO = Image(entrypoint=("/bin/sh", "-c", 'echo "hello $CONTAINER_ID $NAME $*"; exec sleep 1000', "sh"))


class Tool:
    """Runs the tool with the fake's account and a home of its own."""

    def __init__(self, program: str, vast: FakeVast, home: Path) -> None:
        self.program = program
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), **vast.environment()}

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [self.program, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert ACCOUNT_KEY not in done.stdout + done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--raw"))


@pytest.fixture
def real_time(tmp_path: Path) -> Iterator[FakeVast]:
    """With the machine's own clock, which the tool has too; it waits less between calls than the service asks."""
    with FakeVast(tmp_path) as running:
        running.intervals_apply = False
        running.images[IMAGE] = ECHO
        yield running


@pytest.fixture
def tool(vastai: str, real_time: FakeVast, tmp_path: Path) -> Tool:
    home = tmp_path / "home"
    home.mkdir()
    return Tool(vastai, real_time, home)


def test_the_tool_rents_looks_and_destroys(real_time: FakeVast, tool: Tool) -> None:
    query = "gpu_name=RTX_3090 num_gpus=1 inet_down>=500 reliability>0.98 cuda_vers>=12.4 dph<0.6"
    (offer,) = tool.json("search", "offers", query)
    assert offer["gpu_name"] == "RTX 3090"
    given = ["--image", IMAGE, "--disk", "16", "--label", "tool-1", "--env", "-e NAME=me"]
    made = json.loads(tool("create", "instance", str(offer["id"]), *given, "--raw", "--args", "one", "two words"))
    number = str(made["new_contract"])
    until(lambda: real_time.instances[int(number)].log)
    assert tool("logs", number).splitlines()[-1] == f"hello {number} me one two words"
    assert [row["label"] for row in tool.json("show", "instances")] == ["tool-1"]
    tool("label", "instance", number, "tool-2")
    shown = tool.json("show", "instance", number)
    assert (shown["label"], shown["actual_status"], shown["image_args"]) == ("tool-2", "running", ["one", "two words"])
    tool("destroy", "instance", number, "-y")
    assert real_time.billing() == []
    assert tool.json("show", "instances") == []


def test_the_tool_bids(real_time: FakeVast, tool: Tool) -> None:
    (offer,) = tool.json("search", "offers", "gpu_name=L4", "--interruptible")
    assert offer["is_bid"]
    given = ["--image", IMAGE, "--disk", "16", "--bid_price", "0.16", "--raw", "--args"]
    number = str(json.loads(tool("create", "instance", str(offer["id"]), *given))["new_contract"])
    tool("change", "bid", number, "--price", "0.31")
    assert real_time.instances[int(number)].price == 0.31
    tool("destroy", "instance", number, "-y")
    assert real_time.billing() == []


def test_the_tool_and_the_client_see_the_same(real_time: FakeVast, tool: Tool) -> None:
    with real_time.client() as client:
        found = client.search(Search(where={"verified": {"eq": True}}))
        assert {row["id"] for row in tool.json("search", "offers")} == {offer.offer_id for offer in found}
        made = client.create(found[0].offer_id, config("ours-1"))
        (row,) = tool.json("show", "instances")
        (instance,) = client.instances()
    assert (row["id"], row["label"], row["image_uuid"]) == (made.instance_id, "ours-1", IMAGE)
    assert (instance.instance_id, instance.label, instance.image) == (made.instance_id, "ours-1", IMAGE)
    assert real_time.key_leaks() == []
