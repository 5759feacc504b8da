"""What the fake Vast.ai refuses: bodies that the real one would refuse, or would silently take for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

Body = dict[str, Any]
MAX_COMMAND: Final = 16384
MAX_ENV: Final = 32768


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """An answer that is no success."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body: Any = {"success": False, "error": code, "msg": message, **more}
        self.headers: dict[str, str] = {}


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(longest: int) -> Callable[[Any], bool]:
    return lambda value: value is None or (isinstance(value, str) and len(value) <= longest)


def _flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _env(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(item, str) for item in value.values())
        and sum(len(name) + len(item) for name, item in value.items()) <= MAX_ENV
    )


_RUN_TYPES: Final = frozenset(
    {
        "args",
        "ssh",
        "ssh_proxy",
        "ssh_direct",
        "ssh_direc ssh_proxy",
        "jupyter_proxy ssh_proxy",
        "jupyter_direc ssh_direc ssh_proxy",
    }
)
_CREATE: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "client_id": (lambda value: value == "me", "client_id must be me"),
    "image": (_text(1024), "image must be a text of at most 1024"),
    "env": (_env, "env must be a dict"),
    "disk": (lambda value: is_number(value) and value >= 8, "disk must be at least 8 GB"),
    "label": (_text(256), "label_too_long"),
    "price": (lambda value: value is None or (is_number(value) and 0.001 <= value <= 128), "invalid_price"),
    "runtype": (lambda value: value in _RUN_TYPES, "runtype is unknown"),
    "args": (
        lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
        "args must be a list of texts",
    ),
    "args_str": (_text(MAX_COMMAND), "args_str must be a text"),
    "onstart": (_text(MAX_COMMAND), "onstart must be a text"),
    "image_login": (_text(1024), "image_login must be a text"),
    "template_hash_id": (lambda value: value is None, "there are no templates here"),
    "cancel_unavail": (_flag, "cancel_unavail must be true or false"),
    "target_state": (lambda value: value in {"running", "stopped"}, "target_state is unknown"),
    "user": (_text(64), "user must be a text"),
    "vm": (_flag, "vm must be true or false"),
    "extra": (lambda value: value is None, "extra must be null"),
    "force": (_flag, "force must be true or false"),
    "python_utf8": (_flag, "python_utf8 must be true or false"),
    "lang_utf8": (_flag, "lang_utf8 must be true or false"),
    "use_jupyter_lab": (_flag, "use_jupyter_lab must be true or false"),
    "jupyter_dir": (_text(256), "jupyter_dir must be a text"),
}


def check_create(body: Body) -> None:
    """Raises `Refusal` for what cannot be started."""
    for name, value in body.items():
        if name not in _CREATE:
            raise Refusal(400, "invalid_args", f"unknown field {name}")
        holds, message = _CREATE[name]
        if not holds(value):
            raise Refusal(400, message if message in {"invalid_price", "label_too_long"} else "invalid_args", message)
    for name in ("client_id", "image"):
        if body.get(name) is None:
            raise Refusal(400, "invalid_args", f"{name} is missing")
    if body.get("args") and body.get("runtype") != "args":
        raise Refusal(400, "invalid_args", "args need runtype args")
    command = sum(map(len, body.get("args") or ())) + len(body.get("onstart") or "") + len(body.get("args_str") or "")
    if command > MAX_COMMAND:
        raise Refusal(400, "3471", "args, args_str and onstart together exceed 16384")


def check_fields(body: Body, **kinds: type | tuple[type, ...]) -> None:
    """Raises `Refusal` unless `body` has only these fields, each of its kind."""
    for name, value in body.items():
        if name not in kinds:
            raise Refusal(400, "invalid_args", f"unknown field {name}")
        if not isinstance(value, kinds[name]) or (isinstance(value, bool) and kinds[name] is not bool):
            raise Refusal(400, "invalid_args", f"{name} has the wrong type")
