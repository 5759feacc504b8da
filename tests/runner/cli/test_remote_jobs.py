"""Videos in buckets: read and written without a file here, and the same bytes as with files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from kernels.io.encode import EncodeSettings
from kernels.pipeline import process
from runner.media import output_to
from storage.uri import parse
from tests.runner.cli.remote import FLIP, MIB, content
from tests.runner.clips import write_clip

if TYPE_CHECKING:
    from pathlib import Path

    from storage.b2 import B2Store
    from tests.runner.cli.conftest import Runner
    from tests.storage.server import Server


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("out.mp4", ("--vf", "scale=iw*2:-2,cas=0.5", "--preset", "ultrafast")),
        ("out.mkv", ("--vf", "hflip", "--codec", "ffv1")),
        ("a clip + more é.mov", ("--vf", "vflip", "--preset", "ultrafast")),
    ],
)
def test_the_object_is_the_file_that_the_same_job_writes_here(
    inside: Runner, account: str, remote: B2Store, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    clip = write_clip(tmp_path / "in.mp4", audio="aac")
    assert inside("cp", clip, f"{account}/in.mp4").code == 0
    local = tmp_path / name
    assert inside("run", clip, local, *options).code == 0
    ended = inside("run", f"{account}/in.mp4", f"{account}/{name}", *options, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["output"] == f"{account}/{name}"
    assert content(remote, name) == local.read_bytes()
    assert list(remote.list_uploads()) == []
    url = inside("presign", f"{account}/in.mp4").out.strip()
    again = inside("run", url, tmp_path / f"web {name}", *options)
    assert again.code == 0, again.err
    assert (tmp_path / f"web {name}").read_bytes() == local.read_bytes()


@pytest.mark.long
def test_a_large_output_goes_up_in_parts(
    inside: Runner, account: str, remote: B2Store, server: Server, noise: Path, flipped: Path
) -> None:
    assert flipped.stat().st_size > 40 * MIB
    assert inside("run", noise, f"{account}/out.mkv", *FLIP).code == 0
    assert server.counts()["UploadPart"] >= 3
    assert content(remote, "out.mkv") == flipped.read_bytes()


def test_the_rule_of_y_and_of_one_object(
    inside: Runner, account: str, remote: B2Store, server: Server, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "in.mp4")
    remote.put("in.mp4", clip.read_bytes())
    remote.put("out.mkv", b"old")
    words = ("run", f"{account}/in.mp4", f"{account}/out.mkv", "--codec", "ffv1", "-q")
    ended = inside(*words)
    assert (ended.code, ended.err) == (4, f"runner: {account}/out.mkv already exists; add -y to replace it\n")
    assert content(remote, "out.mkv") == b"old"
    assert inside(*words, "-y").code == 0
    assert len(content(remote, "out.mkv")) > 1000
    bucket = account.removeprefix("b2://")
    for other in (f"{account}/in.mp4", f"s3://{bucket}/in.mp4?endpoint={server.url}"):
        ended = inside("run", f"{account}/in.mp4", other, "-y")
        assert ended.code == 2
        assert "the same object" in ended.err
    assert content(remote, "in.mp4") == clip.read_bytes()


def test_a_job_that_fails_leaves_the_old_object(
    inside: Runner, account: str, remote: B2Store, server: Server, noise: Path
) -> None:
    remote.put("in.mkv", noise.read_bytes())
    remote.put("out.mkv", b"old")
    remote.put("noise.mp4", os.urandom(10_000))
    ended = inside("run", f"{account}/noise.mp4", f"{account}/out.mkv", "-y")
    assert (ended.code, ended.err.count("\n")) == (3, 1)
    server.break_next({"op": "UploadPart", "status": 403, "code": "AccessDenied", "message": "not allowed"})
    ended = inside("run", f"{account}/in.mkv", f"{account}/out.mkv", *FLIP, "-y", "-q")
    assert ended.code == 4
    assert ended.err.startswith(f"runner: writing part 2 of {account}/out.mkv: 403 AccessDenied")
    assert ended.err.count("\n") == 1
    server.break_next({"op": "GetObject", "times": 9, "status": 403, "code": "AccessDenied", "message": "not allowed"})
    ended = inside("run", f"{account}/in.mkv", f"{account}/out.mkv", *FLIP, "-y", "-q")
    assert (ended.code, ended.err.count("\n")) == (4, 1)
    server.reset()
    assert content(remote, "out.mkv") == b"old"
    assert list(remote.list_uploads()) == []


@pytest.mark.long
def test_a_storm_of_faults_changes_nothing(
    inside: Runner, account: str, remote: B2Store, server: Server, noise: Path, flipped: Path
) -> None:
    remote.put("in.mkv", noise.read_bytes())
    server.break_next(
        {"op": "GetObject", "cut": 1000},
        {"op": "UploadPart", "after": 1},
        {"op": "UploadPart", "reset": 1},
        {"op": "CompleteMultipartUpload", "lose": 1},
    )
    ended = inside("run", f"{account}/in.mkv", f"{account}/out.mkv", *FLIP)
    assert ended.code == 0, ended.err
    assert server.counts()["fault"] == 4
    assert content(remote, "out.mkv") == flipped.read_bytes()


def test_probe_plan_and_compare_take_locations(inside: Runner, account: str, remote: B2Store, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mp4", audio="aac")
    remote.put("in.mp4", clip.read_bytes())
    there = f"{account}/in.mp4"
    here = json.loads(inside("probe", clip, "--json").out)
    assert json.loads(inside("probe", there, "--json").out) == here | {"name": there}
    told = json.loads(inside("plan", there, "--vf", "scale=iw*2:-2", "--json").out)
    assert told == json.loads(inside("plan", clip, "--vf", "scale=iw*2:-2", "--json").out)
    page = tmp_path / "page.html"
    told = json.loads(inside("compare", there, clip, "--json", "--html", page).out)
    assert (told["frames"], told["psnr"]["average"]) == (12, "inf")
    assert page.stat().st_size > 1000


def test_no_media_is_on_this_machine(account: str, remote: B2Store, noise: Path, flipped: Path) -> None:
    """A process that may not write 1 MB into any file reads and writes 46 MB."""
    remote.put("in.mkv", noise.read_bytes())
    words = ["run", f"{account}/in.mkv", f"{account}/out.mkv", *FLIP, "-q"]
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "from runner.cli import main\n"
        f"sys.exit(main({words!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert content(remote, "out.mkv") == flipped.read_bytes()


@pytest.mark.parametrize(("container", "reserve"), [("mp4", 16), ("mp4", 200), ("mkv", 40), ("mp4", None)])
def test_an_index_without_room_at_the_head_goes_to_the_end(
    account: str, remote: B2Store, noise: Path, container: str, reserve: int | None
) -> None:
    local = io.BytesIO()
    lossless = EncodeSettings(crf=0, preset="ultrafast", options={"g": "1"})
    job = partial(process, noise, container=container, encode=lossless, duration=2.4, index_reserve_bytes=reserve)
    assert bool(job(local).warnings) == (reserve is not None)
    with output_to(parse(f"{account}/out.{container}"), overwrite=False, resume="x") as sink:
        job(sink)
    assert len(local.getvalue()) > 20 * MIB
    assert content(remote, f"out.{container}") == local.getvalue()
