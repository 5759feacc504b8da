"""Servers that answer something else than they were asked: noticed, never believed."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Final

import pytest

from storage.b2 import B2Store
from storage.credentials import make_credentials
from storage.errors import ChangedError, GaveUpError, MissingError, StorageError, UnsupportedError
from storage.http import Web, WebStore
from storage.reader import ObjectReader
from storage.retry import Retrier
from tests.storage.native_api import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from storage.store import ReadableStore

CONTENT: Final = bytes(range(256)) * 40
SIZE: Final = len(CONTENT)


class Liar:
    """An HTTP server with one file. `lie` is told from the second GET on, `times` times."""

    def __init__(self) -> None:
        self.lie = ""
        self.times = 0
        self.truths = 1
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.send(200, {"Content-Length": str(SIZE), "ETag": '"one"', "Accept-Ranges": "bytes"}, b"")

            def do_GET(self) -> None:
                found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                assert found
                start, last = int(found[1]), min(int(found[2]), SIZE - 1)
                lie = liar.next_lie()
                if lie == "whole":
                    self.send(200, {"Content-Length": str(SIZE), "ETag": '"one"'}, CONTENT)
                    return
                if lie == "gone":
                    self.send(404, {"Content-Length": "0"}, b"")
                    return
                if lie == "shifted":
                    start, last = start + 1, last + 1
                body = CONTENT[start : last + 1]
                headers = {"Content-Range": f"bytes {start}-{last}/{SIZE}", "ETag": '"one"'}
                if lie == "other tag":
                    headers["ETag"] = '"two"'
                if lie == "other size":
                    headers["Content-Range"] = f"bytes {start}-{last}/{SIZE + 1}"
                if lie == "no range":
                    del headers["Content-Range"]
                if lie == "short":
                    body = body[:-1]
                headers["Content-Length"] = str(last - start + 1 if lie == "cut" else len(body))
                if lie == "cut":
                    body = body[:-1]
                    self.close_connection = True
                self.send(206, headers, body)

            def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = LoopbackServer(Handler)
        self.url = self.server.url

    def next_lie(self) -> str:
        if self.truths:
            self.truths -= 1
            return ""
        if not self.times:
            return ""
        self.times -= 1
        return self.lie


@pytest.fixture
def liar() -> Iterator[Liar]:
    running = Liar()
    running.server.start()
    yield running
    running.server.stop()


def opened(liar: Liar, kind: str) -> ObjectReader:
    """The file of the server, with its first request behind it."""
    retrier = Retrier(sleep=lambda _: None)
    store: ReadableStore
    if kind == "web":
        store = WebStore(retrier=retrier, web=Web(read_timeout_s=2))
        return ObjectReader(store, f"{liar.url}/bucket/clip", block_bytes=1000)
    liar.truths = 0
    credentials = make_credentials("id", "secret", region="us-west-004", endpoint=liar.url)
    store = B2Store("bucket", credentials, retrier=retrier, read_timeout_s=2)
    return ObjectReader(store, "clip", block_bytes=1000)


@pytest.mark.parametrize("kind", ["web", "b2"])
@pytest.mark.parametrize("lie", ["", "whole", "shifted", "no range", "short", "cut"])
def test_a_wrong_answer_is_asked_for_again(liar: Liar, kind: str, lie: str) -> None:
    with opened(liar, kind) as file:
        liar.lie, liar.times = lie, 3
        assert file.read() == CONTENT


@pytest.mark.parametrize("kind", ["web", "b2"])
@pytest.mark.parametrize(
    ("lie", "error"),
    [
        ("whole", GaveUpError),
        ("shifted", GaveUpError),
        ("no range", GaveUpError),
        ("short", GaveUpError),
        ("other tag", ChangedError),
        ("other size", StorageError),
        ("gone", StorageError),
    ],
)
def test_wrong_answers_without_end_are_one_error(liar: Liar, kind: str, lie: str, error: type[StorageError]) -> None:
    with opened(liar, kind) as file:
        liar.lie, liar.times = lie, 10_000
        with pytest.raises(error) as caught:
            file.read()
    assert "\n" not in str(caught.value)


def test_a_server_without_ranges_is_named(liar: Liar) -> None:
    liar.truths, liar.lie, liar.times = 0, "whole", 9
    with pytest.raises(UnsupportedError, match="does not answer ranges"):
        opened(liar, "web")
    liar.lie = "gone"
    with pytest.raises(MissingError):
        opened(liar, "web")
