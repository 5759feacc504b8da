"""`runner config show` says what holds and why, and never a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from runner.setting_table import SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cr3t-value-of-a-key"


@pytest.fixture
def show(tmp_path: Path) -> ShowConfig:
    return ShowConfig(tmp_path)


class ShowConfig:
    """Runs the command in an empty folder with an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder / "home")}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "runner", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert SECRET not in done.stdout + done.stderr
        return done

    def __call__(self, *words: str) -> str:
        done = self.run("config", "show", *words)
        return done.stdout if done.returncode == 0 else f"exit {done.returncode}: {done.stderr}"


def test_every_setting_is_shown_with_its_origin(show: ShowConfig) -> None:
    (show.folder / "framehaul.toml").write_text("budget = 3\ngpu = ['RTX 4090', 'L4']\n")
    (show.folder / ".env").write_text("FRAMEHAUL_DISK=40\n")
    show.environment["FRAMEHAUL_COUNTRY"] = "SE,NO"
    told = json.loads(show("--json", "--machine-preset", "low"))
    assert set(told["settings"]) == {one.name for one in SETTINGS}
    values = told["settings"]
    assert values["budget"] == {"value": 3.0, "origin": str(show.folder / "framehaul.toml")}
    assert values["gpu"]["value"] == ["RTX 4090", "L4"]
    assert values["disk"] == {"value": 40.0, "origin": "FRAMEHAUL_DISK in .env"}
    assert values["country"] == {"value": ["SE", "NO"], "origin": "FRAMEHAUL_COUNTRY"}
    assert values["machine_preset"] == {"value": "low", "origin": "--machine-preset"}
    assert values["min_vram"]["origin"] == "preset low"
    assert values["deadline"] == {"value": 86400.0, "origin": "default"}
    text = show("--origin")
    assert "RTX 4090, L4" in text
    assert "86400 s" in text


def test_secrets_are_said_to_be_set(show: ShowConfig) -> None:
    (show.folder / ".env").write_text(f"VAST_API_KEY={SECRET}\n")
    show.environment |= {
        "B2_APPLICATION_KEY_ID": "0041234",
        "B2_APPLICATION_KEY": SECRET,
        "B2_REGION": "us-west-004",
        "FRAMEHAUL_IMAGE_LOGIN": f"-u me -p {SECRET} ghcr.io",
    }
    told = json.loads(show("--json"))["secrets"]
    assert all(one["set"] for one in told.values())
    assert told["key to Vast.ai"]["note"] == "VAST_API_KEY in .env"
    assert show("--origin").count(" set ") == 3


def test_without_secrets_it_says_where_they_go(show: ShowConfig) -> None:
    text = show()
    assert text.count("not set") == 3
    assert "VAST_API_KEY" in text


def test_a_remote_address_is_shown_without_what_may_be_secret(show: ShowConfig) -> None:
    show.environment["FRAMEHAUL_REMOTE_URL"] = f"https://127.0.0.1:1/team.toml?token={SECRET}"
    text = show()
    assert text.startswith("exit 2: runner: https://127.0.0.1/team.toml cannot be read")


def test_what_is_wrong_is_one_line(show: ShowConfig) -> None:
    (show.folder / "framehaul.toml").write_text("budgte = 3")
    text = show()
    assert text.startswith("exit 2: runner: ")
    assert "did you mean 'budget'?" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("command", ["reap", "ps"])
def test_wrong_settings_keep_no_machine_from_being_ended(show: ShowConfig, command: str) -> None:
    (show.folder / "framehaul.toml").write_text("budgte = 3")
    done = show.run(command)
    assert done.returncode == 0
    assert "settings are left aside" in done.stderr
