"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from storage.errors import OutputExistsError, OutputFolderError, SameFileError, StorageError, WriteError
from storage.local import LocalOutput, check_distinct


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_name_appears_only_when_the_file_is_complete(tmp_path: Path) -> None:
    with LocalOutput(tmp_path / "out.mp4") as file:
        file.write(b"head")
        file.seek(0)
        assert file.read() == b"head"
        [part] = names(tmp_path)
        assert part.startswith(".out.mp4.")
        assert part.endswith(".part")
    assert names(tmp_path) == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"head"


def test_a_muxer_may_close_the_file_itself(tmp_path: Path) -> None:
    with LocalOutput(tmp_path / "out.mp4") as file:
        file.write(b"all")
        file.close()
    assert (tmp_path / "out.mp4").read_bytes() == b"all"


def test_failure_leaves_the_old_output(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), LocalOutput(target, overwrite=True) as file:  # noqa: PT012 - the block is the case
        file.write(b"half")
        raise RuntimeError
    assert names(tmp_path) == ["out.mp4"]
    assert target.read_bytes() == b"old"


def test_discard_may_come_first_and_twice(tmp_path: Path) -> None:
    output = LocalOutput(tmp_path / "out.mp4")
    with pytest.raises(KeyboardInterrupt), output as file:  # noqa: PT012 - the block is the case
        file.write(b"half")
        output.discard()
        output.discard()
        assert names(tmp_path) == []
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_replacing_needs_permission(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    with pytest.raises(OutputExistsError, match="add -y"), LocalOutput(target):
        pass
    with LocalOutput(target, overwrite=True) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new"


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(OutputExistsError, match="appeared"), LocalOutput(target) as file:  # noqa: PT012 - as above
        file.write(b"ours")
        target.write_bytes(b"theirs")
    assert names(tmp_path) == ["out.mp4"]
    assert target.read_bytes() == b"theirs"


def test_permissions_of_a_replaced_file_stay(tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    target.write_bytes(b"old")
    target.chmod(0o640)
    with LocalOutput(target, overwrite=True):
        pass
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "film.mkv").write_bytes(b"old")
    link = tmp_path / "link.mkv"
    link.symlink_to(tmp_path / "real" / "film.mkv")
    with LocalOutput(link, overwrite=True) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "film.mkv").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("given", "message"),
    [("missing/out.mp4", "does not exist"), ("file/out.mp4", "is a file, not a folder")],
)
def test_a_folder_that_takes_no_file(tmp_path: Path, given: str, message: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputFolderError, match=message), LocalOutput(tmp_path / given):
        pass


def test_folders_and_devices_are_no_outputs(tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(OutputExistsError, match="give a file name"), LocalOutput(path, overwrite=True):
            pass


def test_the_longest_file_name_works(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 125 + ".mkv")
    with LocalOutput(target) as file:
        file.write(b"x")
    assert names(tmp_path) == [target.name]


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import resource, sys\n"
        "from storage.errors import WriteError\n"
        "from storage.local import LocalOutput\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    with LocalOutput(sys.argv[1]) as file:\n"
        "        file.write(bytes(5000))\n"
        "except WriteError as error:\n"
        "    print(error)\n"
    )
    target = tmp_path / "out.mkv"
    done = subprocess.run(
        [sys.executable, "-c", program, str(target)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith(f"cannot write {target}: the file grew past the size limit")
    assert names(tmp_path) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_write_errors_say_what_to_do() -> None:
    error = WriteError.from_os(Path("out.mkv"), OSError(28, "No space left on device"))
    assert str(error) == "cannot write out.mkv: the disk is full; free some space or write to another disk"
    assert error.errno == 28
    assert isinstance(error, StorageError)


@pytest.mark.parametrize("link", ["same", "symbolic", "hard", "dotted"])
def test_one_file_under_two_names_is_refused(tmp_path: Path, link: str) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(b"film")
    other = tmp_path / "b.mp4"
    if link == "symbolic":
        other.symlink_to(source)
    elif link == "hard":
        other.hardlink_to(source)
    elif link == "dotted":
        other = tmp_path / "." / "x" / ".." / "a.mp4"
    else:
        other = source
    with pytest.raises(SameFileError, match="give the output another name"):
        check_distinct(source, other)


def test_two_files_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"film")
    check_distinct(tmp_path / "a.mp4", tmp_path / "b.mp4")
    check_distinct(tmp_path / "missing.mp4", tmp_path / "b.mp4")
