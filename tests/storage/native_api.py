"""B2's native API as documented, as far as keys go: a small HTTP server that answers as B2 does.

Keys that it makes are those of the test's S3 server, so that both can be used together.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType


class LoopbackServer(ThreadingHTTPServer):
    """On a port of its own; a client that hangs up is no event."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class NativeApi:
    """`url` is what `b2_authorize_account` is asked at. `failures` are answered first, each once."""

    def __init__(
        self, *, account: tuple[str, str], made: tuple[str, str], s3_url: str, buckets: dict[str, str]
    ) -> None:
        self.account = account
        self.made = made
        self.s3_url = s3_url
        self.buckets = buckets
        self.token = "4_token_0"
        self.keys: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failures: list[tuple[int, str, str, dict[str, str]]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.reply(*api.answer(self.path, {}, self.headers.get("Authorization", "")))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.reply(*api.answer(self.path, body, self.headers.get("Authorization", "")))

            def reply(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = LoopbackServer(Handler)
        self.url = self._server.url

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    def answer(self, path: str, body: dict[str, Any], given: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        name = path.rpartition("/")[2]
        assert path == f"/b2api/v4/{name}"
        self.calls.append((name, body))
        if self.failures:
            status, code, message, headers = self.failures.pop(0)
            return status, {"status": status, "code": code, "message": message}, headers
        if name == "b2_authorize_account":
            expected = "Basic " + base64.b64encode(":".join(self.account).encode()).decode()
            if given != expected:
                return self.refuse(401, "bad_auth_token", "invalid application key")
            return 200, self.authorization(), {}
        if given != self.token:
            return self.refuse(401, "expired_auth_token", "the token has expired")
        calls = {"b2_list_buckets": self.list_buckets, "b2_create_key": self.create, "b2_delete_key": self.delete}
        return calls[name](body)

    @staticmethod
    def refuse(status: int, code: str, message: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        return status, {"status": status, "code": code, "message": message}, {}

    def authorization(self) -> dict[str, Any]:
        allowed = {"buckets": None, "capabilities": ["writeKeys", "deleteKeys", "listBuckets"], "namePrefix": None}
        storage_api = {
            "absoluteMinimumPartSize": 5_000_000,
            "allowed": allowed,
            "apiUrl": self.url,
            "downloadUrl": self.url,
            "recommendedPartSize": 100_000_000,
            "s3ApiUrl": self.s3_url,
        }
        return {
            "accountId": "ACCOUNT",
            "apiInfo": {"storageApi": storage_api, "groupsApi": {}},
            "applicationKeyExpirationTimestamp": None,
            "authorizationToken": self.token,
        }

    def list_buckets(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        assert body["accountId"] == "ACCOUNT"
        found = [(name, number) for name, number in self.buckets.items() if name == body["bucketName"]]
        listed = [{"bucketId": number, "bucketName": name, "bucketType": "allPrivate"} for name, number in found]
        return 200, {"buckets": listed}, {}

    def create(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        assert body["accountId"] == "ACCOUNT"
        key_id, key = self.made
        until = int(1000 * (time.time() + body["validDurationInSeconds"]))
        made = {
            "accountId": "ACCOUNT",
            "applicationKeyId": key_id,
            "bucketIds": body["bucketIds"],
            "capabilities": body["capabilities"],
            "expirationTimestamp": until,
            "keyName": body["keyName"],
            "namePrefix": body["namePrefix"],
            "options": ["s3"],
        }
        self.keys[key_id] = made
        return 200, made | {"applicationKey": key}, {}

    def delete(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        found = self.keys.pop(body["applicationKeyId"], None)
        if found is None:
            return self.refuse(400, "bad_request", f"application key {body['applicationKeyId']} not found")
        return 200, found, {}
