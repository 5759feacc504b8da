"""Where settings lie on this machine, and how they are read."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PROJECT_FILE: Final = "framehaul.toml"
MAX_BYTES: Final = 1 << 18


def project_file(folder: Path) -> Path | None:
    """`framehaul.toml` in `folder` or the nearest folder above it, up to the top of its repository.

    Outside a repository only `folder` itself counts: what lies above may be anybody's. Raises `UsageError` for a
    file that belongs to another user, who could spend this one's money with it.
    """
    at = folder.resolve()
    while True:
        path = at / PROJECT_FILE
        if path.is_file():
            return _owned(path)
        if (at / ".git").exists() or at.parent == at or not _in_repository(at):
            return None
        at = at.parent


def user_file(environment: Mapping[str, str]) -> Path | None:
    """`$XDG_CONFIG_HOME/framehaul/config.toml`, or the one below `~/.config`, where it exists."""
    path = user_path(environment)
    return _owned(path) if path.is_file() else None


def user_path(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CONFIG_HOME")
    home = environment.get("HOME")
    root = Path(base) if base else (Path(home) if home else Path.home()) / ".config"
    return root / "framehaul" / "config.toml"


def read_settings_file(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises `UsageError`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES // 1024} KiB; settings are smaller")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from error


def _owned(path: Path) -> Path:
    if path.stat().st_uid not in {os.geteuid(), 0}:
        raise UsageError(f"{path} belongs to another user; copy it, or work in a folder of your own")
    return path


def _in_repository(folder: Path) -> bool:
    return any((parent / ".git").exists() for parent in folder.parents)
