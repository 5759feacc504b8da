"""The key of a Vast.ai account, and where its API is.

    explicit  >  VAST_API_KEY  >  the file of the official command-line tool:
                                  $XDG_CONFIG_HOME/vastai/vast_api_key, else ~/.config/vastai/vast_api_key,
                                  else ~/.vast_api_key

VAST_URL names another server, as it does for that tool. An empty variable is as good as none.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from runner.errors import ProviderKeyError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

URL: Final = "https://console.vast.ai"
VARIABLE: Final = "VAST_API_KEY"
URL_VARIABLE: Final = "VAST_URL"
_PLAIN: Final = re.compile(r"[!-~]+")
"""Printable ASCII without spaces: what a header can carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key, and where it was found. Never shows itself."""

    secret: str = field(repr=False)
    origin: str = "given"

    def __post_init__(self) -> None:
        if not _PLAIN.fullmatch(self.secret):
            raise ProviderKeyError(
                f"the Vast.ai key from {self.origin} has a space, a line break or a letter that no key has; "
                "copy it again from https://cloud.vast.ai/manage-keys/"
            )


def find_key(environment: Mapping[str, str] | None = None) -> ApiKey:
    """The first key of the table above. Raises `ProviderKeyError` that says where to put one."""
    values = os.environ if environment is None else environment
    secret = values.get(VARIABLE, "").strip()
    if secret:
        return ApiKey(secret=secret, origin=VARIABLE)
    paths = key_paths(values)
    for path in paths:
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "no text"
            raise ProviderKeyError(f"{path} cannot be read: {reason}; set {VARIABLE} instead") from None
        if secret:
            return ApiKey(secret=secret, origin=str(path))
    raise ProviderKeyError(
        f"no key for Vast.ai: set {VARIABLE}, or write it into {paths[0]}; "
        "make one at https://cloud.vast.ai/manage-keys/ (docs/vast.md says with which rights)"
    )


def key_paths(environment: Mapping[str, str] | None = None) -> tuple[Path, Path]:
    """Where the official tool keeps its key, newest place first; whether there is one or not."""
    values = os.environ if environment is None else environment
    home = Path(values["HOME"]) if values.get("HOME") else Path.home()
    base = values.get("XDG_CONFIG_HOME")
    return (Path(base) if base else home / ".config") / "vastai" / "vast_api_key", home / ".vast_api_key"


def find_url(environment: Mapping[str, str] | None = None) -> str:
    """Where the API is, without a slash at the end.

    Raises `RefusedError` for what is no such place: a key is sent there, so a network must not read it.
    """
    values = os.environ if environment is None else environment
    url = values.get(URL_VARIABLE, "").strip() or URL
    parts = urlsplit(url)
    wrong = parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query
    if wrong or (parts.scheme == "http" and not _is_this_machine(parts.hostname or "")):
        raise RefusedError(f"{URL_VARIABLE} is no https:// address (http:// is for this machine alone); unset it")
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
