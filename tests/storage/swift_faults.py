"""WSGI filters for the Swift proxy of the tests: faults on demand, counters, and a cache in place of memcached.

`PUT /__control` takes a list of rules; `GET` answers the rules left, how often each operation was asked for, and the
bytes of all bodies by the key that signed: `[sent here, sent back]`; `DELETE` forgets rules and counts; `POST` takes a
key of `swift_keys.py`. A rule: `{"op": "UploadPart", "times": 2, "skip": 0, "path": regex, "query": regex}` and one of

    "status", "code", "message", "headers"   answer that error instead
    "after": 1                               do the work, then answer 500
    "lose": 1                                do the work, then close the connection without an answer
    "cut": n                                 send n bytes of the body, then close the connection
    "stall": n                               send n bytes of the body, then nothing for "delay" seconds
    "reset": 1                               reset the connection at once
    "delay": s                               wait before anything else
"""

from __future__ import annotations

import collections
import json
import re
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import eventlet
from swift_keys import MadeKeys, key_of  # type: ignore[import-not-found] # beside this file, where the server looks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Environment = dict[str, Any]
Start = Any
Application = Any


class Dropped(Exception):  # noqa: N818  (it ends a connection on purpose)
    pass


def operation_of(env: Environment) -> str:
    """S3's name for what a request asks."""
    method: str = env["REQUEST_METHOD"]
    query: str = env.get("QUERY_STRING", "")
    bucket, _, key = env["PATH_INFO"].lstrip("/").partition("/")

    def has(name: str) -> bool:
        return re.search(rf"(^|&){name}(=|&|$)", query) is not None

    if not key:
        if method == "GET" and bucket:
            kinds = {"uploads": "ListMultipartUploads", "versions": "ListObjectVersions"}
            return next((op for name, op in kinds.items() if has(name)), "ListObjects")
        return {"GET": "ListBuckets", "HEAD": "HeadBucket", "PUT": "CreateBucket"}.get(method, method)
    if has("uploadId"):
        names = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
        return str(names.get(method, "ListParts"))
    if has("uploads"):
        return "CreateMultipartUpload"
    names = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}
    return str(names.get(method, method))


class Faults:
    """The filter that counts and breaks."""

    def __init__(self, app: Application, *, no_conditional_writes: bool) -> None:
        self.app = app
        self.no_conditional_writes = no_conditional_writes
        self.rules: list[dict[str, Any]] = []
        self.counts: collections.Counter[str] = collections.Counter()
        self.keys = MadeKeys()
        self.traffic: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])

    def __call__(self, env: Environment, start: Start) -> Any:
        if env["PATH_INFO"] == "/__control":
            return self.control(env, start)
        traffic = self.traffic[key_of(env)]
        traffic[0] += int(env.get("CONTENT_LENGTH") or 0)
        return counted(self.work(env, start), traffic)

    def work(self, env: Environment, start: Start) -> Any:
        operation = operation_of(env)
        self.counts[operation] += 1
        if refusal := self.keys.refuses(operation, env):
            return answer(env, start, 403, "AccessDenied", refusal)
        conditional = env.get("HTTP_IF_NONE_MATCH") or env.get("HTTP_IF_MATCH")
        if self.no_conditional_writes and conditional and operation in {"PutObject", "CompleteMultipartUpload"}:
            message = "A header you provided implies functionality that is not implemented"
            return answer(env, start, 501, "NotImplemented", message)
        for rule in self.rules:
            if self.applies(rule, operation, env):
                if rule.get("skip", 0) > 0:
                    rule["skip"] -= 1
                    continue
                rule["times"] = rule.get("times", 1) - 1
                self.counts["fault"] += 1
                return self.broken(rule, env, start)
        return self.app(env, start)

    @staticmethod
    def applies(rule: dict[str, Any], operation: str, env: Environment) -> bool:
        return (
            rule.get("op") in {None, operation}
            and rule.get("times", 1) > 0
            and re.search(rule.get("path", ""), env["PATH_INFO"]) is not None
            and re.search(rule.get("query", ""), env.get("QUERY_STRING", "")) is not None
        )

    def broken(self, rule: dict[str, Any], env: Environment, start: Start) -> Any:
        if rule.get("delay") and "stall" not in rule:
            eventlet.sleep(rule["delay"])
        if "status" in rule:
            code, message = rule.get("code", "InternalError"), rule.get("message", "injected")
            return answer(env, start, rule["status"], code, message, rule.get("headers", ()))
        if "reset" in rule:
            hang_up(env, reset=True)
            raise Dropped
        if "after" in rule or "lose" in rule:
            for _ in self.app(env, lambda *_: None):
                pass
            if "lose" in rule:
                hang_up(env)
                raise Dropped
            return answer(env, start, 500, "InternalError", "the answer was lost")
        if "cut" in rule:
            return first_bytes(self.app(env, start), rule["cut"], lambda: hang_up(env))
        if "stall" in rule:
            return first_bytes(self.app(env, start), rule["stall"], lambda: eventlet.sleep(rule["delay"]))
        return self.app(env, start)

    def control(self, env: Environment, start: Start) -> Iterable[bytes]:
        method = env["REQUEST_METHOD"]
        if method == "PUT":
            self.rules[:] = json.loads(env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0)))
        if method == "POST":
            self.keys.take(env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0)), self.app)
        if method == "DELETE":
            self.rules.clear()
            self.counts.clear()
        body = json.dumps({"rules": self.rules, "counts": self.counts, "traffic": self.traffic}).encode()
        start("200 OK", [("Content-Length", str(len(body)))])
        return [body]


