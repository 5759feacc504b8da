"""A whole job with real accounts: `FRAMEHAUL_LIVE=1 pytest -m live`. All such tests together spend at most $0.10.

    FRAMEHAUL_LIVE=1               says that money may be spent
    FRAMEHAUL_LIVE_BUCKET          b2://bucket/folder, for what the tests write; they delete it again
    VAST_API_KEY                   rents one machine for some minutes: at most $0.15 an hour, $0.055 in all
    B2_APPLICATION_KEY_ID, B2_APPLICATION_KEY, B2_REGION    less than a cent; the key may make keys

FRAMEHAUL_IMAGE names another image than the released one.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from runner.cli import main
from storage.credentials import find_credentials
from storage.errors import AccessError
from storage.keys import account_service
from storage.place import place_of
from storage.uri import ObjectUri, parse
from tests.runner.clips import write_clip
from tests.runner.live.allowance import JOB_USD, MOST_USD_PER_H, TOGETHER_USD
from tests.runner.submit.commands import audio, frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.timeout(2400)]

NEEDED: Final = ("VAST_API_KEY", "B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY", "FRAMEHAUL_LIVE_BUCKET")
LIMITS: Final = ("--max-price", str(MOST_USD_PER_H), "--budget", str(JOB_USD), "--deadline", "30m")
CHAIN: Final = ("--vf", "hflip", "--codec", "ffv1")
LONGEST_S: Final = 2000.0


@pytest.fixture
def folder() -> Iterator[str]:
    """A new folder in the bucket, gone afterwards."""
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if os.environ.get("FRAMEHAUL_LIVE") != "1" or missing:
        wanted = ", ".join(("FRAMEHAUL_LIVE=1", *missing))
        pytest.skip(f"real accounts, at most ${TOGETHER_USD} by all tests together: set {wanted}")
    place = f"{os.environ['FRAMEHAUL_LIVE_BUCKET'].rstrip('/')}/live-{secrets.token_hex(6)}"
    yield place
    assert main(["rm", "-r", "--all-versions", "-y", f"{place}/"]) == 0


def test_a_job_on_a_rented_machine(folder: str, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "in.mkv", frames=60, codec="libx264", audio="aac", gop=7)
    out, wanted = tmp_path / "out.mkv", tmp_path / "wanted.mkv"
    environment = os.environ | {"FRAMEHAUL_ENCODER": "software", "XDG_STATE_HOME": str(tmp_path / "state")}
    image = ("--image", os.environ["FRAMEHAUL_IMAGE"]) if os.environ.get("FRAMEHAUL_IMAGE") else ()

    def runner(*words: str | Path, limit_s: float = 600) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "runner", *map(str, words)]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=limit_s, cwd=tmp_path
        )

    began_s = time.monotonic()
    try:
        done = runner(
            "submit", clip, out, "--on", "vast", "--bucket", folder, "--segment-s", "0.8", *LIMITS, *CHAIN, *image,
            limit_s=LONGEST_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    finally:
        reaped = runner("reap", "--bucket", folder)
    assert reaped.returncode == 0, reaped.stderr
    assert "destroyed" not in reaped.stdout
    assert main(["run", str(clip), str(wanted), *CHAIN, "-q"]) == 0
    assert frames(out) == frames(wanted)
    assert audio(out) == audio(clip)
    print(f"{done.stdout.strip()}; {time.monotonic() - began_s:.0f} s")  # noqa: T201 - what it cost


def test_a_key_for_a_while_is_what_b2_says(folder: str) -> None:
    uri = parse(f"{folder}/mine/")
    assert isinstance(uri, ObjectUri)
    service = account_service(find_credentials(uri.scheme))
    made = service.create(
        uri.bucket, prefix=uri.key, capabilities=("listFiles", "readFiles", "writeFiles"), duration_s=600, name="live"
    )
    try:
        store = place_of(uri, credentials=made.credentials).store
        store.put(f"{uri.key}a", b"1")
        assert store.head(f"{uri.key}a").size_bytes == 1
        for refused in (
            lambda: store.put(uri.key.replace("/mine/", "/yours/b"), b"1"),
            lambda: store.head(uri.key.replace("/mine/", "/yours/a")),
            lambda: store.delete(f"{uri.key}a"),
        ):
            with pytest.raises(AccessError):
                refused()
    finally:
        service.delete(made.key_id)
