"""What holds for a job where its command line does not say: from the environment, files, a URL, a preset.

    options  >  FRAMEHAUL_* variables (`.env` included)  >  framehaul.toml of the project
             >  $XDG_CONFIG_HOME/framehaul/config.toml  >  remote_url  >  the machine preset  >  defaults

Every value is checked where it comes in, and remembers where that was. Files hold no secrets: those are refused.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from kernels.errors import nearest
from runner.errors import UsageError
from runner.setting_table import PREFIX, SECRETS, SETTINGS, Kind, Setting, setting_of
from runner.settings_files import project_file, read_settings_file, user_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

REMOTE_S: Final = 10.0
"""Longest wait for each answer of a remote server."""
MAX_REMOTE_BYTES: Final = 1 << 18
PRESETS: Final = "presets"
NOT_IN_PRESETS: Final = frozenset({"machine_preset", "remote_url"})


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value, and where it was found."""

    value: Any
    """str, float, int, Decimal, bool or a tuple; a length of time in seconds. None where nobody says."""
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, by name."""

    values: Mapping[str, Value]

    def get(self, name: str) -> Any:
        return self.values[name].value

    def origin(self, name: str) -> str:
        return self.values[name].origin


@dataclass(frozen=True, slots=True)
class _Layer:
    """One place that settings come from."""

    origins: Mapping[str, str]
    values: Mapping[str, Any]
    presets: Mapping[str, Mapping[str, Any]]


def load_settings(
    options: Mapping[str, Any] | None = None, *, environment: Mapping[str, str], folder: Path
) -> Settings:
    """All settings for a command that was given `options` (by setting name, None for those left out) in `folder`.

    Raises `UsageError` that names the place of the first value that cannot be.
    """
    layers = [_from_options(options or {}), _from_environment(environment)]
    layers += [_from_file(path) for path in (project_file(folder), user_file(environment)) if path is not None]
    remote = _first("remote_url", layers)
    if remote is not None:
        layers.append(_from_remote(str(remote.value), environment))
    default = setting_of("machine_preset")
    assert default is not None
    chosen = _first("machine_preset", layers)
    name = str(chosen.value) if chosen is not None else str(default.default)
    layers.append(_preset(name, layers, chosen))
    return Settings({setting.name: _first(setting.name, layers) or _default(setting) for setting in SETTINGS})


def preset_names() -> tuple[str, ...]:
    """Presets that come with this version."""
    folder = resources.files("runner").joinpath(PRESETS)
    return tuple(sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml")))


def preset_values(name: str) -> Mapping[str, Any]:
    """What a shipped preset says, checked."""
    return _shipped(name)


def secrets_set(environment: Mapping[str, str]) -> dict[str, bool]:
    """Which secret variables are set; never what they hold."""
    return {secret.variable: bool(environment.get(secret.variable)) for secret in SECRETS}


def check_value(setting: Setting, value: Any, *, where: str) -> Any:
    """`value` as the setting's own type. Raises `UsageError` that says what is allowed."""
    try:
        return _adapter(setting).validate_python(value)
    except ValidationError:
        shown = value if isinstance(value, str | int | float | bool | Decimal) else type(value).__name__
        raise UsageError(f"{where}: {setting.name} {shown}: must be {allowed(setting)}") from None


def allowed(setting: Setting) -> str:
    """What a setting takes, in words."""
    if setting.kind is Kind.CHOICE:
        return f"{', '.join(setting.choices[:-1])} or {setting.choices[-1]}"
    if setting.kind is Kind.DOLLARS:
        return "dollars, more than 0"
    low = f" of {setting.low:g} or more" if setting.low is not None else ""
    high = f", at most {setting.high:g}" if setting.high is not None else ""
    return f"{setting.kind.value}{low}{high}"


def _first(name: str, layers: Iterable[_Layer]) -> Value | None:
    found = (Value(layer.values[name], layer.origins[name]) for layer in layers if name in layer.values)
    return next(found, None)


def _default(setting: Setting) -> Value:
    if setting.default is None:
        return Value(None, "default")
    return Value(check_value(setting, setting.default, where="default"), "default")


def _from_options(options: Mapping[str, Any]) -> _Layer:
    """What stands on the command line, by the names of settings."""
    given = {name: value for name, value in options.items() if value is not None}
    known = [setting for setting in SETTINGS if setting.name in given]
    values = {one.name: check_value(one, given[one.name], where=one.flag) for one in known}
    return _Layer({one.name: one.flag for one in known}, values, {})


def _from_environment(environment: Mapping[str, str]) -> _Layer:
    found = [setting for setting in SETTINGS if environment.get(setting.variable)]
    values = {one.name: check_value(one, environment[one.variable], where=one.variable) for one in found}
    return _Layer({one.name: one.variable for one in found}, values, {})


def _from_file(path: Path) -> _Layer:
    return _from_table(read_settings_file(path), where=str(path))


