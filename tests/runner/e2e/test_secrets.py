"""No secret lies where somebody could find it: looked for in everything that a whole job leaves, shows and starts."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import pytest

from storage.errors import AccessError, StorageError
from tests.runner.e2e.watch import SIGNED, ProcessWatch
from tests.runner.submit.commands import until

if TYPE_CHECKING:
    from tests.runner.e2e.stage import Stage

CHAIN: Final = ("--vf", "nlmeans=s=3:p=3:r=7", "--codec", "ffv1", "--segment-s", "0.55")


@pytest.mark.parametrize("mode", [pytest.param("keys", marks=pytest.mark.long), "urls"])
def test_no_secret_is_anywhere(stage: Stage, mode: str, sources: dict[str, bytes]) -> None:
    stage.store("input").put("in.mp4", sources["cfr.mp4"])
    options = ("--keyless",) if mode == "urls" else ()
    with ProcessWatch() as watch:
        job = stage.desk.start(*stage.words("in.mp4", "out.mkv", *CHAIN, *options, "--debug"))
        until(stage.commits, watched=job)
        during = contents(stage)
        out, err = job.communicate(timeout=120)
        assert job.returncode == 0, err
        run = stage.desk.run_name()
        told = [stage.desk.run(*words) for words in (("ps", "--debug"), ("logs", run, "--debug"), ("reap", "--debug"))]
    assert [one.returncode for one in told] == [0, 0, 0]
    secrets = stage.secrets
    assert len(secrets) == 3 + 3 * (mode == "keys")  # two accounts, one instance, three keys for a while
    assert watch.containers >= 1
    assert watch.find(secrets) == []
    printed = [out, err, *(one.stdout + one.stderr for one in told)]
    printed += [instance.log for instance in stage.vast.instances.values()]
    nothing(secrets, printed)
    nothing(secrets, contents(stage) + during)
    nothing(secrets, notes(stage))
    nothing(secrets, journal(stage))
    assert stage.vast.key_leaks() == []


@pytest.mark.long
def test_a_key_for_a_while_opens_nothing_else(stage: Stage, sources: dict[str, bytes]) -> None:
    """The S3 server holds keys to what they were made for, so a worker that ends well has needed no more."""
    for name in ("in.mp4", "other.mp4"):
        stage.store("input").put(name, sources["cfr.mp4"])
    stage.store("output").put("before.mkv", b"precious")
    job = stage.desk.start(*stage.words("in.mp4", "out.mkv", *CHAIN, "-q"))
    until(stage.commits, watched=job)
    read, work, write = stage.native.given
    source = stage.server.store(stage.buckets["input"], read)
    assert source.head("in.mp4").size_bytes > 0
    for refused in (
        lambda: source.head("other.mp4"),
        lambda: source.put("in.mp4", b"spoilt"),
        lambda: source.delete("in.mp4"),
        lambda: list(source.list("")),
        lambda: stage.server.store(stage.buckets["output"], write).put("before.mkv", b"spoilt"),
        lambda: stage.server.store(stage.buckets["output"], write).head("before.mkv"),
        lambda: stage.server.store(stage.buckets["work"], work).delete(stage.commits()[0]),
        lambda: list(stage.server.store(stage.buckets["work"], work).list("ctl/")),
        lambda: stage.server.store(stage.buckets["work"], work).head(f"ctl/{stage.desk.run_name()}/ticket.json"),
    ):
        with pytest.raises(AccessError):
            refused()
    assert job.communicate(timeout=120)[0] == ""
    assert job.returncode == 0
    with pytest.raises(StorageError):
        source.head("in.mp4")  # taken back


def contents(stage: Stage) -> list[str]:
    """Every version of every object but the documents that rented machines start from, and all names."""
    found = []
    for role in stage.buckets:
        store = stage.store(role)
        for version in store.list_versions(""):
            found.append(version.info.key)
            if not version.marker and not re.match(r"ctl/[^/]+/boot/", version.info.key):
                found.append(stage.read(role, version.info.key).decode("latin-1"))
    return found


def notes(stage: Stage) -> list[str]:
    """What the laptop keeps, beside the two files that its owner has written."""
    own = {"vast_api_key", "storage.toml"}
    return [path.read_text("latin-1") for path in stage.desk.home.rglob("*") if path.is_file() and path.name not in own]


def journal(stage: Stage) -> list[str]:
    """All that the market was told, and what it shows; without the one URL in it."""
    told = [stage.vast.journal_text()]
    told += [f"{one.label} {json.dumps(one.body)} {one.argv}" for one in stage.vast.instances.values()]
    for instance in stage.vast.instances.values():
        url = instance.body["env"]["FRAMEHAUL_BOOT_URL"]
        assert SIGNED.search(url.encode())
        told = [text.replace(url, "") for text in told]
    return told


def nothing(secrets: list[str], texts: list[str]) -> None:
    wanted = re.compile("|".join(map(re.escape, secrets)))
    for text in texts:
        assert wanted.search(text) is None, text[:2000]
        assert SIGNED.search(text.encode("utf-8", "replace")) is None, text[:2000]
