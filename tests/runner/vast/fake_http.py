"""The HTTP side of the fake Vast.ai: whose key it is, whether a call comes too soon, and which fault it meets."""

from __future__ import annotations

import json
import re
import socket
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlsplit

from tests.runner.vast.fake_calls import CALLS, ROUTES, Request
from tests.runner.vast.fake_checks import Refusal
from tests.storage.native_api import LoopbackServer

if TYPE_CHECKING:
    from tests.runner.vast.fake import FakeVast, Fault

INTERVALS_S: Final = {
    "create": 4.5,
    "show": 2.0,
    "list": 1.0,
    "destroy": 3.0,
    "change": 1.0,
    "reboot": 1.0,
    "bid": 5.5,
    "charges": 1.0,
    "search": 1.0,
}
"""Least time between two calls of one kind by one key."""
SEARCHES_PER_MINUTE: Final = 10
CREATE_PENALTY_S: Final = 12.0
_BODIES: Final = (
    "API requests too frequent: endpoint threshold={}",
    {"detail": "API requests too frequent endpoint threshold={}"},
    {"success": False, "error": "rate_limit_exceeded", "msg": "Rate limit exceeded: {} s"},
)
"""The real one refuses in all of these forms."""


class VastHttp:
    """Listens on a port of its own."""

    def __init__(self, vast: FakeVast) -> None:
        self.vast = vast
        self.last_s: dict[tuple[str, str], float] = {}
        self.refused = 0
        http = self

        class Handler(_Handler):
            owner = http

        self._server = LoopbackServer(Handler)
        self.url = self._server.url

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def answer(self, request: Request) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers; does what was asked."""
        vast = self.vast
        try:
            request.identity = self._identify(request)
            self._authorize(request)
            self._pace(request)
            with vast.lock:
                vast.tick()
                return 200, CALLS[request.name].do(vast, request), {}
        except Refusal as refusal:
            return refusal.status, refusal.body, refusal.headers

    def _identify(self, request: Request) -> str:
        """Whose key it is. A wrong one is answered with 404."""
        if "api_key" in request.query:
            raise Refusal(400, "invalid_args", "the key belongs into the Authorization header")
        word, _, key = request.authorization.partition(" ")
        if request.name in {"gpu_names", "file"}:
            if request.name == "file" and request.authorization:
                raise Refusal(400, "invalid_args", "this is another server: the key is none of its business")
            return "nobody"
        if not key or word != "Bearer":
            raise Refusal(403, "auth_error", "This action requires login.")
        if key in self.vast.rights:
            request.rights = self.vast.rights[key]
            return f"key {key[-6:]}"
        with self.vast.lock:
            for instance in self.vast.instances.values():
                if instance.key == key and instance.exists:
                    request.instance_key_of = instance.id
                    return f"instance {instance.id}"
        raise Refusal(404, "auth_error", "Invalid user key")

    @staticmethod
    def _authorize(request: Request) -> None:
        call = CALLS.get(request.name)
        if call is None:
            raise Refusal(404, "not_found", f"no such path {request.path}")
        own = request.instance_key_of
        if own is not None:
            if request.number != own or request.name not in {"show", "destroy", "change"}:
                raise Refusal(403, "not_authorized", "this key is for one instance")
        elif call.right and call.right not in request.rights:
            message = "Your key lacks proper privileges for this, or Two Factor Authentication is required"
            raise Refusal(401, "auth_error", message)

    def _pace(self, request: Request) -> None:
        """Refuse what comes too soon after the last call of its kind by the same key."""
        interval_s = INTERVALS_S.get(request.name)
        if interval_s is None or not self.vast.intervals_apply:
            return
        with self.vast.lock:
            now, key = self.vast.clock.time(), (request.identity, request.name)
            due_s = self.last_s.get(key, now - interval_s) + interval_s
            if request.name == "search":
                times_s = [call.time_s for call in self.vast.journal if call.name == "search" and call.status == 200]
                if len(times_s) >= SEARCHES_PER_MINUTE:
                    due_s = max(due_s, times_s[-SEARCHES_PER_MINUTE] + 60)
            if now >= due_s:
                self.last_s[key] = now
                return
            if request.name == "create":
                self.last_s[key] = now + CREATE_PENALTY_S - interval_s
                due_s = now + CREATE_PENALTY_S
            self.refused += 1
            body = _BODIES[self.refused % len(_BODIES)]
        refusal = Refusal(429, "", "")
        refusal.body = json.loads(json.dumps(body).replace("{}", str(interval_s)))
        if self.vast.tells_retry_after:
            refusal.headers["Retry-After"] = str(round(due_s - now + 0.1, 1))
        raise refusal


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: VastHttp

    def do_GET(self) -> None:
        self._handle()

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the names that the server looks for

    def log_message(self, *_: object) -> None:
        pass

    def _handle(self) -> None:
        request, vast = self._read(), self.owner.vast
        if vast.clock.time() < vast.silent_until_s:
            self._hang_up(request)
            return
        fault = self._next_fault(request.name)
        if fault is not None and fault.delay_s:
            vast.clock.sleep(fault.delay_s)
        self._reply(request, fault)

    def _read(self) -> Request:
        parts = urlsplit(self.path)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(data) if data else None
        except ValueError:
            body = data.decode("utf-8", "replace")
        name, number = "", None
        for method, pattern, candidate in ROUTES:
            found = re.fullmatch(pattern, parts.path) if method == self.command else None
            if found is not None:
                name, number = candidate, int(found[1]) if found.groups() else None
                break
        headers = {key: value for key, value in self.headers.items() if key != "Authorization"}
        return Request(
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            body=body,
            headers=headers,
            authorization=self.headers.get("Authorization", ""),
            name=name,
            number=number,
        )

    def _next_fault(self, name: str) -> Fault | None:
        with self.owner.vast.lock:
            for fault in self.owner.vast.faults:
                if fault.call in {name, "*"} and fault.times > 0 and name not in {"gpu_names", ""}:
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def _reply(self, request: Request, fault: Fault | None) -> None:
        """Answer, or not."""
        if fault is None:
            self._send(request, *self.owner.answer(request))
            return
        if fault.drop:
            self._hang_up(request)
            return
        if fault.status is not None and not fault.after:
            self._send(request, fault.status, fault.body, fault.headers)
            return
        status, body, headers = self.owner.answer(request)
        if fault.lose:
            self._hang_up(request)
            return
        if fault.status is not None:
            contract = {"new_contract": body["new_contract"]} if fault.contract and status == 200 else {}
            told = fault.body if isinstance(fault.body, dict) or not contract else {}
            status, headers = fault.status, fault.headers
            body = {**told, **contract} if isinstance(told, dict) else told
        if fault.empty and isinstance(body, dict) and status == 200:
            body = body | {"instances": [], "next_token": None} | ({"total_instances": 0} if fault.lie else {})
        self._send(request, status, body, headers, cut=fault.cut)

    def _send(self, request: Request, status: int, body: Any, headers: dict[str, str], *, cut: bool = False) -> None:
        self._note(request, status)
        text = isinstance(body, str)
        data = body.encode() if text else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if text else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self._close()

    def _hang_up(self, request: Request) -> None:
        self._note(request, 0)
        self._close()

    def _close(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def _note(self, request: Request, status: int) -> None:
        """Into the journal, before anybody can see the answer."""
        vast = self.owner.vast
        with vast.lock:
            vast.journal.append(request.as_call(vast.clock.time(), status))
