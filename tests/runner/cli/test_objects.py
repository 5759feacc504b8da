"""`runner ls, stat, cp, rm, presign, gc` on a real server and in folders."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from storage.b2 import B2Store
    from tests.runner.cli.conftest import Runner
    from tests.storage.server import Server

ODD = ("two words.mp4", "Grüße/日本 𝄞.mkv", "a+b=c&d.mp4", "100%25.mp4", "it's [1] #2?.mp4")


def keys(remote: B2Store, prefix: str = "") -> list[str]:
    return [info.key for info in remote.list(prefix)]


def listed(inside: Runner, *words: str) -> list[dict[str, Any]]:
    ended = inside("ls", *words, "--json")
    assert ended.code == 0, ended.err
    rows: list[dict[str, Any]] = json.loads(ended.out)
    return rows


def content(remote: B2Store, key: str) -> bytes:
    from storage.reader import ObjectReader

    with ObjectReader(remote, key) as file:
        return file.read()


def test_an_empty_bucket_is_no_error(inside: Runner, account: str) -> None:
    ended = inside("ls", account)
    assert (ended.code, ended.out, ended.err) == (0, "", "")


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("", ["a.mp4", "clips/a.mp4", "clips/b.mkv", "clips/deep/c.mp4", "clips2/d.mp4"]),
        ("/clips", ["clips/a.mp4", "clips/b.mkv", "clips/deep/c.mp4"]),
        ("/clips/", ["clips/a.mp4", "clips/b.mkv", "clips/deep/c.mp4"]),
        ("/clips/a.mp4", ["clips/a.mp4"]),
        ("/*.mp4", ["a.mp4"]),
        ("/clips/*.mp4", ["clips/a.mp4"]),
        ("/clips/**.mp4", ["clips/a.mp4", "clips/deep/c.mp4"]),
        ("/**/*.mp4", ["a.mp4", "clips/a.mp4", "clips/deep/c.mp4", "clips2/d.mp4"]),
        ("/clips*/[a-d].mp4", ["clips/a.mp4", "clips2/d.mp4"]),
        ("/clips/?.mkv", ["clips/b.mkv"]),
    ],
)
def test_ls_takes_names_folders_and_patterns(
    inside: Runner, account: str, remote: B2Store, tmp_path: Path, what: str, found: list[str]
) -> None:
    for key in ("a.mp4", "clips/a.mp4", "clips/b.mkv", "clips/deep/c.mp4", "clips2/d.mp4"):
        remote.put(key, b"12345")
        (tmp_path / "here" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "here" / key).write_bytes(b"12345")
    rows = listed(inside, account + what)
    assert [row["key"] for row in rows] == found
    assert [row["location"] for row in rows] == [f"{account}/{key}" for key in found]
    assert {row["size_bytes"] for row in rows} == {5}
    here = str(tmp_path / "here")
    rows = listed(inside, here + (what or "/"))
    assert [row["location"] for row in rows] == [f"{here}/{key}" for key in found]
    text = inside("ls", account + what).out.splitlines()
    assert [line.split("  ")[-1] for line in text] == [f"{account}/{key}" for key in found]
    assert all("5 B" in line for line in text)


def test_what_is_not_there_is_exit_3(inside: Runner, account: str, tmp_path: Path) -> None:
    for words in (
        ("ls", f"{account}/no.mp4"),
        ("ls", f"{account}/no/"),
        ("ls", f"{tmp_path}/no"),
        ("ls", "b2://no-such-bucket-at-all"),
        ("stat", f"{account}/no.mp4"),
        ("stat", f"{tmp_path}/no.mp4"),
        ("cp", f"{account}/no.mp4", tmp_path),
        ("cp", f"{tmp_path}/no.mp4", f"{account}/"),
        ("cp", "-r", f"{account}/no/", tmp_path),
        ("rm", f"{account}/no.mp4"),
        ("rm", "-r", "-y", f"{account}/no*"),
        ("presign", f"{account}/no.mp4"),
        ("run", f"{account}/no.mp4", f"{account}/out.mp4"),
        ("probe", f"{account}/no.mp4"),
    ):
        ended = inside(*words)
        assert (ended.code, ended.out) == (3, ""), (words, ended)
        assert ended.err.count("\n") == 1
        assert "no" in ended.err


@pytest.mark.parametrize("key", ODD)
def test_odd_names_go_up_and_down_and_away(
    inside: Runner, account: str, remote: B2Store, tmp_path: Path, key: str
) -> None:
    data = os.urandom(1000)
    source = tmp_path / "from" / key
    source.parent.mkdir(parents=True)
    source.write_bytes(data)
    where = f"{account}/{key}"
    assert inside("cp", source, where).code == 0
    assert keys(remote) == [key]
    told = json.loads(inside("stat", where, "--json").out)
    assert (told["key"], told["size_bytes"], told["location"]) == (key, 1000, where)
    assert inside("cp", "-q", where, tmp_path / "back").code == 0
    assert (tmp_path / "back").read_bytes() == data
    assert inside("cp", "-r", account + "/", f"{tmp_path}/all/").code == 0
    assert (tmp_path / "all" / key).read_bytes() == data
    url = inside("presign", where).out.strip()
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
        assert answer.read() == data
    assert inside("rm", where).code == 0
    assert keys(remote) == []


def test_an_existing_target_needs_y(inside: Runner, account: str, remote: B2Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    remote.put("a", b"old")
    ended = inside("cp", tmp_path / "a", account)
    assert ended.code == 4
    assert ended.err == f"runner: {account}/a already exists; add -y to replace it\n"
    assert content(remote, "a") == b"old"
    assert inside("cp", "-y", tmp_path / "a", account).code == 0
    assert content(remote, "a") == b"new"
    remote.put("a", b"newer")
    assert inside("cp", f"{account}/a", tmp_path).code == 4
    assert (tmp_path / "a").read_bytes() == b"new"
    assert inside("cp", f"{account}/a", f"{account}/a", "-y").code == 2


def test_folders_and_patterns_are_copied_under_their_names(
    inside: Runner, account: str, remote: B2Store, tmp_path: Path
) -> None:
    for name in ("clips/a.mp4", "clips/sub/b.mp4", "clips/c.mkv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert inside("cp", "-r", tmp_path / "clips", account).code == 0
    assert keys(remote) == ["clips/a.mp4", "clips/c.mkv", "clips/sub/b.mp4"]
    assert inside("cp", "-r", f"{tmp_path}/clips/", f"{account}/other").code == 0
    assert keys(remote, "other") == ["other/a.mp4", "other/c.mkv", "other/sub/b.mp4"]
    assert inside("cp", "-r", f"{account}/other/*.mkv", f"{account}/clips/*.mkv", f"{tmp_path}/out").code == 2
    assert inside("cp", "-r", f"{account}/clips/*.mkv", f"{account}/other/**/b.mp4", f"{tmp_path}/out").code == 0
    assert (tmp_path / "out" / "c.mkv").read_bytes() == b"clips/c.mkv"
    assert (tmp_path / "out" / "sub" / "b.mp4").read_bytes() == b"clips/sub/b.mp4"


def test_update_copies_what_differs(inside: Runner, account: str, remote: B2Store, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes(name.encode() * 3)
    assert inside("cp", "-r", f"{tmp_path}/in/", account).code == 0
    (tmp_path / "in" / "b").write_bytes(b"longer")
    ended = inside("cp", "-r", f"{tmp_path}/in/", account)
    assert ended.code == 4
    assert "3 of 3 targets exist already" in ended.err
    told = json.loads(inside("cp", "-r", "-u", f"{tmp_path}/in/", account, "--json", "-q").out)
    assert [one["target"] for one in told["copied"]] == [f"{account}/b"]
    assert told["skipped"] == 2
    assert content(remote, "b") == b"longer"


@pytest.mark.parametrize("key", ["../up", "a/../../up", "/etc", "a//b"])
def test_no_key_leads_out_of_the_folder(
    inside: Runner, account: str, remote: B2Store, tmp_path: Path, key: str
) -> None:
    remote.put(key, b"evil")
    (tmp_path / "in").mkdir()
    for words in (("-r", account + "/", f"{tmp_path}/in/"), ("-r", "-y", account + "/", f"{tmp_path}/in/")):
        ended = inside("cp", *words)
        assert ended.code == 4
        assert "cannot be a file's name" in ended.err
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_several_stores_and_the_web(
    inside: Runner, account: str, remote: B2Store, server: Server, tmp_path: Path
) -> None:
    remote.put("a.mp4", b"12345", content_type="video/mp4")
    other = server.new_bucket(versioned=False)
    there = f"s3://{other}/copy.mp4?endpoint={server.url}"
    assert inside("cp", f"{account}/a.mp4", there).code == 0
    assert json.loads(inside("stat", there, "--json").out)["content_type"] == "video/mp4"
    url = inside("presign", there, "--expires", "5m").out.strip()
    ended = inside("cp", url, f"{tmp_path}/web.mp4", "--json")
    assert ended.code == 0, ended.err
    assert "Signature" not in ended.out + ended.err
    assert (tmp_path / "web.mp4").read_bytes() == b"12345"
    told = inside("stat", url, "--json").out
    assert json.loads(told)["size_bytes"] == 5
    assert "Signature" not in told
    refused = inside("cp", f"{tmp_path}/web.mp4", url)
    assert refused.code == 4
    assert "only be read" in refused.err
    assert "Signature" not in refused.err
    assert inside("presign", there, "--expires", "8d").code == 2
    assert inside("presign", tmp_path / "web.mp4").code == 4


def test_versions_are_listed_read_and_deleted(inside: Runner, account: str, remote: B2Store, tmp_path: Path) -> None:
    remote.put("a", b"first")
    remote.put("a", b"second!")
    remote.put("ab", b"another")
    where = f"{account}/a"
    assert inside("rm", where).code == 0
    rows = listed(inside, where, "--versions")
    assert [(row["size_bytes"], row["latest"], row["deleted"]) for row in rows] == [
        (0, True, True), (7, False, False), (5, False, False),
    ]  # fmt: skip
    assert [line.split()[4] for line in inside("ls", where, "--versions").out.splitlines()] == ["deleted", "old", "old"]
    assert inside("cp", where, tmp_path / "out").code == 3
    assert inside("cp", where, tmp_path / "out", "--version-id", rows[2]["version"]).code == 0
    assert (tmp_path / "out").read_bytes() == b"first"
    assert inside("rm", where, "--version-id", rows[2]["version"]).code == 0
    assert len(listed(inside, where, "--versions")) == 2
    assert inside("rm", where, "--version-id", rows[2]["version"]).code == 3
    ended = inside("rm", where, "--all-versions")
    assert ended.code == 2
    assert "add -y" in ended.err
    assert inside("rm", where, "--all-versions", "-y").code == 0
    assert [row["key"] for row in listed(inside, account, "--versions")] == ["ab"]


def test_rm_of_many_asks(inside: Runner, account: str, remote: B2Store) -> None:
    for name in ("a1", "a2", "b"):
        remote.put(name, b"123")
    ended = inside("rm", "-r", f"{account}/a*")
    assert ended.code == 2
    assert ended.err == "runner: this would delete 2 objects, 6 B; add -y to do it\n"
    assert keys(remote) == ["a1", "a2", "b"]
    assert inside("rm", f"{account}/", "-y").code == 2
    assert inside("rm", "-r", "-y", f"{account}/a*").out == "deleted 2 objects, 6 B\n"
    assert keys(remote) == ["b"]


def test_gc_lists_first_and_removes_when_told(inside: Runner, account: str, remote: B2Store) -> None:
    remote.put("keep", b"old")
    remote.put("keep", b"kept")
    remote.put("gone", b"12")
    remote.delete("gone")
    remote.put("runs/1/part", b"123")
    upload = remote.create_upload("left")
    remote.upload_part("left", upload, 1, b"x" * 100)
    assert inside("gc", account).out == "nothing to remove\n"  # all of it is young
    told = json.loads(inside("gc", account, "--older-than", "0", "--json").out)
    assert told["deleted"] is False
    assert [(one["kind"], one["location"], one["size_bytes"]) for one in told["found"]] == [
        ("unfinished upload", f"{account}/left", 100),
        ("replaced or deleted version", f"{account}/gone", 2),
        ("replaced or deleted version", f"{account}/keep", 3),
        ("old run", f"{account}/runs/1/part", 3),
    ]
    assert len(list(remote.list_uploads())) == 1
    ended = inside("gc", account, "--older-than", "0", "--only", "uploads", "--delete")
    assert ended.out.splitlines()[-1] == "removed 1 thing, 100 B"
    assert list(remote.list_uploads()) == []
    assert inside("gc", account, "--older-than", "0", "--delete").code == 0
    assert [(one.info.key, one.marker) for one in remote.list_versions()] == [("keep", False)]
    assert content(remote, "keep") == b"kept"


@pytest.mark.usefixtures("account")
@pytest.mark.long
def test_a_listing_of_many_pages(inside: Runner, crowded: tuple[str, list[str]]) -> None:
    bucket, names = crowded
    assert [row["key"] for row in listed(inside, f"b2://{bucket}/n/")] == names
    assert len(inside("ls", f"b2://{bucket}/n/*99").out.splitlines()) == 25


def test_gc_of_a_folder_finds_what_killed_jobs_left(inside: Runner, tmp_path: Path) -> None:
    left = tmp_path / "clips" / ".out.mkv.0123abcd.part"
    left.parent.mkdir()
    left.write_bytes(b"123")
    (tmp_path / "clips" / "out.mkv").write_bytes(b"whole")
    assert inside("gc", tmp_path).out == "nothing to remove\n"
    told = json.loads(inside("gc", tmp_path, "--older-than", "0", "--json").out)
    assert [(one["location"], one["size_bytes"]) for one in told["found"]] == [(str(left), 3)]
    assert inside("gc", tmp_path / "clips", "--older-than", "0", "--delete").code == 0
    assert [path.name for path in left.parent.iterdir()] == ["out.mkv"]
