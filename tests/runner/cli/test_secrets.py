"""Keys come from the environment or a file, never from a command line, and are shown nowhere."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.storage.server import KEY, REGION

if TYPE_CHECKING:
    from pathlib import Path

    from storage.b2 import B2Store
    from tests.runner.cli.conftest import Runner
    from tests.storage.server import Server

VARIABLES = ("B2_APPLICATION_KEY_ID", "B2_APPLICATION_KEY", "B2_REGION", "B2_ENDPOINT")


def signatures(text: str) -> list[str]:
    """Signed URLs and headers in what was printed."""
    return re.findall(r"(?i)signature=[0-9a-f]{8,}|x-amz-credential=|aws4-hmac-sha256", text)


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (VARIABLES, "B2_APPLICATION_KEY_ID"),
        (("B2_APPLICATION_KEY_ID",), "B2_APPLICATION_KEY_ID"),
        (("B2_APPLICATION_KEY",), "B2_APPLICATION_KEY"),
        (("B2_REGION", "B2_ENDPOINT"), "B2_REGION"),
    ],
)
def test_a_missing_variable_is_named(
    inside: Runner, account: str, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], named: str
) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    for words in (("ls", account), ("run", f"{account}/a.mp4", f"{account}/b.mp4"), ("cp", f"{account}/a", "b")):
        ended = inside(*words)
        assert ended.code == 4
        assert re.search(rf"\b{named}\b", ended.err)
        assert ended.err.count("\n") == 1


def test_the_file_is_enough_if_nobody_else_may_read_it(
    inside: Runner, account: str, remote: B2Store, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    remote.put("a", b"1")
    for name in VARIABLES:
        monkeypatch.delenv(name)
    path = tmp_path / "config" / "framehaul" / "storage.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        f'[storage]\nkey_id = "test:worker"\nkey = "{KEY}"\nregion = "{REGION}"\nendpoint = "{server.url}"\n'
    )
    path.chmod(0o644)
    ended = inside("ls", account, "--debug")
    assert ended.code == 4
    assert "chmod 600" in ended.err
    path.chmod(0o600)
    assert inside("ls", account).out.endswith(f"{account}/a\n")


@pytest.mark.parametrize("debug", [(), ("--debug",)], ids=["plain", "debug"])
def test_failures_show_no_secret(
    spawn: Runner,
    account: str,
    remote: B2Store,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    debug: tuple[str, ...],
) -> None:
    remote.put("a.mp4", os.urandom(1000))
    url = spawn("presign", f"{account}/a.mp4", "--expires", "1h").out.strip()
    printed = []
    printed.append(spawn("run", url, tmp_path / "o.mp4", *debug))
    printed.append(spawn("cp", url.replace("Signature=", "Signature=0"), tmp_path / "o.mp4", *debug))
    printed.append(spawn("cp", tmp_path / "o.mp4", url, *debug))
    server.break_next({"op": "GetObject", "times": 9, "status": 403, "code": "AccessDenied", "message": "not allowed"})
    printed.append(spawn("probe", f"{account}/a.mp4", *debug))
    printed.append(spawn("ls", f"{account}/*?endpoint=http://user:{KEY[:4]}@127.0.0.1:1".replace("b2://", "s3://")))
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", "test:other")
    printed.append(spawn("ls", account, *debug))
    monkeypatch.setenv("B2_APPLICATION_KEY", f"{KEY} ")
    printed.append(spawn("ls", account, *debug))
    assert [ended.code for ended in printed] == [3, 4, 3, 4, 2, 4, 4]
    for ended in printed:
        assert signatures(ended.out + ended.err) == [], ended
    assert all(("Traceback" in ended.err) == bool(debug) for ended in printed[:4])


def test_no_command_takes_a_key_and_no_file_keeps_one(inside: Runner, account: str, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(bytes(17 << 20))
    assert inside("cp", tmp_path / "big.bin", account).code == 0
    for command in ("run", "probe", "plan", "compare", "ls", "stat", "cp", "rm", "presign", "gc"):
        told = inside(command, "--help").out
        assert "Examples:" in told
        assert not re.search(r"--(key|secret|password|token|credential)", told)
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "big.bin"]
    assert not any(KEY.encode() in data for data in kept)


def test_a_wrong_key_is_exit_4(inside: Runner, account: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("B2_APPLICATION_KEY_ID", "test:other")
    (tmp_path / "a").write_bytes(b"1")
    for words in (("ls", account), ("stat", f"{account}/a"), ("cp", str(tmp_path / "a"), account), ("gc", account)):
        ended = inside(*words)
        assert ended.code == 4
        assert "check the key" in ended.err
        assert ended.err.count("\n") == 1


def test_debug_says_what_is_tried_again(
    spawn: Runner, account: str, remote: B2Store, server: Server, tmp_path: Path
) -> None:
    remote.put("a", b"12345")
    for options, told in (((), False), (("--debug",), True)):
        server.break_next({"op": "GetObject", "reset": 1})
        ended = spawn("cp", f"{account}/a", tmp_path / f"a{told}", *options)
        assert ended.code == 0
        assert ("try 2 follows" in ended.err) == told
        assert signatures(ended.err) == []