def _from_table(table: Mapping[str, Any], *, where: str) -> _Layer:
    """A file's or a server's settings, all checked, its presets too."""
    presets = table.get(PRESETS, {})
    if not isinstance(presets, dict) or not all(isinstance(one, dict) for one in presets.values()):
        raise UsageError(f"{where}: presets must be tables: [presets.mine]")
    values = _check_table({name: value for name, value in table.items() if name != PRESETS}, where=where)
    checked = {name: _check_preset(one, where=f"{where}, preset {name}") for name, one in presets.items()}
    return _Layer(dict.fromkeys(values, where), values, checked)


def _check_table(table: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    values = {}
    for name, value in table.items():
        setting = setting_of(name)
        secret = next((one for one in SECRETS if one.variable in {name.upper(), PREFIX + name.upper()}), None)
        if secret is not None:
            raise UsageError(f"{where}: {name} is a secret and stays out of files like this; set {secret.variable}")
        if setting is None:
            raise UsageError(f"{where}: unknown setting {name!r}{nearest(name, [one.name for one in SETTINGS])}")
        values[name] = check_value(setting, value, where=where)
    return values


def _check_preset(table: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    refused = NOT_IN_PRESETS & set(table)
    if refused:
        raise UsageError(f"{where}: {min(refused)} cannot be set by a preset")
    return _check_table({name: value for name, value in table.items() if name != "summary"}, where=where)


def _preset(name: str, layers: Iterable[_Layer], chosen: Value | None) -> _Layer:
    """The values of preset `name`: the nearest of the user's own, else the shipped one."""
    own = next((layer.presets[name] for layer in layers if name in layer.presets), None)
    if own is None:
        if name not in preset_names():
            known = {*preset_names(), *(one for layer in layers for one in layer.presets)}
            where = chosen.origin if chosen is not None else "default"
            raise UsageError(f"{where}: unknown machine preset {name!r}{nearest(name, known)}")
        own = _shipped(name)
    return _Layer(dict.fromkeys(own, f"preset {name}"), own, {})


@cache
def _shipped(name: str) -> Mapping[str, Any]:
    text = resources.files("runner").joinpath(PRESETS, f"{name}.toml").read_text(encoding="utf-8")
    return _check_preset(tomllib.loads(text), where=f"preset {name}")


def _from_remote(url: str, environment: Mapping[str, str]) -> _Layer:
    """Settings behind `url`. Raises `UsageError`: whoever asked for them does not mean to go on without."""
    shown = shown_url(url)
    text = _fetch(url, shown, environment)
    try:
        table = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"{shown}: neither TOML nor JSON ({error}); check remote_url") from error
    if "remote_url" in table:
        raise UsageError(f"{shown}: remote_url cannot be set there")
    return _from_table(table, where=shown)


def _fetch(url: str, shown: str, environment: Mapping[str, str]) -> str:
    import requests

    try:
        with requests.get(
            url,
            timeout=REMOTE_S,
            stream=True,
            allow_redirects=False,
            verify=environment.get("REQUESTS_CA_BUNDLE") or True,
            headers={"User-Agent": "framehaul"},
        ) as reply:
            if reply.status_code != requests.codes.ok:
                raise UsageError(f"{shown} answered {reply.status_code}; remote_url must lead straight to the settings")
            data = next(reply.iter_content(MAX_REMOTE_BYTES + 1), b"")
    except requests.RequestException as error:
        reason = type(error).__name__
        raise UsageError(f"{shown} cannot be read ({reason}); check remote_url, or remove it") from error
    if len(data) > MAX_REMOTE_BYTES:
        raise UsageError(f"{shown} holds more than {MAX_REMOTE_BYTES // 1024} KiB; settings are smaller")
    return data.decode("utf-8", errors="replace")


def shown_url(url: str) -> str:
    """`url` without what may be secret in it. Raises `UsageError` for anything but https."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise UsageError("remote_url must begin with https://: settings decide what money is spent on")
    return f"https://{parts.hostname}{parts.path}"


@cache
def _adapter(setting: Setting) -> TypeAdapter[Any]:
    """Reads one setting from text or from a file's own types."""
    kind: Any = {
        Kind.TEXT: Annotated[str, Field(min_length=1)],
        Kind.CHOICE: Literal[setting.choices] if setting.choices else str,
        Kind.NUMBER: Annotated[float, Field(ge=setting.low, le=setting.high, allow_inf_nan=False)],
        Kind.COUNT: Annotated[int, Field(ge=setting.low, le=setting.high)],
        Kind.DOLLARS: Annotated[Decimal, Field(gt=0, allow_inf_nan=False)],
        Kind.LENGTH: Annotated[float, BeforeValidator(_seconds), Field(gt=0)],
        Kind.FLAG: bool,
        Kind.NAMES: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_split)],
        Kind.NUMBERS: Annotated[tuple[int, ...], BeforeValidator(_split)],
    }[setting.kind]
    return TypeAdapter(kind)


def _split(value: Any) -> Any:
    """`a, b` and lists of such texts as one list."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        return [part for one in value for part in (_split(one) if isinstance(one, str) else [one])]
    return value


def _seconds(value: Any) -> Any:
    from runner.cli.times import parse_age

    if not isinstance(value, str):
        return value
    try:
        return parse_age(value, option="")
    except UsageError as error:
        raise ValueError(str(error)) from error