def answer(
    env: Environment, start: Start, status: int, code: str, message: str, headers: Iterable[tuple[str, str]] = ()
) -> list[bytes]:
    left = int(env.get("CONTENT_LENGTH") or 0)
    while left > 0:  # or the client sees a reset in place of the answer
        data = env["wsgi.input"].read(min(left, 1 << 20))
        if not data:
            break
        left -= len(data)
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = b"" if env["REQUEST_METHOD"] == "HEAD" else f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode()
    given = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
    start(f"{status} Injected", given + [(name, value) for name, value in headers])
    return [body]


def counted(body: Iterable[bytes], traffic: list[int]) -> Iterable[bytes]:
    """`body`, every byte of it counted when it is sent."""
    if isinstance(body, list):  # its length is known, which the server tells
        traffic[1] += sum(map(len, body))
        return body
    return _counted(body, traffic)


def _counted(body: Iterable[bytes], traffic: list[int]) -> Iterator[bytes]:
    try:
        for data in body:
            traffic[1] += len(data)
            yield data
    finally:
        if hasattr(body, "close"):
            body.close()


def first_bytes(body: Iterable[bytes], size: int, then: Callable[[], object]) -> Iterator[bytes]:
    for data in body:
        if len(data) >= size:
            yield data[:size]
            then()
            raise Dropped
        size -= len(data)
        yield data


def hang_up(env: Environment, *, reset: bool = False) -> None:
    connection = env["wsgi.input"].get_socket()
    if reset:  # what was not read yet is thrown away, and so is what was not sent
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)


class Cache:
    """What the proxy asks of memcached, for one process."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[Any, float]] = {}

    def get(self, key: str, **_: Any) -> Any:
        value, until = self.values.get(key, (None, 0.0))
        if until and until < time.time():
            del self.values[key]
            return None
        return value

    def set(self, key: str, value: Any, time: float = 0, **_: Any) -> bool:
        self.values[key] = (value, now() + time if time else 0.0)
        return True

    def incr(self, key: str, delta: int = 1, time: float = 0) -> int:
        value = max(0, int(self.get(key) or 0) + delta)
        self.set(key, value, time=time)
        return value

    def decr(self, key: str, delta: int = 1, time: float = 0) -> int:
        return self.incr(key, -delta, time)

    def delete(self, key: str, **_: Any) -> None:
        self.values.pop(key, None)

    def set_multi(self, values: dict[str, Any], *_: Any, **__: Any) -> None:
        for key, value in values.items():
            self.set(key, value)

    def get_multi(self, keys: Iterable[str], *_: Any, **__: Any) -> list[Any]:
        return [self.get(key) for key in keys]


now = time.time


def faults_factory(_global: Any, **local: str) -> Callable[[Application], Faults]:
    strict = local.get("no_conditional_writes") == "true"
    return lambda app: Faults(app, no_conditional_writes=strict)


def cache_factory(_global: Any, **_local: str) -> Callable[[Application], Application]:
    cache = Cache()

    def around(app: Application) -> Application:
        def call(env: Environment, start: Start) -> Any:
            env.setdefault("swift.cache", cache)
            return app(env, start)

        call.app = app  # type: ignore[attr-defined] # as every filter has it
        return call

    return around
