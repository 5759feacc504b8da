"""How many blocks a reader asks for at a time: what the line gives, and never at the cost of the one it waits for."""

from __future__ import annotations

import re
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from storage.http import Web, WebStore
from storage.reader import MOST_AHEAD, ObjectReader
from storage.retry import Retrier
from tests.storage.native_api import LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 64 << 10
BLOCKS = 30
BLOCK_S = 0.05
"""How long one block takes on a line of its own."""
CONTENT = bytes(range(256)) * (BLOCKS * BLOCK_BYTES // 256)


class Line:
    """A server that gives each block in slices; `shared` says whether all connections share one line."""

    def __init__(self, *, shared: bool) -> None:
        self.running = self.most = 0
        self.finished: list[int] = []
        guard, turn, line = threading.Lock(), threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self.head(200, {"Content-Length": str(len(CONTENT)), "Accept-Ranges": "bytes"})

            def do_GET(self) -> None:
                found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                assert found
                start, last = int(found[1]), min(int(found[2]), len(CONTENT) - 1)
                with guard:
                    line.running += 1
                    line.most = max(line.most, line.running)
                where = f"bytes {start}-{last}/{len(CONTENT)}"
                self.head(206, {"Content-Length": str(last + 1 - start), "Content-Range": where})
                for at in range(start, last + 1, BLOCK_BYTES // 8):
                    if shared:
                        with turn:
                            time.sleep(BLOCK_S / 8)  # the line itself
                    else:
                        time.sleep(BLOCK_S / 8)
                    self.wfile.write(CONTENT[at : min(at + BLOCK_BYTES // 8, last + 1)])
                with guard:
                    line.running -= 1
                    line.finished.append(start // BLOCK_BYTES)

            def head(self, status: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in (headers | {"ETag": '"one"'}).items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = LoopbackServer(Handler)
        self.server.start()

    def open(self) -> ObjectReader:
        store = WebStore(retrier=Retrier(), web=Web())
        return ObjectReader(store, f"{self.server.url}/film", block_bytes=BLOCK_BYTES)


@pytest.fixture
def shared() -> Iterator[Line]:
    line = Line(shared=True)
    yield line
    line.server.stop()


@pytest.fixture
def wide() -> Iterator[Line]:
    line = Line(shared=False)
    yield line
    line.server.stop()


def asked_for_at_a_time(line: Line) -> int:
    line.most = 0
    with line.open() as film:
        assert film.read() == CONTENT
    return line.most


def test_on_a_full_line_few_are_asked_for_at_a_time(shared: Line) -> None:
    """Told from how long blocks take: on a busy machine chance has a say in one reading, not in all of five."""
    assert any(asked_for_at_a_time(shared) < MOST_AHEAD for _ in range(5))


def test_where_connections_do_not_share_there_are_many(wide: Line) -> None:
    """As above."""
    assert any(asked_for_at_a_time(wide) >= MOST_AHEAD - 1 for _ in range(5))


def test_a_block_that_is_jumped_to_overtakes_what_was_read_ahead(wide: Line) -> None:
    with wide.open() as film:
        film.read(12 * BLOCK_BYTES)
        film.seek(-1, 2)
        assert film.read() == CONTENT[-1:]
        film.seek(0)
        assert film.read() == CONTENT
