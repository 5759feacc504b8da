"""Keys that tests make while the server runs. What each may do is checked as B2 does it, before Swift is asked."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

READING: Final = frozenset({"GetObject", "HeadObject"})
WRITING: Final = frozenset(
    {
        "PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload",
        "ListParts",
    }
)  # fmt: skip
LISTING: Final = frozenset({"ListObjects", "ListObjectVersions", "ListMultipartUploads"})
NEEDED: Final[Mapping[str, str]] = {
    **dict.fromkeys(READING, "readFiles"),
    **dict.fromkeys(WRITING, "writeFiles"),
    **dict.fromkeys(LISTING, "listFiles"),
    "DeleteObject": "deleteFiles",
}
"""Operation -> capability. What is not named needs the account's own key."""
_CREDENTIAL: Final = re.compile(r"Credential=([^/,\s]+)/")


class MadeKeys:
    """`{"id": …, "secret": …, "bucket": …, "prefix": …, "capabilities": […]}`; without `secret` a key is forgotten.

    Without `capabilities` a key may do all that the account may.
    """

    def __init__(self) -> None:
        self._made: dict[str, dict[str, Any]] = {}

    def take(self, body: bytes, app: Any) -> None:
        """Make a key, or forget one."""
        told = json.loads(body)
        users = _users(app)
        if told.get("secret"):
            self._made[told["id"]] = told
            users[told["id"]] = users["test:worker"] | {"key": told["secret"]}
        else:
            self._made.pop(told["id"], None)
            users.pop(told["id"], None)

    def refuses(self, operation: str, env: Mapping[str, Any]) -> str:
        """Why this request is not allowed; empty when it is, or when its key was not made here."""
        key = self._made.get(key_of(env))
        if key is None or key.get("capabilities") is None:
            return ""
        bucket, _, name = env["PATH_INFO"].lstrip("/").partition("/")
        if operation in LISTING:
            name = parse_qs(env.get("QUERY_STRING", "")).get("prefix", [""])[0]
        if NEEDED.get(operation) not in key["capabilities"]:
            return f"the key has no right to {operation}"
        if bucket != key["bucket"] or not name.startswith(key["prefix"]):
            return f"the key is not for {bucket}/{name}"
        return ""


def key_of(env: Mapping[str, Any]) -> str:
    """The id of the key that has signed; empty without one."""
    signed = parse_qs(env.get("QUERY_STRING", "")).get("X-Amz-Credential")
    if signed:
        return str(signed[0].partition("/")[0])
    found = _CREDENTIAL.search(env.get("HTTP_AUTHORIZATION", ""))
    return unquote(found[1]) if found else ""


def _users(app: Any) -> dict[str, Any]:
    """The keys that Swift's own filter knows."""
    while not hasattr(app, "users"):
        app = app.app
    users: dict[str, Any] = app.users
    return users
