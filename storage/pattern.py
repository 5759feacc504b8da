"""Which keys a pattern means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECES: Final = re.compile(r"\*\*/?|\*|\?|\[!?[^]/]+\]|.", re.DOTALL)


def matcher(folder: str, pattern: str | None) -> Callable[[str], bool]:
    """Whether a key below `folder` matches: `*` and `?` stop at a slash, `**` does not, `[a-c]` is one of these."""
    if pattern is None:
        return lambda _: True
    start = f"{folder}/" if folder else ""
    compiled = re.compile("".join(map(_expression, _PIECES.findall(pattern))), re.DOTALL)
    return lambda key: key.startswith(start) and compiled.fullmatch(key[len(start) :]) is not None


def _expression(piece: str) -> str:
    if piece.startswith("**"):
        return "(?:.*/)?" if piece.endswith("/") else ".*"
    if piece in {"*", "?"}:
        return "[^/]*" if piece == "*" else "[^/]"
    if len(piece) > 1:
        body = piece[1:-1].replace("\\", "\\\\")
        return f"[^{body[1:]}]" if body.startswith("!") else f"[{body}]"
    return re.escape(piece)
