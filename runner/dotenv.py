"""`.env`: variables for this program that nobody has to export.

Only variables that this program knows are taken, and none that is set already. Where a key is sent to (`VAST_URL`,
`B2_ENDPOINT`, ...) is taken only together with the key itself: a folder from elsewhere must not be able to send a
key from the environment to a server of its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runner.errors import UsageError
from runner.setting_table import PLACES, PREFIX, SECRETS

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from pathlib import Path

NAME: Final = ".env"
MAX_BYTES: Final = 1 << 16
_LINE: Final = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
        (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s#'"][^#]*?|))\s*(?:\#.*)?""",
    re.VERBOSE,
)
_NAME: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)")
_KEYS: Final = {"VAST": ("VAST_API_KEY",), "B2": ("B2_APPLICATION_KEY",), "AWS": ("AWS_SECRET_ACCESS_KEY",)}
"""By the first word of a place's name: the key that has to stand beside it."""


def load_dotenv(folder: Path, environment: MutableMapping[str, str]) -> tuple[str, ...]:
    """Put what `.env` in `folder` says into `environment`; the names that hold from there. Harmless when repeated.

    Raises `UsageError`.
    """
    path = folder / NAME
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError:
        return ()
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} is larger than {MAX_BYTES} bytes; it should hold a few variables")
    found = read_dotenv(data.decode("utf-8", errors="replace"), where=str(path))
    taken = {name: value for name, value in found.items() if _is_taken(name, found, environment)}
    environment.update(taken)
    return tuple(taken)


def read_dotenv(text: str, *, where: str) -> dict[str, str]:
    """This program's variables among `NAME=value` lines; values may be quoted.

    Lines of other programs may be anything. Raises `UsageError` with the number of one of ours that cannot be read.
    """
    values = {}
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        begin = _NAME.match(line)
        if begin is None or not _is_ours(begin[1]):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise UsageError(f"{where}, line {number}: not {begin[1]}=value; put a value with spaces or # in quotes")
        double = match["double"]
        plain = re.sub(r"\\(.)", r"\1", double) if double is not None else match["single"] or match["bare"] or ""
        values[match["name"]] = plain
    return values


def _is_ours(name: str) -> bool:
    return name in PLACES or name.startswith(PREFIX) or any(name == secret.variable for secret in SECRETS)


def _is_taken(name: str, found: Mapping[str, str], environment: Mapping[str, str]) -> bool:
    if environment.get(name, found[name]) != found[name]:
        return False
    if name not in PLACES:
        return True
    keys = _KEYS[name.partition("_")[0]]
    return any(found.get(key) and environment.get(key, found[key]) == found[key] for key in keys)
