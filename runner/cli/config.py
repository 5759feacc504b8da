"""`runner config`: which settings hold here, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from runner.cli.output import one_line, print_json, print_rows
from runner.setting_table import SETTINGS, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from runner.settings import Settings

IN_SECONDS: Final = frozenset(one.name for one in SETTINGS if one.kind is Kind.LENGTH)
LOGIN: Final = "FRAMEHAUL_IMAGE_LOGIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """A secret, of which nothing is known here but whether it can be used."""

    is_set: bool
    note: str
    """Where it was found, or why it was not."""


config = typer.Typer(
    rich_markup_mode=None, short_help="Show the settings that hold here.",
    help="Settings of jobs on rented machines: see docs/settings.md.",
)  # fmt: skip


@config.callback()
def _group() -> None:
    """Settings of jobs on rented machines: see docs/settings.md."""


@config.command(short_help="Show every setting.")
def show(
    *,
    machine_preset: Annotated[
        str | None, typer.Option("--machine-preset", metavar="NAME", help="As if this preset had been chosen.")
    ] = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Show every setting as a job in this folder would have it. Of keys only whether they are set.

    \b
    Examples:
      runner config show --origin
      runner config show --machine-preset high --json
    """
    import os
    from pathlib import Path

    from runner.dotenv import load_dotenv
    from runner.settings import load_settings

    folder = Path.cwd()
    from_dotenv = load_dotenv(folder, os.environ)
    settings = load_settings({"machine_preset": machine_preset}, environment=os.environ, folder=folder)
    keys = _keys(from_dotenv)
    files = _files(folder, os.environ)
    if json:
        print_json(_describe(settings, keys, files, from_dotenv))
        return
    rows = [
        (name, one_line(_text(name, one.value)), one_line(_origin(one.origin, from_dotenv)))
        for name, one in settings.values.items()
    ]
    print_rows(row if origin else row[:2] for row in rows)
    print()
    print_rows((name, "set" if key.is_set else "not set", one_line(key.note)) for name, key in keys.items())
    if origin:
        print()
        print_rows((name, path) for name, path in files.items())


def _describe(
    settings: Settings, keys: Mapping[str, _Key], files: Mapping[str, str], from_dotenv: tuple[str, ...]
) -> dict[str, Any]:
    values = {
        name: {"value": _plain(name, one.value), "origin": _origin(one.origin, from_dotenv)}
        for name, one in settings.values.items()
    }
    told = {name: {"set": key.is_set, "note": key.note} for name, key in keys.items()}
    return {"settings": values, "secrets": told, "files": dict(files)}


def _origin(origin: str, from_dotenv: tuple[str, ...]) -> str:
    return f"{origin} in .env" if origin in from_dotenv else origin


def _keys(from_dotenv: tuple[str, ...]) -> dict[str, _Key]:
    """Each secret as the commands that need it find it."""
    import os

    from runner.errors import ProviderKeyError
    from runner.vast.key import find_key
    from storage.credentials import find_credentials
    from storage.errors import StorageError

    found = {}
    try:
        found["key to Vast.ai"] = _Key(is_set=True, note=_origin(find_key().origin, from_dotenv))
    except ProviderKeyError as error:
        found["key to Vast.ai"] = _Key(is_set=False, note=str(error))
    try:
        found["key to buckets"] = _Key(is_set=True, note=_origin(find_credentials().origin, from_dotenv))
    except StorageError as error:
        found["key to buckets"] = _Key(is_set=False, note=str(error))
    is_set = bool(os.environ.get(LOGIN))
    found["login for private images"] = _Key(
        is_set=is_set, note=_origin(LOGIN, from_dotenv) if is_set else f"set {LOGIN}"
    )
    return found


def _files(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    from runner.settings_files import project_file, user_path

    project, user = project_file(folder), user_path(environment)
    return {
        "project": str(project) if project is not None else "none: framehaul.toml here would be read",
        "user": str(user) if user.is_file() else f"none: {user} would be read",
    }


def _plain(name: str, value: Any) -> Any:
    """A value as JSON has it; an address without what may be secret in it."""
    from runner.settings import shown_url

    if value is not None and name == "remote_url":
        return shown_url(value)
    if isinstance(value, Decimal):
        return float(value)
    return list(value) if isinstance(value, tuple) else value


def _text(name: str, value: Any) -> str:
    plain = _plain(name, value)
    if plain is None:
        return "-"
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, list):
        return ", ".join(map(str, plain))
    unit = " s" if name in IN_SECONDS else ""
    return f"{plain:g}{unit}" if isinstance(plain, float) else str(plain)
