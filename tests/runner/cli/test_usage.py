"""Command lines that cannot work: one line, exit code 2."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.cli.conftest import Runner


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prob"], r"No such command 'prob'\. Did you mean 'probe'\?; see `runner --help`"),
        (["run"], r"Missing argument 'INPUT'; see `runner run --help`"),
        (["run", "a.mp4"], r"Missing argument 'OUTPUT'"),
        (["run", "a.mp4", "b.mp4", "--cfr", "18"], r"No such option: --cfr.*--crf"),
        (["run", "a.mp4", "b.mp4", "--crf", "good"], r"Invalid value for '--crf'"),
        (["run", "a.mp4", "b.mp4", "--threads", "0"], r"Invalid value for '--threads'"),
        (["run", "a.mp4", "b.mp4", "--start", "later"], r"--start later: not a time"),
        (["run", "a.mp4", "b.mp4", "--start", "-5"], r"--start -5: not a time"),
        (["run", "a.mp4", "b.mp4", "--duration", "0"], r"--duration 0: must be more than 0"),
        (["run", "a.mp4", "b.webm", "--codec", "h264"], r"webm carries av1, vp9, not h264; choose one with --codec"),
        (["run", "a.mp4", "b.mp4", "--crf", "99"], r"crf 99: h264 takes 0 \(best\) to 51"),
        (["run", "a.mp4", "b.mp4", "--preset", "quick"], r"unknown h264 preset 'quick'; allowed: ultrafast"),
        (["run", "a.mp4", "b.mp4", "--audio-codec", "opsu"], r"unknown audio codec 'opsu'; did you mean 'opus'"),
        (["run", "a.mp4", "b"], r"b has no ending to tell the container by; name it \.mp4"),
        (["run", "a.mp4", "b.avi"], r"avi.*mp4"),
        (["run", "a.mp4", "b.mp4", "--codec", "h265"], r"h265.*h264"),
        (["run", "a.mp4", "b.mp4", "--pix-fmt", "yuv42p"], r"yuv42p.*did you mean 'yuv4"),
        (["run", "a.mp4", "b.mp4", "--backend", "gpu"], r"gpu.*cpu"),
        (["plan", "a.mp4"], r"Missing option '--vf'"),
        (["ops", "sclae"], r"unknown operation 'sclae'; did you mean 'scale'\?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_line_says_what_is_allowed(inside: Runner, words: list[str], message: str) -> None:
    ended = inside(*words)
    assert ended.code == 2
    assert re.search(message, ended.err), ended.err
    assert ended.err.startswith("runner: ")
    assert ended.err.count("\n") == 1
    assert ended.out == ""


@pytest.mark.parametrize(
    ("chain", "caret_under"),
    [
        ("hflip,sclae=2", "sclae"),
        ("vflip,eq=gamma=abc", "abc"),
        ("eq=contrast=5,eq=gamma=99", "99"),
        ("eq=cntrast=2", "cntrast"),
    ],
)
def test_a_caret_points_into_the_chain(inside: Runner, tmp_path: Path, chain: str, caret_under: str) -> None:
    ended = inside("run", tmp_path / "a.mp4", tmp_path / "b.mp4", "--vf", chain)
    first, shown, caret = ended.err.splitlines()
    assert ended.code == 2
    assert first.startswith("runner: ")
    assert shown.strip() == chain
    assert shown[caret.index("^") :].startswith(caret_under)


def test_no_words_print_the_help(inside: Runner) -> None:
    ended = inside()
    assert ended.code == 0
    assert ended.out.startswith("Usage: runner")


def test_version(inside: Runner) -> None:
    assert re.fullmatch(r"framehaul \d+\.\d+\.\d+\S*\n", inside("--version").out)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_get_a_completion_script(inside: Runner, shell: str) -> None:
    ended = inside("--show-completion", shell)
    assert ended.code == 0
    assert "_RUNNER_COMPLETE" in ended.out


def test_operations_are_listed(inside: Runner) -> None:
    lines = inside("ops").out.splitlines()
    assert any(re.match(r"scale +\w", line) for line in lines)


def test_operations_as_json(inside: Runner) -> None:
    listed = json.loads(inside("ops", "--json").out)
    assert {"scale", "format", "crop", "eq"} <= {operation["name"] for operation in listed}
    for operation in listed:
        assert operation["kind"] in {"component", "colour", "plane", "temporal"}
        assert "cpu" in operation["backends"]
        for option in operation["options"]:
            assert option.keys() == {"name", "aliases", "type", "default", "allowed", "help"}
    [one] = json.loads(inside("ops", "eq", "--json").out)
    assert one == next(operation for operation in listed if operation["name"] == "eq")


def test_one_operation_shows_its_options(inside: Runner) -> None:
    printed = inside("ops", "eq").out
    assert re.search(r"contrast +default 1", printed)
    assert "runner run in.mp4 out.mp4 --vf 'eq=" in printed


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("runner pro", ["probe"]),
        ("runner run --codec ", ["h264", "hevc", "av1", "vp9", "ffv1"]),
        ("runner run --backend cu", ["cuda"]),
        ("runner ops sca", ["scale"]),
    ],
)
def test_the_shell_completes_values(
    inside: Runner, monkeypatch: pytest.MonkeyPatch, line: str, offered: list[str]
) -> None:
    monkeypatch.setenv("_RUNNER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    assert inside().out.split() == offered
